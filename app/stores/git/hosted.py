"""Bare repositories on disk, which stock git may clone, push to by path and gc at any time. No hook is run here."""

import contextlib
import math
import os
import secrets
import shutil
import threading
import time
from collections.abc import Collection, Container, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from app.stores.durable import Sync, Together, one_by_one, sync_folder
from app.stores.errors import (
    RefConflictError,
    RefMovedError,
    RepositoryBusyError,
    RepositoryCorruptError,
    RepositoryExistsError,
    RepositoryNotFoundError,
    StoreError,
)
from app.stores.git import objects, stock, tracing
from app.stores.git.bulk import held_open
from app.stores.git.disk import DiskObjects
from app.stores.git.locks import PATIENCE, Turns, flocked
from app.stores.git.refs import HEADS, TAGS, DiskRefs, Look, is_ref
from app.stores.ports import CommitRecord, NewCommit, Refs, Repository, Trace, TreeFile

LITTLE = 100  # commits; reading so many takes less time than starting another program
MOST_FILES = 100
PACK_FROM = 3  # commits; fewer are cheaper as loose objects, and Git packs those in time
NURSERY = ".creating"
CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tfsync = committed
"""


class DiskRepository:
    """The bare repository at `path`, which may be shared with stock git and with other processes of the registry.

    `sync` puts commits on the disk.
    """

    def __init__(self, path: Path, sync: Sync | None = None) -> None:
        self._path = path
        self._turns = Turns(path)
        self._refs = DiskRefs(path, self._turns)
        self._objects = DiskObjects(path, sync or Together())
        self._files: dict[tuple[str, str], TreeFile | None] = {}
        """What stands at a path below a tree, of those looked at last: most branches have the tree of another one."""

    @classmethod
    def create(cls, path: Path, default_branch: str, first: NewCommit) -> None:
        """A new repository at `path`, all or nothing, durable on return. Raises RepositoryExistsError, StoreError."""
        Nursery(path.parent).create(path, default_branch, first)

    def refs(self) -> Refs:
        """See Repository.refs."""
        with self._reading():
            look = self._refs.look()
            heads = {name.removeprefix(HEADS): oid for name, oid in look.values.items() if name.startswith(HEADS)}
            tags = {name: self._peel(name, look) for name in look.values if name.startswith(TAGS)}
            return Refs(
                default=self._refs.default(look),
                heads=heads,
                tags={name.removeprefix(TAGS): oid for name, oid in tags.items() if oid is not None},
                fingerprint=look.fingerprint,
            )

    def named_refs(self) -> tuple[str, Mapping[str, str]]:
        """See GitService.refs."""
        with self._reading():
            look = self._refs.look()
            return self._refs.default(look), look.values

    def head(self, branch: str) -> str | None:
        """See Repository.head."""
        with self._reading():
            return self._refs.read(HEADS + branch) if is_ref(HEADS + branch) else None

    def commit(self, oid: str) -> CommitRecord:
        """See Repository.commit."""
        with self._reading():
            return objects.read_commit(self._objects, oid)

    def file(self, commit: str, path: str) -> TreeFile | None:
        """See Repository.file."""
        with self._reading():
            key = objects.read_root(self._objects, commit), path
            with contextlib.suppress(KeyError):
                return self._files[key]
            found = objects.read_file(self._objects, *key)
            if len(self._files) >= MOST_FILES:
                self._files.clear()
            self._files[key] = found
            return found

    def blob(self, oid: str, limit: int) -> bytes:
        """See Repository.blob. A delta's base may be larger than `limit`, up to `objects.MOST_BYTES`."""
        with self._reading():
            return objects.read_blob(self._objects, oid, limit)

    def trace(self, path: str, head: str, known: Container[str], tips: Collection[str]) -> Generator[Trace, None, None]:
        """See Repository.trace. Where there is much to read and a stock Git on the PATH, that reads it."""
        with self._reading(), held_open(self._objects) as held:
            walk = tracing.Walk(held, path, head, known)
            little = walk.take(LITTLE)
            git = None if walk.done else stock.find()
            if git and (yield from git.trace(self._path, path, head, tips)):
                return
            yield little
            yield from walk.parts()

    def write_commits(self, branch: str, expected: str | None, commits: Sequence[NewCommit]) -> tuple[str, ...]:
        """See Repository.write_commits."""
        with self._writing():
            ref = self._refs.follow(_ref(branch))
            self._refs.check(ref, expected)
            ids, new = objects.build(self._objects, expected, commits)
            if ids:
                write = partial(self._objects.write, new, packed=len(ids) >= PACK_FROM)
                self._refs.move(ref, expected, ids[-1], write)
            return tuple(ids)

    def create_branch(self, branch: str, oid: str) -> None:
        """See Repository.create_branch."""
        with self._writing():
            objects.read_commit(self._objects, oid)
            try:
                self._refs.move(self._refs.follow(_ref(branch)), None, oid)
            except RefMovedError as error:
                raise RefConflictError(f"There is a branch {branch!r} already.") from error

    def move_branch(self, branch: str, expected: str | None, oid: str) -> None:
        """See Repository.move_branch."""
        with self._writing():
            objects.read_commit(self._objects, oid)
            self._refs.move(self._refs.follow(_ref(branch)), expected, oid)

    def delete_branch(self, branch: str, expected: str) -> None:
        """See Repository.delete_branch."""
        with self._writing():
            self._refs.delete(_ref(branch), expected)

    def check(self, branch: str, expected: str | None) -> None:
        """Raises RefMovedError when a branch is elsewhere, RefConflictError when it cannot be made beside another."""
        with self._reading():
            self._refs.check(_ref(branch), expected)

    def fingerprint(self) -> str:
        """See Repository.fingerprint. Also different after `git pack-refs`."""
        with self._reading():
            return self._refs.fingerprint()

    def fetch(self, since: float | None = None) -> None:
        """See Repository.fetch: it lies here."""

    def listed(self) -> float:
        """See Repository.listed: it lies here, so what is read is always of now."""
        return math.inf

    def _peel(self, tag: str, look: Look) -> str | None:
        oid = look.values[tag]
        if look.packed.values.get(tag) == oid:
            oid = look.packed.peeled.get(tag, oid)
        return objects.peel(self._objects, oid)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unreadable(error) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        if not (self._path / "HEAD").is_file():
            raise self._unreadable(FileNotFoundError("no HEAD"))
        try:
            with self._turns.turn():
                yield
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _unreadable(self, error: OSError) -> StoreError:
        if not self._path.is_dir():
            return RepositoryNotFoundError(f"There is no repository {self._path.name}.")
        if objects.is_exhausted(error):
            return objects.exhausted()
        return RepositoryCorruptError(
            f"{self._path.name} cannot be read ({error.strerror or error}). Run `git fsck`, or restore it from a clone."
        )


class Nursery:
    """Where new repositories of a folder are made, out of sight, until they are whole and renamed into place."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._home = root / NURSERY

    def create(self, path: Path, default_branch: str, first: NewCommit) -> None:
        """A repository at `path` below the folder. Raises RepositoryExistsError, RepositoryBusyError, StoreError."""
        try:
            with self._turn(PATIENCE):
                if (twin := self._twin(path)) is not None:
                    there = twin.relative_to(self._root)
                    raise RepositoryExistsError(f"There is a repository {there} already; choose another name.")
                draft = self._home / secrets.token_hex(8)
                lay_out(draft, default_branch)
                DiskRepository(draft, one_by_one).write_commits(default_branch, None, [first])
                _sync_all(draft)
                path.parent.mkdir(parents=True, exist_ok=True)
                draft.rename(path)
                for folder in path.relative_to(self._root).parents:
                    sync_folder(self._root / folder)
        except OSError as error:
            raise _unwritable(path, error) from error

    def sweep(self) -> None:
        """Remove what killed processes left half made, unless somebody is at work right now."""
        with contextlib.suppress(RepositoryBusyError), self._turn(0):
            pass

    @contextlib.contextmanager
    def _turn(self, patience: float) -> Iterator[None]:
        """Hold the folder's turn to create, `patience` in seconds. With it held, every draft is a dead process's."""
        self._home.mkdir(parents=True, exist_ok=True)
        with flocked(self._home / "lock", time.monotonic() + patience):
            for left in self._home.iterdir():
                if left.is_dir():
                    shutil.rmtree(left)
            yield

    def _twin(self, path: Path) -> Path | None:
        """What is there already under that name, whatever the case of its letters."""
        level = [self._root]
        for part in path.relative_to(self._root).parts:
            entries = [entry for folder in level if folder.is_dir() for entry in folder.iterdir()]
            level = [entry for entry in entries if entry.name.lower() == part.lower()]
        return level[0] if level else None


class Elsewhere(Protocol):
    """Where repositories that lie elsewhere are found."""

    def at(self, url: str) -> Repository:
        """The repository of that URL. Raises StoreError for a URL that is none."""

    def sweep(self, urls: Collection[str]) -> None:
        """Remove what is kept here of repositories that are not among these, and that nobody uses."""


class HostedGit:
    """The repositories below `root`, that of `search/ranker` in `<root>/search/ranker.git`, and those elsewhere."""

    def __init__(self, root: Path, elsewhere: Elsewhere | None = None) -> None:
        self._root = root
        self._elsewhere = elsewhere
        self._known: dict[str, DiskRepository] = {}
        self._remotes: Mapping[str, str] | None = None
        self._lock = threading.Lock()
        self._sync = Together()
        self._nursery = Nursery(root)
        self._nursery.sweep()

    def create(self, name: str, default_branch: str, first: NewCommit) -> None:
        """See GitHost.create."""
        self._nursery.create(self._path(name), default_branch, first)

    def repository(self, name: str) -> Repository:
        """See GitHost.repository. Raises RemoteUrlError for one that lies at a URL that may not be."""
        url = (self._remotes or {}).get(name)
        if url is not None and self._elsewhere is not None:
            return self._elsewhere.at(url)
        if not self._path(name).is_dir():
            raise RepositoryNotFoundError(f"There is no repository of project {name!r}; create the project first.")
        with self._lock:
            if name not in self._known:
                self._known[name] = DiskRepository(self._path(name), self._sync)
            return self._known[name]

    def place(self, remotes: Mapping[str, str]) -> None:
        """See GitHost.place."""
        begins, self._remotes = self._remotes is None, dict(remotes)
        if begins and self._elsewhere is not None:
            self._elsewhere.sweep(set(remotes.values()))

    def _path(self, name: str) -> Path:
        return self._root / f"{name}.git"


def _ref(branch: str) -> str:
    if not is_ref(HEADS + branch):
        raise RefConflictError(f"{branch!r} is not a branch name Git accepts: see `git check-ref-format`.")
    return HEADS + branch


def lay_out(path: Path, default_branch: str) -> None:
    """The least that Git takes for a bare repository, and no sample hooks."""
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (path / folder).mkdir(parents=True)
    (path / "config").write_text(CONFIG, encoding="utf-8")
    (path / "HEAD").write_text(f"ref: {_ref(default_branch)}\n", encoding="utf-8")


def _sync_all(path: Path) -> None:
    """Put a whole folder on the disk."""
    for folder, _, files in os.walk(path):
        for name in files:
            descriptor = os.open(Path(folder, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(folder))


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path.name} cannot be written: {error.strerror or error}. Nothing was changed; free the disk or its rights."
    )
