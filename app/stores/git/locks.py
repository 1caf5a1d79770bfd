"""Turns and locks: one registry writer at a time, and Git's own `x.lock` files taken so that a kill blocks nobody.

Git lets only one process move a ref: the one that managed to create `<ref>.lock`. Whoever is killed meanwhile leaves
the file behind, and the ref is blocked until somebody dares to remove it. Two rules say when that is safe:

*Ours*: a lock is a hard link to a draft in `<repository>/registry/`, so who finds a draft while holding the turn knows
that its writer is dead and, by the inode, which lock was its own. No clock is asked, nothing waited for.

*Anybody else's* (stock Git's): left alone unless it is older than `STALE` and did not change while we watched it for
`WATCH`. Git holds a ref's lock for milliseconds; the watching covers a clock that jumped, as after suspend.
"""

import contextlib
import fcntl
import logging
import os
import random
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from app.stores.durable import Sync, one_by_one
from app.stores.errors import RefConflictError, RepositoryBusyError

PATIENCE = 5.0  # seconds until a writer gives up
STALE = 60.0  # seconds after which a foreign lock may be a dead process's
WATCH = 0.25  # seconds it has to stay untouched before our eyes
NAP = 0.002  # seconds; multiplied by chance up to tenfold
HOME = "registry"
TURN = "lock"
log = logging.getLogger("ml_registry.git")


class RefLock:
    """A held lock file and what it locks."""

    def __init__(self, lock: Path, target: Path) -> None:
        self._lock = lock
        self._target = target
        self._held = True

    def commit(self) -> None:
        """Put the lock's content in the target's place, which gives the lock back."""
        self._lock.replace(self._target)
        self._held = False

    def release(self) -> None:
        """Give the lock back if it is still held: after `commit` a lock of that name is somebody else's."""
        if self._held:
            self._lock.unlink(missing_ok=True)
            self._held = False


class Turns:
    """Whose turn it is to write a repository: one thread of one process. Reading needs no turn."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._home = repository / HOME
        self._thread = threading.Lock()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the turn, with nothing of a killed writer left in the way. Raises RepositoryBusyError."""
        deadline = time.monotonic() + PATIENCE
        if not self._thread.acquire(timeout=PATIENCE):
            raise RepositoryBusyError("Another thread has been writing this repository for too long; try again.")
        try:
            self._home.mkdir(exist_ok=True)
            with flocked(self._home / TURN, deadline):
                self._sweep()
                yield
        finally:
            self._thread.release()

    @contextlib.contextmanager
    def locked(self, target: Path, content: bytes, sync: Sync = one_by_one) -> Iterator[RefLock]:
        """Hold `<target>.lock`, which has `content` already. Call with the turn held.

        `sync` puts that on the disk, and whatever has to be there before anybody may find the lock; what it raises is
        left as it is. Raises RepositoryBusyError, RefConflictError.
        """
        draft = self._home / f"draft-{secrets.token_hex(8)}"
        lock = target.with_name(target.name + ".lock")
        try:
            write_durably(draft, content, sync=sync)
            try:
                take(draft, lock)
            except (NotADirectoryError, FileExistsError) as error:
                name = target.relative_to(self._repository).as_posix()
                raise RefConflictError(f"{name!r} cannot be made: a part of its name is taken already.") from error
            held = RefLock(lock, target)
            try:
                yield held
            finally:
                held.release()
        finally:
            draft.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove the drafts of writers that were killed, and before them the locks that are the same files."""
        drafts = [entry for entry in os.scandir(self._home) if entry.name != TURN]
        if not drafts:
            return
        dead = {entry.inode() for entry in drafts}
        for lock in [*(self._repository / "refs").rglob("*.lock"), self._repository / "packed-refs.lock"]:
            with contextlib.suppress(FileNotFoundError):
                if lock.lstat().st_ino in dead:
                    lock.unlink()
        for entry in drafts:
            Path(entry.path).unlink()


@contextlib.contextmanager
def flocked(path: Path, deadline: float) -> Iterator[None]:
    """Hold `path` by flock, waiting until `deadline` (of time.monotonic). Raises RepositoryBusyError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while not _flock(descriptor):
            if time.monotonic() > deadline:
                raise RepositoryBusyError(f"Another process holds {path.name!r} of {path.parent.name}; try again.")
            nap()
        try:
            yield
        finally:
            # Closing is not enough: a process forked meanwhile holds the same open file.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def take(draft: Path, lock: Path) -> None:
    """Make `lock` a link to `draft` as soon as nobody else has it.

    Raises RepositoryBusyError; NotADirectoryError and FileExistsError where a file has the name of a folder above it.
    """
    deadline = time.monotonic() + PATIENCE
    seen, since = (0, 0), 0.0
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError, FileExistsError):  # the folder just went, or the lock is there
            os.link(draft, lock)
            return
        with contextlib.suppress(FileNotFoundError):
            now = lock.lstat()
            if (now.st_ino, now.st_mtime_ns) != seen:
                seen, since = (now.st_ino, now.st_mtime_ns), time.monotonic()
            elif time.monotonic() - since > WATCH and time.time() - now.st_mtime > STALE:
                lock.unlink()
                continue
        if time.monotonic() > deadline:
            log.warning("another process holds %s; if none runs, remove that file", lock)
            raise RepositoryBusyError(f"Another process holds {lock.name!r}; try again. If it lasts, ask the operator.")
        nap()


def nap() -> None:
    """Sleep for a moment that differs each time, so that waiters do not march in step."""
    time.sleep(NAP * random.uniform(1, 10))  # noqa: S311 - jitter, not a secret


def write_durably(path: Path, content: bytes, mode: int = 0o644, sync: Sync = one_by_one) -> None:
    """A new file that is on the disk when this returns, though its name in the folder may not be."""
    with new_file(path, mode) as file:
        file.write(content)
        file.flush()
        sync([file.fileno()])


def new_file(path: Path, mode: int) -> BinaryIO:
    """A file that was not there before, to be written. Raises FileExistsError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
