"""Refs as files: `refs/heads/x` with an id in it, `packed-refs` for those without a file, HEAD.

Reading never takes a failing disk for a missing branch. Writing holds Git's own lock of the ref, so stock Git may work
in the repository at the same time.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from dulwich.refs import Ref, check_ref_format

from app.stores.durable import Sync, one_by_one, sync_folder
from app.stores.errors import RefConflictError, RefMovedError, RepositoryCorruptError
from app.stores.git.locks import HOME, Turns, write_durably

HEADS = "refs/heads/"
TAGS = "refs/tags/"
SYMBOLIC = "ref: "
MOST_HOPS = 5
LONGEST_PART = 250  # bytes; a file name has 255, of which `.lock` takes five
LONGEST_LINE = 8192  # bytes; a path has 4096 at most
VALUE = re.compile(r"[0-9a-f]{40}\Z")
PACKED = re.compile(rb"^([0-9a-f]{40}) (refs/[^\n]+)\n(?:\^([0-9a-f]{40})\n)?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Packed:
    """`packed-refs` as it was under `key`: ids by name, and what annotated tags peel to."""

    key: tuple[int, ...]
    values: Mapping[str, str]
    peeled: Mapping[str, str]


NOTHING_PACKED = Packed((), {}, {})


@dataclass(frozen=True, slots=True)
class Look:
    """Branches and tags at one moment: ids by name, in the order of the names; what was packed; the fingerprint.

    `head` is what HEAD says.
    """

    head: str
    values: Mapping[str, str]
    packed: Packed
    fingerprint: str


class DiskRefs:
    """The refs of the repository at `path`. Names are whole: `refs/heads/main`."""

    def __init__(self, path: Path, turns: Turns) -> None:
        self._path = path
        self._turns = turns
        self._packed = NOTHING_PACKED

    def default(self, look: Look) -> str:
        """The branch HEAD named at a look. Raises RepositoryCorruptError when it named none."""
        if not look.head.startswith(SYMBOLIC + HEADS):
            raise RepositoryCorruptError(
                f"HEAD of {self._path.name} names no branch. Run `git symbolic-ref HEAD refs/heads/<branch>` there."
            )
        return look.head.removeprefix(SYMBOLIC + HEADS)

    def read(self, ref: str) -> str | None:
        """The id a ref holds or leads to. Raises RepositoryCorruptError."""
        return self._value(self.follow(ref))

    def follow(self, ref: str) -> str:
        """The ref at the end of a chain of symbolic ones, which may not exist."""
        for _ in range(MOST_HOPS):
            text = self._loose(ref)
            if text is None or not text.startswith(SYMBOLIC):
                return ref
            ref = text.removeprefix(SYMBOLIC).strip()
            if not is_ref(ref):
                raise RepositoryCorruptError(
                    f"A ref of {self._path.name} leads to {ref!r}, which is no ref. Delete it."
                )
        raise RepositoryCorruptError(f"Ref {ref!r} of {self._path.name} leads to itself. Delete it.")

    def names(self, prefix: str) -> list[str]:
        """Every ref below `prefix` whose name is UTF-8, sorted."""
        loose = {name for name, _ in self._files(prefix)}
        return sorted(loose.union(name for name in self.packed().values if name.startswith(prefix)))

    def packed(self) -> Packed:
        """What `packed-refs` says now."""
        path = self._path / "packed-refs"
        try:
            if _key(path.stat()) == self._packed.key:
                return self._packed
            with path.open("rb") as file:
                self._packed = parse_packed(_key(os.fstat(file.fileno())), file.read())
        except FileNotFoundError:
            self._packed = NOTHING_PACKED
        return self._packed

    def look(self) -> Look:
        """Every branch and tag, of one look. Raises RepositoryCorruptError."""
        head, texts, packed, fingerprint = self._scan()
        values = {name: value for name, value in packed.values.items() if name.startswith((HEADS, TAGS))}
        for name, text in texts:
            value = text if text and VALUE.match(text) else self.read(name)
            if value is not None:
                values[name] = value
        return Look(head, dict(sorted(values.items())), packed, fingerprint)

    def fingerprint(self) -> str:
        """A digest of HEAD, of every ref file's name and content, and of which `packed-refs` is there.

        Contents, because two moves within one tick of the clock can leave time, size and even inode as they were.
        """
        *_, fingerprint = self._scan()
        return fingerprint

    def _scan(self) -> tuple[str, list[tuple[str, str | None]], Packed, str]:
        head = self._head()
        # The files first: `git pack-refs` writes packed-refs before it removes them, so one of the two has a ref.
        texts = sorted((name, _read(path)) for prefix in (HEADS, TAGS) for name, path in self._files(prefix))
        packed = self.packed()
        seen = repr((head, packed.key, texts)).encode()
        return head, texts, packed, hashlib.blake2b(seen, digest_size=16).hexdigest()

    def check(self, ref: str, expected: str | None) -> None:
        """Raises RefMovedError when the ref is elsewhere, RefConflictError when it cannot be made."""
        _check_name(ref)
        self._check_value(ref, expected)
        if expected is None:
            self._check_room(ref)

    def move(self, ref: str, expected: str | None, new: str, sync: Sync = one_by_one) -> None:
        """Compare and swap, durable on return. Call with the turn held. Raises as `check` and RepositoryBusyError.

        `sync` puts on the disk what the ref will say, and whatever has to be there before it says so.
        """
        _check_name(ref)
        path = self._path / ref
        grown = list(takewhile(lambda folder: not folder.exists(), path.parents))
        with self._turns.locked(path, f"{new}\n".encode(), sync) as lock:
            self.check(ref, expected)
            _clear(path)
            lock.commit()
        for folder in (path.parent, *(folder.parent for folder in grown)):
            sync_folder(folder)

    def delete(self, ref: str, expected: str) -> None:
        """Compare and delete, durable on return. Call with the turn held.

        `packed-refs` stays locked over both steps, or a running `git pack-refs` could bring the ref back; and it goes
        first, or a crash in between would leave an old value standing there.
        Raises RefMovedError, RepositoryBusyError, RefConflictError for a name that no ref can have.
        """
        _check_name(ref)
        self._check_value(ref, expected)
        path = self._path / ref
        try:
            with self._turns.locked(path, b""), self._turns.locked(self._path / "packed-refs", b""):
                self._check_value(ref, expected)
                self._unpack(ref)
                path.unlink(missing_ok=True)
                sync_folder(path.parent)
        finally:
            _prune(path.parent, self._path / _kind(ref))

    def _check_value(self, ref: str, expected: str | None) -> None:
        value = self.read(ref)
        if value != expected:
            raise RefMovedError(f"{ref!r} is {_at(value)} and was expected to be {_at(expected)}. Read it again.")

    def _check_room(self, ref: str) -> None:
        """`a` and `a/b` cannot both be: as files they would collide, and Git refuses it of packed ones too."""
        above = {"/".join(ref.split("/")[:length]) for length in range(3, ref.count("/") + 1)}
        for other in self.names(_kind(ref)):
            if other in above or other.startswith(ref + "/"):
                raise RefConflictError(
                    f"{ref!r} cannot be made beside {other!r}: choose a name that does not contain it."
                )

    def _value(self, ref: str) -> str | None:
        # The file first: `git pack-refs` writes packed-refs before it removes files, so one of the two has it.
        text = self._loose(ref)
        value = self.packed().values.get(ref) if text is None else text
        if value is None:
            self._head()
        elif not VALUE.match(value):
            raise RepositoryCorruptError(
                f"{ref!r} of {self._path.name} holds no commit id. Run `git update-ref {ref} <commit>` there."
            )
        return value

    def _head(self) -> str:
        """What HEAD says. Raises FileNotFoundError: without HEAD nothing else that is missing means anything."""
        text = _read(self._path / "HEAD")
        if text is None:
            raise FileNotFoundError(2, "there is no HEAD", str(self._path))
        return text

    def _loose(self, ref: str) -> str | None:
        return _read(self._path / ref) if is_ref(ref) else None

    def _files(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Every ref file below `prefix`, by name."""
        folders, length = [f"{self._path}/{prefix}"], len(str(self._path)) + 1
        while folders:
            folder = folders.pop()
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.path[length:]
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif is_ref(name):
                        yield name, entry.path

    def _unpack(self, ref: str) -> None:
        """Take a ref out of `packed-refs`, whose other lines stay as they are. Call with both locks held."""
        if ref not in self.packed().values:
            return
        path, draft = self._path / "packed-refs", self._path / HOME / "packed-refs"
        raw = path.read_bytes()
        line = re.compile(rb"^[0-9a-f]{40} " + re.escape(ref.encode()) + rb"\n(?:\^[0-9a-f]{40}\n)?", re.MULTILINE)
        write_durably(draft, line.sub(b"", raw))
        draft.replace(path)
        sync_folder(self._path)


@lru_cache(maxsize=1 << 14)
def is_ref(name: str) -> bool:
    """Whether Git takes the whole name, below `refs/`, and it is UTF-8."""
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        return False
    fits = all(len(part) <= LONGEST_PART for part in raw.split(b"/"))
    return fits and raw.startswith(b"refs/") and check_ref_format(Ref(raw.removeprefix(b"refs/")))


def _check_name(ref: str) -> None:
    """A name that is no ref's may lead to any file. Raises RefConflictError."""
    if not is_ref(ref):
        raise RefConflictError(f"{ref!r} is no name Git takes for a ref: see `git check-ref-format`.")


def parse_packed(key: tuple[int, ...], raw: bytes) -> Packed:
    """The lines of `packed-refs`. Names that are not UTF-8 are left out. Raises RepositoryCorruptError."""
    for line in PACKED.sub(b"", raw).splitlines():
        if not line.startswith(b"#"):
            raise RepositoryCorruptError(f"packed-refs has the line {line[:80]!r}, which names no ref. Remove it.")
    values, peeled = {}, {}
    for value, ref, target in PACKED.findall(raw):
        with contextlib.suppress(UnicodeDecodeError):
            name = ref.decode()
            values[name] = value.decode()
            if target:
                peeled[name] = target.decode()
    return Packed(key, values, peeled)


def _read(path: Path | str) -> str | None:
    """The first line of a ref file, None when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # there are very many, and a file object takes its time
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return os.read(descriptor, LONGEST_LINE).decode("utf-8", "replace").partition("\n")[0].rstrip("\r")
    except IsADirectoryError:
        return None
    finally:
        os.close(descriptor)


def _key(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _kind(ref: str) -> str:
    """The folder of all refs of its kind: `refs/heads/`, `refs/tags/`."""
    return "/".join(ref.split("/")[:2]) + "/"


def _at(value: str | None) -> str:
    return "not there" if value is None else f"at {value}"


def _clear(path: Path) -> None:
    """Remove the empty folders that deleted branches left where a branch is to stand."""
    if path.is_dir():
        for folder, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if path.is_dir():
            raise RefConflictError(f"{path.name!r} cannot be made: there are others below it.")


def _prune(folder: Path, stop: Path) -> None:
    """Remove the folders that a deleted branch left empty, up to `stop`."""
    with contextlib.suppress(OSError):
        while folder != stop:
            folder.rmdir()
            folder = folder.parent
