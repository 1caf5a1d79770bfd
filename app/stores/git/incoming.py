"""A pack that arrives from elsewhere: written down, measured before anything is unpacked, completed, put in place.

Whoever sent it may mean harm. What is stored whole is only ever streamed; in memory are a difference, what it is made
on and what comes out, and all three say their size first.
"""

import hashlib
import mmap
import os
import secrets
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from dulwich.object_format import SHA1
from dulwich.pack import apply_delta, pack_object_chunks

from app.stores.errors import RemoteUnavailableError
from app.stores.git.disk import (
    CHECKSUM_BYTES,
    COMPRESSION,
    ENTRY_BYTES,
    ID_DELTA,
    KINDS,
    OFFSET_DELTA,
    READ_ONLY,
    DiskObjects,
    Entry,
    offset_back,
    varint,
)
from app.stores.git.objects import GARBLED

DRAFT = "tmp_incoming_"
HEADER_BYTES = 12
SLICE = 1 << 13  # bytes inflated at once
MOST_BYTES = 128 << 20  # of an object that is sent as a difference, or that others are made on
MOST_OBJECTS = 1_000_000  # in one pack
REMEMBERED = 64 << 20  # bytes of what differences are made on
FEW = 100  # objects
FEW_BYTES = 1 << 20  # in the pack, inflated; what is sent as differences may be larger
ORDER = (b"blob", b"tree", b"commit", b"tag")
TYPES = {kind: number for number, kind in KINDS.items()}


def receive(objects: DiskObjects, portions: Iterable[bytes]) -> None:
    """Keep the pack that comes in `portions`, and with it the bases it was sent without; durable on return.

    Raises RemoteUnavailableError when it is none or holds more than is taken, OSError, and what `portions` raises.
    """
    for left in objects.packs.folder.glob(f"{DRAFT}*"):
        left.unlink()  # by whoever was killed: one process at a time fetches
    draft = objects.packs.folder / f"{DRAFT}{secrets.token_hex(6)}"
    try:
        with draft.open("w+b") as file:
            for portion in portions:
                file.write(portion)
            file.flush()
            _keep(file.fileno(), draft, objects)
    except GARBLED as error:
        if isinstance(error, OSError):
            raise
        raise RemoteUnavailableError(f"The server sent a pack that cannot be used: {error}.") from error
    finally:
        draft.unlink(missing_ok=True)


def _keep(descriptor: int, draft: Path, objects: DiskObjects) -> None:
    """Put what is in an open pack in its place: few objects each by itself, or there would be ever more packs."""
    size = os.fstat(descriptor).st_size
    if size < HEADER_BYTES + CHECKSUM_BYTES:
        raise ValueError("it is too short")
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as pack:
        end = size - CHECKSUM_BYTES
        if _digest(pack, end) != pack[end:]:
            raise ValueError("its checksum is wrong")
        unpacking = _Unpacking(pack, objects, _records(pack, end))
        entries, bases, checksum = unpacking.entries(), unpacking.bases, pack[end:]
        few = unpacking.few()
    if few is not None:
        objects.write_loose(few)
        return
    if bases:
        more, checksum = _complete(descriptor, end, len(entries), bases)
        entries += more
    os.fsync(descriptor)
    draft.chmod(READ_ONLY)
    objects.adopt(draft, entries, checksum)


class _Record(NamedTuple):
    """An entry of a pack: where it begins, where what is deflated begins, its checksum and its size inflated.

    Of an object stored whole, `kind` and `oid`; of a difference, `base`: where the other begins, or its id.
    """

    at: int
    body: int
    crc: int
    size: int
    kind: bytes | None
    oid: bytes
    base: int | bytes


def _records(pack: mmap.mmap, end: int) -> list[_Record]:
    """Every entry of a pack, measured. Nothing is kept of what it inflates to."""
    version, count = int.from_bytes(pack[4:8], "big"), int.from_bytes(pack[8:HEADER_BYTES], "big")
    if pack[:4] != b"PACK" or version not in {2, 3} or count > MOST_OBJECTS:
        raise ValueError(f"it begins with {pack[:HEADER_BYTES]!r}; of objects, at most {MOST_OBJECTS} are taken")
    records, at = [], HEADER_BYTES
    for _ in range(count):
        record, at = _record(pack, at)
        records.append(record)
    if at != end:
        raise ValueError("there is more in it than it says")
    return records


def _record(pack: mmap.mmap, at: int) -> tuple[_Record, int]:
    """The entry at a place, and where it ends."""
    raw = pack[at : at + ENTRY_BYTES]
    first, used = varint(raw, 0)
    number, size = raw[0] >> 4 & 7, (raw[0] & 15) | (first >> 7 << 4)
    if number in KINDS:
        digest = hashlib.sha1(b"%s %d\0" % (KINDS[number], size), usedforsecurity=False)
        end = _inflate(pack, at + used, size, digest.update)
        return _Record(at, at + used, _crc(pack, at, end), size, KINDS[number], digest.digest(), 0), end
    base: int | bytes
    if number == ID_DELTA:
        base, used = raw[used : used + CHECKSUM_BYTES], used + CHECKSUM_BYTES
    elif number == OFFSET_DELTA:
        back, used = offset_back(raw, used)
        base = at - back
    else:
        raise ValueError(f"a pack has no entries of type {number}")
    end = _inflate(pack, at + used, size, _forget)
    return _Record(at, at + used, _crc(pack, at, end), size, None, b"", base), end


class _Unpacking:
    """Finds the ids of what is stored as differences. `bases` are the objects from elsewhere they were made on."""

    def __init__(self, pack: mmap.mmap, objects: DiskObjects, records: list[_Record]) -> None:
        self.bases: dict[bytes, tuple[bytes, bytes]] = {}
        self._pack = pack
        self._objects = objects
        self._records = {record.at: record for record in records}
        self._found: list[tuple[bytes, int, bytes]] = []  # kind, place and id of each
        self._made_on: dict[int, int | bytes] = {}
        self._recent: OrderedDict[int | bytes, bytes] = OrderedDict()
        self._held = 0

    def entries(self) -> list[Entry]:
        """What the index is to hold."""
        waiting: dict[int | bytes, list[int]] = defaultdict(list)
        for record in self._records.values():
            if record.kind is None:
                waiting[record.base].append(record.at)
        for record in self._records.values():
            if record.kind:
                self._found.append((record.kind, record.at, record.oid))
                self._resolve(record.at, record.oid, record.kind, waiting)
        for base in [base for base in waiting if isinstance(base, bytes)]:
            if base in waiting and (kind := self._fetch(base)):
                self._resolve(base, base, kind, waiting)
        if waiting:
            raise ValueError("it holds a difference to what is not there")
        return [(oid, at, self._records[at].crc) for _, at, oid in self._found]

    def few(self) -> list[tuple[bytes, str, bytes]] | None:
        """Kind, id and content of each, what leads to others after them; None when they are many."""
        if len(self._records) > FEW or sum(record.size for record in self._records.values()) > FEW_BYTES:
            return None
        ordered = sorted(self._found, key=lambda found: (ORDER.index(found[0]), -found[1]))
        return [(kind, oid.hex(), self._content(at)) for kind, at, oid in ordered]

    def _resolve(self, base: int | bytes, oid: bytes, kind: bytes, waiting: dict[int | bytes, list[int]]) -> None:
        """Find what is made on one object, and on what comes out, and so on."""
        known = [(base, oid)]
        while known:
            base, oid = known.pop()
            for at in waiting.pop(base, []) + waiting.pop(oid, []):
                self._made_on[at] = base
                content = self._content(at)
                made = hashlib.sha1(b"%s %d\0" % (kind, len(content)) + content, usedforsecurity=False).digest()
                self._found.append((kind, at, made))
                known.append((at, made))

    def _content(self, key: int | bytes) -> bytes:
        """An object, made again from what is remembered or whole. No more than one step of it is held."""
        steps: list[int] = []
        while (content := self._recent.get(key)) is None:
            if isinstance(key, bytes):
                content = self.bases[key][1]
                break
            if self._records[key].kind:
                content = self._remember(key, self._inflated(key))
                break
            steps.append(key)
            key = self._made_on[key]
        for at in reversed(steps):
            delta = self._inflated(at)
            if varint(delta, varint(delta, 0)[1])[0] > MOST_BYTES:
                raise ValueError(f"it holds an object of more than {MOST_BYTES} bytes as a difference")
            content = self._remember(at, b"".join(apply_delta(content, delta)))
        return content

    def _remember(self, at: int, content: bytes) -> bytes:
        self._recent[at] = content
        self._held += len(content)
        while self._held > REMEMBERED:
            self._held -= len(self._recent.popitem(last=False)[1])
        return content

    def _inflated(self, at: int) -> bytes:
        record, parts = self._records[at], list[bytes]()
        if record.size > MOST_BYTES:
            raise ValueError(f"it holds differences to an object of more than {MOST_BYTES} bytes")
        _inflate(self._pack, record.body, record.size, parts.append)
        return b"".join(parts)

    def _fetch(self, oid: bytes) -> bytes | None:
        """The kind of an object that is here already, None when it is not; its content is put with the bases."""
        found = self._objects.find(oid.hex())
        if found is None:
            return None
        if found.peak > MOST_BYTES:
            raise ValueError(f"it holds differences to an object of more than {MOST_BYTES} bytes")
        self.bases[oid] = (found.kind, found.load())
        return found.kind


def _complete(
    descriptor: int, end: int, count: int, bases: dict[bytes, tuple[bytes, bytes]]
) -> tuple[list[Entry], bytes]:
    """Put the bases at the end of a pack: what the index is to hold of them, and the new checksum."""
    entries = []
    for oid, (kind, content) in bases.items():
        entry = b"".join(pack_object_chunks(TYPES[kind], [content], SHA1, compression_level=COMPRESSION))
        os.pwrite(descriptor, entry, end)
        entries.append((oid, end, zlib.crc32(entry)))
        end += len(entry)
    os.pwrite(descriptor, (count + len(bases)).to_bytes(4, "big"), HEADER_BYTES - 4)
    os.ftruncate(descriptor, end)
    with mmap.mmap(descriptor, end, access=mmap.ACCESS_READ) as pack:
        checksum = _digest(pack, end)
    os.pwrite(descriptor, checksum, end)
    return entries, checksum


def _inflate(pack: mmap.mmap, at: int, size: int, take: Callable[[bytes], object]) -> int:
    """Hand over what inflates to exactly `size` bytes, in portions; where it ends."""
    stream, rest, made = zlib.decompressobj(), b"", 0
    while not stream.eof:
        if not rest:
            rest = pack[at : at + SLICE]
            if not rest:
                raise ValueError("it breaks off")
            at += len(rest)
        portion = stream.decompress(rest, SLICE)
        rest = stream.unconsumed_tail
        made += len(portion)
        if made > size:
            break
        take(portion)
    if made != size:
        raise ValueError("an object is not as long as it says")
    return at - len(stream.unused_data)


def _digest(pack: mmap.mmap, end: int) -> bytes:
    digest = hashlib.sha1(usedforsecurity=False)
    for start in range(0, end, 1 << 20):
        digest.update(pack[start : min(start + (1 << 20), end)])
    return digest.digest()


def _crc(pack: mmap.mmap, start: int, end: int) -> int:
    return zlib.crc32(memoryview(pack)[start:end])


def _forget(_: bytes) -> None:
    """What comes out is not wanted yet, only where it ends."""
