"""Objects whatever they are kept in: read with their size known first, checked against their id, built into commits."""

import errno
import hashlib
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dulwich.errors import ApplyDeltaError, ChecksumMismatch, FileFormatException
from dulwich.objects import ObjectID, ShaFile, Tree
from dulwich.pack import UnresolvedDeltas

from app.stores.errors import (
    BlobNotFoundError,
    BlobTooLargeError,
    CommitNotFoundError,
    RepositoryCorruptError,
    StoreError,
)
from app.stores.git import trees
from app.stores.git.commits import decode_commit, decode_links, encode_commit
from app.stores.ports import CommitRecord, NewCommit, TreeFile

OID = re.compile(r"[0-9a-f]{40}\Z")
# What a commit, a tree, or the base a blob is stored as a difference to, may inflate to: bytes.
MOST_BYTES = 32 << 20
# What zlib, dulwich and the disk answer with when the bytes are not what Git wrote.
GARBLED = (
    zlib.error,
    struct.error,
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
    UnresolvedDeltas,
    AssertionError,
    LookupError,
    ValueError,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Found:
    """An object that is there but not inflated yet: `size` in bytes, `peak` the most that inflating it takes."""

    kind: bytes
    size: int
    peak: int
    load: Callable[[], bytes]


class Objects(Protocol):
    """A place where objects are found by id."""

    def find(self, oid: str) -> Found | None:
        """The object, or None when it is not there. Raises RepositoryCorruptError."""


def read_object(objects: Objects, oid: str, kind: bytes) -> bytes | None:
    """The bytes of a commit, tree or tag; None when there is no object of that id and kind."""
    found = objects.find(oid) if OID.match(oid) else None
    if found is None or found.kind != kind:
        return None
    if found.peak > MOST_BYTES:
        name = kind.decode()
        raise RepositoryCorruptError(f"The {name} {oid} inflates to {found.peak} bytes; at most {MOST_BYTES} are read.")
    return checked(oid, found)


def checked(oid: str, found: Found) -> bytes:
    """The inflated bytes, known to be those the id was made of. Raises RepositoryCorruptError."""
    try:
        raw = found.load()
    except GARBLED as error:
        raise garbled(oid, error) from error
    if hashlib.sha1(b"%s %d\0" % (found.kind, len(raw)) + raw, usedforsecurity=False).hexdigest() != oid:
        raise RepositoryCorruptError(f"Object {oid} holds other bytes than its id says. Restore it from a clone.")
    return raw


def garbled(oid: str, error: Exception) -> StoreError:
    """What to raise for an object that cannot be read."""
    if is_exhausted(error):
        return exhausted()
    return RepositoryCorruptError(f"Object {oid} cannot be read ({error!r}). Run `git fsck`, restore it from a clone.")


def is_exhausted(error: Exception) -> bool:
    """Whether it is not the file but this process that has had enough."""
    return isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}


def exhausted() -> StoreError:
    """What to raise when no file can be opened any more."""
    return StoreError("The server has too many files open. Raise its limit (`ulimit -n`) and start it again.")


def read_commit(objects: Objects, oid: str) -> CommitRecord:
    """A commit. Raises CommitNotFoundError, RepositoryCorruptError."""
    raw = read_object(objects, oid, b"commit")
    if raw is None:
        raise CommitNotFoundError(f"There is no commit {oid} in this repository.")
    return decode_commit(oid, raw)


def read_tree(objects: Objects, oid: ObjectID) -> Tree:
    """A tree that a commit or another tree names. Raises RepositoryCorruptError when it is missing or garbled."""
    raw = read_object(objects, oid.decode(), b"tree")
    if raw is None:
        raise RepositoryCorruptError(f"The tree {oid.decode()} is missing. Run `git fsck`, restore it from a clone.")
    try:
        return Tree.from_string(raw)
    except GARBLED as error:
        raise garbled(oid.decode(), error) from error


def read_root(objects: Objects, commit: str) -> str:
    """The id of a commit's tree. Raises CommitNotFoundError, RepositoryCorruptError."""
    raw = read_object(objects, commit, b"commit")
    if raw is None:
        raise CommitNotFoundError(f"There is no commit {commit} in this repository.")
    return decode_links(commit, raw).tree


def read_file(objects: Objects, root: str, path: str) -> TreeFile | None:
    """What stands at a path below a tree. Raises RepositoryCorruptError."""
    return trees.find(lambda oid: read_tree(objects, oid), ObjectID(root.encode()), path)


def read_blob(objects: Objects, oid: str, limit: int) -> bytes:
    """A blob of at most `limit` bytes. Raises BlobNotFoundError, BlobTooLargeError, RepositoryCorruptError."""
    found = objects.find(oid) if OID.match(oid) else None
    if found is None or found.kind != b"blob":
        raise BlobNotFoundError(f"There is no blob {oid} in this repository.")
    if found.size > limit:
        raise BlobTooLargeError(found.size)
    if found.peak > max(limit, MOST_BYTES):
        raise BlobTooLargeError(found.peak)
    return checked(oid, found)


def peel(objects: Objects, oid: str) -> str | None:
    """The commit a tag's id leads to, or None when it leads to something else. Raises RepositoryCorruptError."""
    while True:
        found = objects.find(oid)
        if found is None:
            raise RepositoryCorruptError(f"A tag leads to {oid}, which is missing. Run `git fsck`, or delete the tag.")
        if found.kind != b"tag":
            return oid if found.kind == b"commit" else None
        target = (
            (read_object(objects, oid, b"tag") or b"")
            .partition(b"\n")[0]
            .removeprefix(b"object ")
            .decode("ascii", "replace")
        )
        if not OID.match(target):
            raise RepositoryCorruptError(f"The tag {oid} is garbled. Delete it, or restore it from a clone.")
        oid = target


def build(objects: Objects, parent: str | None, commits: Sequence[NewCommit]) -> tuple[list[str], list[ShaFile]]:
    """Chain `commits` onto `parent`: the new ids oldest first, and every object they need, each once.

    Raises RepositoryCorruptError when the parent is missing, PathConflictError.
    """
    made: dict[ObjectID, ShaFile] = {}
    ids: list[str] = []
    tree, tip = _tip(objects, parent)

    def read(oid: ObjectID) -> Tree:
        known = made.get(oid)
        return known if isinstance(known, Tree) else read_tree(objects, oid)

    def keep(new: ShaFile) -> None:
        made[new.id] = new

    for new in commits:
        if new.files or tree is None:
            tree = trees.replace(read, keep, tree, new.files)
        commit = encode_commit(new, tree, tip)
        keep(commit)
        tip = [commit.id]
        ids.append(commit.id.decode())
    return ids, list(made.values())


def _tip(objects: Objects, parent: str | None) -> tuple[ObjectID | None, list[ObjectID]]:
    if parent is None:
        return None, []
    try:
        tree = read_root(objects, parent)
    except CommitNotFoundError as error:
        raise RepositoryCorruptError(f"The branch is at {parent}, which is no commit here. Run `git fsck`.") from error
    return ObjectID(tree.encode()), [ObjectID(parent.encode())]
