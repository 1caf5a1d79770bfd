"""A lineage as bytes for a cache, and back, behind a version and a checksum; nothing else passes for one."""

import hashlib
import json
import sys
import zlib
from array import array
from collections.abc import Iterator

from app.registry.graph import OID_LENGTH, Columns, CommitGraph
from app.registry.lineage import Lineage
from app.stores.ports import TreeEntry

_MAGIC = f"lineage 1 {sys.byteorder} ".encode()
_LEVEL = 1
MOST_NAMES = 1000
"""Of one comparison; larger ones are made again."""


def to_bytes(lineage: Lineage) -> bytes:
    """The lineage as bytes that `from_bytes` reads. Nobody may add to it meanwhile."""
    columns = lineage.graph.columns()
    content = {
        "versions": [[version.mode, version.oid] if version else None for version in columns.versions],
        "merged": list(columns.merged.items()),
        "readable": list(lineage.readable.items()),
        "differing": [(*pair, sorted(names)) for pair, names in lineage.differing.items() if len(names) <= MOST_NAMES],
    }
    parts = [json.dumps(content, separators=(",", ":")).encode(), bytes.fromhex("".join(columns.oids))]
    parts += [column.tobytes() for column in (columns.times, columns.first, columns.version, columns.skip)]
    body = json.dumps([len(part) for part in parts]).encode() + b"\n" + zlib.compress(b"".join(parts), _LEVEL)
    return _MAGIC + _checksum(body) + b"\n" + body


def from_bytes(data: bytes) -> Lineage:
    """The lineage that `to_bytes` made `data` of. Raises ValueError on any other bytes."""
    head, _, body = data.partition(b"\n")
    if head != _MAGIC + _checksum(body):
        raise ValueError("these bytes are not a stored history")
    sizes, _, packed = body.partition(b"\n")
    content, oids, times, first, version, skip = _split(zlib.decompress(packed), json.loads(sizes))
    known = json.loads(content)
    lineage = Lineage()
    lineage.graph = CommitGraph.of(
        Columns(
            oids=list(_ids(oids.hex())),
            times=array("q", times),
            first=array("i", first),
            merged={number: tuple(parents) for number, parents in known["merged"]},
            version=array("i", version),
            skip=array("i", skip),
            versions=[TreeEntry(*version) if version else None for version in known["versions"]],
        )
    )
    lineage.readable.update(known["readable"])
    for one, other, names in known["differing"]:
        lineage.compared((one, other), frozenset(names))
    return lineage


def _split(joined: bytes, sizes: list[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield joined[start : start + size]
        start += size


def _ids(digits: str) -> Iterator[str]:
    return (digits[start : start + OID_LENGTH] for start in range(0, len(digits), OID_LENGTH))


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
