"""Reading very many objects of one repository in a row: packs stay open, and every header is read once."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from dulwich.object_format import SHA1
from dulwich.objects import RawObjectID
from dulwich.pack import Pack, PackFileDisappeared, PackIndex

from app.stores.git.disk import LONGEST_CHAIN, DiskObjects, Step, step_at
from app.stores.git.objects import GARBLED, Found, garbled

MOST_PACKS = 16


@contextmanager
def held_open(objects: DiskObjects) -> Iterator["HeldObjects"]:
    """The objects for the time of one long read."""
    held = HeldObjects(objects)
    try:
        yield held
    finally:
        held.close()


class HeldObjects:
    """See DiskObjects.find, which is asked where an object is in no pack, or its pack was taken away meanwhile."""

    def __init__(self, objects: DiskObjects) -> None:
        self._objects = objects
        self._packs: OrderedDict[Path, _OpenPack] = OrderedDict()

    def find(self, oid: str) -> Found | None:
        """The object, or None when it is not there. Raises RepositoryCorruptError, OSError."""
        sha = RawObjectID(bytes.fromhex(oid))
        try:
            located = self._objects.packs.locate(sha)
            return self._open(*located[:2]).find(located[2]) if located else self._objects.find(oid)
        except (PackFileDisappeared, FileNotFoundError):
            return self._objects.find(oid)
        except GARBLED as error:
            raise garbled(oid, error) from error

    def close(self) -> None:
        """Let go of every file."""
        while self._packs:
            self._packs.popitem()[1].close()

    def _open(self, path: Path, index: PackIndex) -> "_OpenPack":
        if path not in self._packs:
            while len(self._packs) >= MOST_PACKS:
                self._packs.popitem(last=False)[1].close()
            self._packs[path] = _OpenPack(path, index)
        self._packs.move_to_end(path)
        return self._packs[path]


class _Measured(NamedTuple):
    """What the headers of a chain of deltas say: the kind, and in bytes the size, the most on the way, the sum."""

    kind: bytes
    size: int
    largest: int
    together: int


class _OpenPack:
    """One pack, and what the headers of its entries say."""

    def __init__(self, path: Path, index: PackIndex) -> None:
        self._index = index
        self._known: dict[int, _Measured] = {}
        with ExitStack() as files:
            self._pack = files.enter_context(Pack(str(path.with_suffix("")), object_format=SHA1))
            self._descriptor = files.enter_context(path.open("rb")).fileno()
            self._files = files.pop_all()

    def close(self) -> None:
        """Let go of its files. An object is loaded before the next one is looked for, so nobody misses them."""
        self._files.close()

    def find(self, offset: int) -> Found:
        """The entry at an offset. Raises one of GARBLED."""
        kind, size, largest, together = self._known.get(offset) or self._measure(offset)
        return Found(kind, size, max(largest, together), lambda: self._load(offset))

    def _load(self, offset: int) -> bytes:
        kind, entry = self._pack.data.get_object_at(offset)
        _, chunks = self._pack.resolve_object(offset, kind, entry)
        return b"".join(chunks)  # type: ignore[arg-type]  # chunks of bytes, as Pack.get_raw has it

    def _measure(self, offset: int) -> _Measured:
        """Walks a chain of deltas down to what is known, and remembers every step on the way back."""
        chain: list[tuple[int, Step]] = []
        while offset not in self._known:
            step = step_at(self._descriptor, self._index, offset)
            if step.kind is not None:
                self._known[offset] = _Measured(step.kind, step.size, 0, step.stored)
                break
            chain.append((offset, step))
            if len(chain) > LONGEST_CHAIN:
                raise ValueError("its chain of deltas does not end")
            offset = step.base
        below = self._known[offset]
        for at, step in reversed(chain):
            largest = max(below.largest, step.source, step.size)
            below = self._known[at] = _Measured(below.kind, step.size, largest, below.together + step.stored)
        return below
