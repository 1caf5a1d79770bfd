"""Objects on disk: loose files and packs, read with their size known first, written so that they survive a power cut.

Everything is written under a name of its own and renamed, never through `.lock` files, so a killed writer blocks no
content. What it leaves (`tmp_obj_*`, `tmp_pack_*`) is what stock Git leaves, and `git gc` removes it.
"""

import contextlib
import hashlib
import io
import os
import secrets
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from dulwich.object_format import SHA1
from dulwich.objects import RawObjectID, ShaFile
from dulwich.pack import (
    Pack,
    PackFileDisappeared,
    PackIndex,
    load_pack_index_file,
    pack_object_chunks,
    write_pack_index_v2,
)

from app.stores.durable import Sync, one_by_one, portions, sync_folder, sync_folders
from app.stores.errors import RepositoryCorruptError
from app.stores.git.locks import new_file, write_durably
from app.stores.git.objects import GARBLED, Found, garbled

KINDS = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
OFFSET_DELTA, ID_DELTA = 6, 7
ENTRY_BYTES = 64  # an entry's header and base, with room to spare
DELTA_BYTES = 20  # the two sizes a delta begins with
LONGEST_CHAIN = 5000
READ_ONLY = 0o444
COMPRESSION = 1  # what Git itself uses for loose objects: `git gc` compresses better, once
ATTEMPTS = 12
PATIENCE = 0.001  # seconds, more after each attempt

SMALL = 4096  # bytes; a loose object that takes less is read at once
CHECKSUM_BYTES = 20

Answer = TypeVar("Answer")
Entry = tuple[bytes, int, int]
"""What an index holds of an object in a pack: its id, where it begins, and the checksum of what it is packed as."""
Loose = tuple[bytes, str, bytes]
"""An object to be stored by itself: its kind, id and content."""


class Packs:
    """The packs in one folder: their indexes in memory, no file held open. Any thread may ask.

    Those that answered last are asked first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: list[tuple[Path, PackIndex]] = []  # replaced, never changed, so that threads may share it

    def locate(self, sha: RawObjectID) -> tuple[Path, PackIndex, int] | None:
        """The pack that has an object, its index, and where in it. Raises FileNotFoundError and one of GARBLED."""
        return self._among_known(sha) or self._among_all(sha)

    def forget(self) -> None:
        """Look at the folder again next time: a pack that was known is gone."""
        self._known = []

    def _among_all(self, sha: RawObjectID) -> tuple[Path, PackIndex, int] | None:
        there = {path.with_suffix(".pack") for path in self.folder.glob("pack-*.idx")}
        known = [(path, index) for path, index in self._known if path in there]
        new = there.difference(path for path, _ in known)
        self._known = [*((path, read_index(path)) for path in new), *known]
        return self._among_known(sha)

    def _among_known(self, sha: RawObjectID) -> tuple[Path, PackIndex, int] | None:
        known = self._known
        for place, (path, index) in enumerate(known):
            with contextlib.suppress(KeyError):
                offset = index.object_offset(sha)
                self._known = [known[place], *known[:place], *known[place + 1 :]] if place else known
                return path, index, offset
        return None


class DiskObjects:
    """The objects of the repository at `path`. `sync` puts new ones on the disk."""

    def __init__(self, path: Path, sync: Sync = one_by_one) -> None:
        self.path = path / "objects"
        self.packs = Packs(self.path / "pack")
        self._folder = str(self.path)
        self._sync = sync

    def find(self, oid: str) -> Found | None:
        """The object, or None when it is not there. Raises RepositoryCorruptError, OSError when the folder is gone."""
        try:
            # Twice, because `git gc` may turn a packed object into a loose one behind the first look.
            found = self._find(oid) or self._find(oid)
        except GARBLED as error:
            raise garbled(oid, error) from error
        if found is None:
            self.path.stat()
        return found

    def write(self, objects: Sequence[ShaFile], beside: Sequence[int] = (), *, packed: bool) -> None:
        """Store objects, as one pack or each by itself, durable on return.

        So is what is open `beside` them under these descriptors.
        """
        if packed:
            self._write_pack(objects, beside)
        else:
            self.write_loose([(new.type_name, new.id.decode(), new.as_raw_string()) for new in objects], beside)

    def _find(self, oid: str) -> Found | None:
        with contextlib.suppress(FileNotFoundError), open(self._loose(oid), "rb", buffering=0) as file:  # noqa: PTH123
            raw = file.read(SMALL)
            kind, size = loose_header(raw)
            if len(raw) < SMALL:  # that is all of it
                return Found(kind, size, size, lambda: inflate_loose(raw))
            return Found(kind, size, size, lambda: self._load(oid))
        return self._patiently(lambda: self._find_packed(oid))

    def _find_packed(self, oid: str) -> Found | None:
        located = self.packs.locate(RawObjectID(bytes.fromhex(oid)))
        return Found(*packed_header(*located), lambda: self._load(oid)) if located else None

    def _loose(self, oid: str) -> str:
        """Where an object lies when it is in no pack. Very many are read, and making a Path takes its time."""
        return f"{self._folder}/{oid[:2]}/{oid[2:]}"

    def _load(self, oid: str) -> bytes:
        """Inflate an object that was found, wherever it lies by now."""
        return self._patiently(lambda: self._load_now(oid))

    def _load_now(self, oid: str) -> bytes:
        with contextlib.suppress(FileNotFoundError), open(self._loose(oid), "rb", buffering=0) as file:  # noqa: PTH123
            return inflate_loose(file.readall())
        sha = RawObjectID(bytes.fromhex(oid))
        located = self.packs.locate(sha)
        if located is None:
            raise FileNotFoundError(oid)
        with Pack(str(located[0].with_suffix("")), object_format=SHA1) as pack:
            return pack.get_raw(sha)[1]

    def _patiently(self, read: Callable[[], Answer]) -> Answer:
        """What `read` answers, looking again when a repack took a pack from under it."""
        for attempt in range(ATTEMPTS):
            with contextlib.suppress(PackFileDisappeared, FileNotFoundError):
                return read()
            self.packs.forget()
            time.sleep(attempt * PATIENCE)
        raise RepositoryCorruptError(
            "The packs of this repository keep disappearing. Is another process removing them?"
        )

    def write_loose(self, objects: Sequence[Loose], beside: Sequence[int] = ()) -> None:
        """Store objects, each by itself and in this order, durable on return."""
        folders = {self.path / oid[:2] for _, oid, _ in objects}
        for folder in [folder for folder in folders if not folder.is_dir()]:
            folder.mkdir(exist_ok=True)
            folders.add(self.path)
        *earlier, last = portions(objects)
        places = [place for portion in earlier for place in self._draft(portion)] + self._draft(last, beside)
        for draft, place in places:
            draft.replace(place)
        sync_folders(folders, self._sync)

    def _draft(self, objects: Sequence[Loose], beside: Sequence[int] = ()) -> list[tuple[Path, Path]]:
        """Put objects on the disk under other names. These, and where each is to be."""
        places: list[tuple[Path, Path]] = []
        with contextlib.ExitStack() as opened:
            files: list[BinaryIO] = []
            for kind, oid, content in objects:
                folder = self.path / oid[:2]
                places.append((folder / f"tmp_obj_{secrets.token_hex(6)}", folder / oid[2:]))
                files.append(opened.enter_context(new_file(places[-1][0], READ_ONLY)))
                files[-1].write(zlib.compress(b"%s %d\0" % (kind, len(content)) + content, COMPRESSION))
                files[-1].flush()
            self._sync([*(file.fileno() for file in files), *beside])
        return places

    def _write_pack(self, objects: Sequence[ShaFile], beside: Sequence[int]) -> None:
        pack, entries = packed_bytes(objects)
        draft = self.path / "pack" / f"tmp_pack_{secrets.token_hex(6)}"
        write_durably(draft, pack, READ_ONLY, lambda descriptors: self._sync([*descriptors, *beside]))
        self.adopt(draft, entries, pack[-CHECKSUM_BYTES:])

    def adopt(self, draft: Path, entries: Iterable[Entry], checksum: bytes) -> None:
        """Take over a pack that is on the disk in the packs' folder under another name, durable on return."""
        folder, name = draft.parent, checksum.hex()
        index, draft_index = io.BytesIO(), folder / f"tmp_idx_{secrets.token_hex(6)}"
        write_pack_index_v2(index, sorted(entries), checksum)
        write_durably(draft_index, index.getvalue(), READ_ONLY)
        # The index last: its presence is what makes the pack one.
        draft.replace(folder / f"pack-{name}.pack")
        draft_index.replace(folder / f"pack-{name}.idx")
        sync_folder(folder)


def packed_bytes(objects: Sequence[ShaFile]) -> tuple[bytes, list[Entry]]:
    """A pack of whole objects, which ends with its checksum, and what its index is to hold."""
    pack = bytearray(b"PACK" + (2).to_bytes(4, "big") + len(objects).to_bytes(4, "big"))
    entries: list[Entry] = []
    for new in objects:
        entry = b"".join(pack_object_chunks(new.type_num, new.as_raw_chunks(), SHA1, compression_level=COMPRESSION))
        entries.append((bytes.fromhex(new.id.decode()), len(pack), zlib.crc32(entry)))
        pack += entry
    return bytes(pack + hashlib.sha1(pack, usedforsecurity=False).digest()), entries


def loose_header(raw: bytes) -> tuple[bytes, int]:
    """Kind and size of a loose object by how its file begins; only that is inflated. Raises one of GARBLED."""
    header, nul, _ = zlib.decompressobj().decompress(raw[:128], 64).partition(b"\0")
    kind, _, size = header.partition(b" ")
    if not nul or kind not in KINDS.values():
        raise ValueError("the header is not one Git writes")
    return kind, int(size)


def inflate_loose(raw: bytes) -> bytes:
    """The content of a loose object, inflating no more than its header says. Raises one of GARBLED."""
    _, size = loose_header(raw)
    header, _, content = zlib.decompressobj().decompress(raw, size + 64).partition(b"\0")
    if len(content) != size:
        raise ValueError(f"the object has {len(content)} bytes, its header says {header!r}")
    return content


def read_index(pack: Path) -> PackIndex:
    """The index of a pack, in memory."""
    path = pack.with_suffix(".idx")
    with io.BytesIO(path.read_bytes()) as file:
        return load_pack_index_file(path, file, SHA1)


def packed_header(pack: Path, index: PackIndex, offset: int) -> tuple[bytes, int, int]:
    """Kind, size and peak of an entry: the headers of its whole chain of deltas are read, nothing is inflated.

    The peak is the largest of what unpacking makes on the way (a base or a step may be larger than what it leads to),
    or all the deltas together. Raises one of GARBLED, FileNotFoundError.
    """
    size: int | None = None
    largest = together = 0
    descriptor = os.open(pack, os.O_RDONLY)
    try:
        for _ in range(LONGEST_CHAIN):
            step = step_at(descriptor, index, offset)
            together += step.stored
            size = step.size if size is None else size
            if step.kind is not None:
                return step.kind, size, max(largest, together)
            largest, offset = max(largest, step.source, step.size), step.base
    finally:
        os.close(descriptor)
    raise ValueError("its chain of deltas does not end")


class Step(NamedTuple):
    """One entry of a pack by its headers: a whole object (`kind`), or a delta on the entry at `base`. Sizes in bytes.

    `stored` is what the entry itself inflates to, `source` what a delta is made on, `size` what comes out.
    """

    kind: bytes | None
    stored: int
    source: int
    size: int
    base: int


def step_at(descriptor: int, index: PackIndex, offset: int) -> Step:
    """The entry at an offset of an open pack. Raises one of GARBLED."""
    entry = os.pread(descriptor, ENTRY_BYTES, offset)
    first, used = varint(entry, 0)
    kind, stored = entry[0] >> 4 & 7, (entry[0] & 15) | (first >> 7 << 4)
    if kind in KINDS:
        return Step(KINDS[kind], stored, 0, stored, 0)
    base, used = _base(index, entry, kind, used, offset)
    delta = zlib.decompressobj().decompress(os.pread(descriptor, 256, offset + used), DELTA_BYTES)
    source, read = varint(delta, 0)
    return Step(None, stored, source, varint(delta, read)[0], base)


def varint(raw: bytes, at: int) -> tuple[int, int]:
    """A number in Git's base-128 form, least significant part first, and where it ends."""
    value = shift = 0
    while True:
        value |= (raw[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not raw[at - 1] & 0x80:
            return value, at


def _base(index: PackIndex, entry: bytes, kind: int, used: int, offset: int) -> tuple[int, int]:
    """Where the base of a delta begins, and the length of the entry's header."""
    if kind == ID_DELTA:
        return index.object_offset(RawObjectID(entry[used : used + 20])), used + 20
    if kind != OFFSET_DELTA:
        raise ValueError(f"a pack has no entries of type {kind}")
    back, used = offset_back(entry, used)
    if not 0 < back < offset:
        raise ValueError("a delta's base lies outside its pack")
    return offset - back, used


def offset_back(raw: bytes, at: int) -> tuple[int, int]:
    """How far before an entry its base begins, and where that number ends."""
    back = raw[at] & 0x7F
    while raw[at] & 0x80:
        at += 1
        back = (back + 1 << 7) | (raw[at] & 0x7F)
    return back, at + 1
