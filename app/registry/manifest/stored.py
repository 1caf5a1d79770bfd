"""A manifest as bytes for a cache, and back: JSON behind a version and a checksum; nothing else passes for one."""

import hashlib
import json
from dataclasses import astuple

from app.registry.manifest.interpret import interpret
from app.registry.manifest.model import Entry, Manifest, Problem

_MAGIC = b"manifest 1 "


def to_json(manifest: Manifest) -> bytes:
    """The manifest as bytes that `from_json` reads."""
    content = {
        "entries": [[name, entry.entry] for name, entry in manifest.entries.items()],
        "problems": [astuple(problem) for problem in manifest.problems],
    }
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return _MAGIC + _checksum(body) + b"\n" + body


def from_json(data: bytes) -> Manifest:
    """The manifest that `to_json` made `data` of. Raises ValueError on any other bytes."""
    head, _, body = data.partition(b"\n")
    if head != _MAGIC + _checksum(body):
        raise ValueError("these bytes are not a stored manifest")
    content = json.loads(body)
    entries = {}
    for name, value in content["entries"]:
        entry = interpret(name, value)
        if not isinstance(entry, Entry):
            raise ValueError(f"the stored manifest holds {name!r}, which is not an entry")  # noqa: TRY004 - the contract
        entries[name] = entry
    return Manifest(entries, tuple(Problem(*problem) for problem in content["problems"]))


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
