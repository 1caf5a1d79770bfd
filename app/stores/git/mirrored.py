"""Repositories that lie elsewhere: read in the copy that is here, written by pushing.

The remote's ref is the only place where a write becomes true. The copy follows it.
"""

import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Container, Generator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from app.stores.errors import (
    BlobNotFoundError,
    CommitNotFoundError,
    RefConflictError,
    RefMovedError,
    RemoteRefusedError,
    RemoteUnavailableError,
    RemoteUrlError,
    RepositoryBusyError,
    RepositoryCorruptError,
    RepositoryNotFoundError,
    StoreError,
)
from app.stores.git import objects
from app.stores.git.address import Address
from app.stores.git.credentials import Credentials
from app.stores.git.disk import packed_bytes
from app.stores.git.hosted import PACK_FROM, DiskRepository
from app.stores.git.https import HttpsTransport, Pools
from app.stores.git.locks import flocked
from app.stores.git.looks import Looks
from app.stores.git.mirror import Mirror
from app.stores.git.refs import HEADS
from app.stores.git.remote import OutcomeUnknownError, Remote
from app.stores.git.ssh import SshTransport
from app.stores.git.transport import Patience
from app.stores.ports import CommitRecord, NewCommit, Refs, Trace, TreeFile
from app.stores.walks import newest_first

EMPTY_PACK, _ = packed_bytes(())
MOST_PUSHED_ON = 1000  # commits that others may have put on ours until we look
UNUSED = 86400.0  # seconds
COPY = re.compile(r"[0-9a-f]{40}\.git\Z")
Answer = TypeVar("Answer")
log = logging.getLogger("ml_registry.git")


class MirroredRepository:
    """The repository at the end of `remote`, with its copy at `path`."""

    def __init__(self, path: Path, remote: Remote) -> None:
        self._remote = remote
        self._mirror = Mirror(path, remote)
        self._copy = DiskRepository(path)
        self._looks = Looks(self._mirror)

    def refs(self) -> Refs:
        """See Repository.refs; raises what `fetch` raises when there is no copy yet."""
        self._begin()
        return self._watching(self._copy.refs)

    def head(self, branch: str) -> str | None:
        """See Repository.head and `refs`."""
        self._begin()
        return self._watching(lambda: self._copy.head(branch))

    def fingerprint(self) -> str:
        """See Repository.fingerprint and `refs`."""
        self._begin()
        return self._watching(self._copy.fingerprint)

    def commit(self, oid: str) -> CommitRecord:
        """See Repository.commit. Looks at the remote when it is not here."""
        return self._finding(lambda: self._copy.commit(oid), oid, CommitNotFoundError)

    def file(self, commit: str, path: str) -> TreeFile | None:
        """See Repository.file and `commit`."""
        return self._finding(lambda: self._copy.file(commit, path), commit, CommitNotFoundError)

    def blob(self, oid: str, limit: int) -> bytes:
        """See Repository.blob and `commit`."""
        return self._finding(lambda: self._copy.blob(oid, limit), oid, BlobNotFoundError)

    def trace(self, path: str, head: str, known: Container[str], tips: Collection[str]) -> Generator[Trace, None, None]:
        """See Repository.trace and `commit`."""
        if head not in known:
            self.commit(head)
        try:
            yield from self._copy.trace(path, head, known, tips)
        except RepositoryCorruptError:
            self._looks.doubt()
            raise

    def write_commits(self, branch: str, expected: str | None, commits: Sequence[NewCommit]) -> tuple[str, ...]:
        """See Repository.write_commits. Objects that are not taken stay in the copy, where nothing leads to them."""
        self._stand(branch, expected)
        ids, new = self._watching(lambda: objects.build(self._mirror.objects, expected, commits))
        if ids:
            self._mirror.keep(new, packed=len(ids) >= PACK_FROM)
            self._push(branch, expected, ids[-1], packed_bytes(new)[0])
        return tuple(ids)

    def create_branch(self, branch: str, oid: str) -> None:
        """See Repository.create_branch."""
        self.commit(oid)
        try:
            self._stand(branch, None)
            self._push(branch, None, oid, EMPTY_PACK)
        except RefMovedError as error:
            raise RefConflictError(f"There is a branch {branch!r} already.") from error

    def move_branch(self, branch: str, expected: str | None, oid: str) -> None:
        """See Repository.move_branch."""
        self.commit(oid)
        self._stand(branch, expected)
        if expected != oid:
            self._push(branch, expected, oid, EMPTY_PACK)

    def delete_branch(self, branch: str, expected: str) -> None:
        """See Repository.delete_branch."""
        self._stand(branch, expected)
        self._push(branch, expected, None, b"")

    def fetch(self, since: float | None = None) -> None:
        """See Repository.fetch."""
        self._looks.look(since)

    def listed(self) -> float:
        """See Repository.listed."""
        return self._looks.listed

    def _begin(self) -> None:
        if not self._mirror.there():
            self._looks.begin()

    def _watching(self, read: Callable[[], Answer]) -> Answer:
        """What is read; a copy in which something is garbled is made again at the next look."""
        try:
            return read()
        except RepositoryCorruptError:
            self._looks.doubt()
            raise

    def _finding(self, read: Callable[[], Answer], oid: str, missing: type[StoreError]) -> Answer:
        """What is read, if need be after a look, for another server may have pushed it a moment ago."""
        try:
            return self._watching(read)
        except (missing, RepositoryNotFoundError):
            commit = oid if missing is CommitNotFoundError else None
            if not objects.OID.match(oid) or not self._looks.glance(commit):
                raise missing(f"There is no {oid} in this repository.") from None
        try:
            return self._watching(read)
        except (missing, RepositoryNotFoundError) as error:
            if missing is BlobNotFoundError or self._leads_to(oid):
                self._looks.doubt()
            raise missing(f"There is no {oid} in this repository.") from error

    def _leads_to(self, oid: str) -> bool:
        """Whether a branch here is at a commit. A blob's id is known from a tree only, which leads to it."""
        return self._mirror.there() and oid in self._copy.refs().heads.values()

    def _stand(self, branch: str, expected: str | None) -> None:
        """Have a branch where it is expected, looking once. Raises RefMovedError, RefConflictError."""
        self._begin()
        try:
            self._copy.check(branch, expected)
        except (RefMovedError, RefConflictError):
            self.fetch(time.monotonic())
            self._copy.check(branch, expected)

    def _push(self, branch: str, old: str | None, new: str | None, pack: bytes) -> None:
        """Move a branch over there, then here.

        The second time only after a look has shown that the first did not arrive. Should it still arrive, the second
        is refused, because the branch is not where it was.
        """
        for last in (False, True):
            try:
                self._remote.push(HEADS + branch, old, new, pack)
                break
            except OutcomeUnknownError as error:
                log.warning("a push to %r was not answered: %s", branch, error)
                if self._arrived(branch, old, new, error):
                    break
                if last:
                    raise _maybe(error) from error
            except RemoteRefusedError:
                self.fetch(time.monotonic())
                if last and self._holds(branch, new):
                    break
                self._copy.check(branch, old)
                raise
        self._mirror.move(branch, old, new)

    def _arrived(self, branch: str, old: str | None, new: str | None, why: Exception) -> bool:
        """Look whether a push without an answer has arrived. Raises RefMovedError, RemoteUnavailableError."""
        try:
            self.fetch(time.monotonic())
        except StoreError as error:
            raise _maybe(why) from error
        if self._holds(branch, new):
            return True
        self._copy.check(branch, old)
        return False

    def _holds(self, branch: str, oid: str | None) -> bool:
        """Whether a commit is where a branch is or little behind; None: whether there is no such branch."""
        head = self._copy.head(branch)
        if head is None or oid is None:
            return head == oid
        return any(commit.oid == oid for commit in islice(newest_first(self._copy, head), MOST_PUSHED_ON))


class Mirrors:
    """Every repository that lies elsewhere, its copy below `root`. One instance for each URL.

    `ssh_key` and `known_hosts` are files for ssh, which uses those of this process's user without them.
    """

    def __init__(
        self,
        root: Path,
        credentials: Credentials,
        *,
        ssh_key: Path | None = None,
        known_hosts: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._root = root
        self._credentials = credentials
        self._ssh_key = ssh_key
        self._known_hosts = known_hosts
        self._patience = patience or Patience()
        self._pools = Pools()
        self._known: dict[str, MirroredRepository] = {}
        self._lock = threading.Lock()

    def at(self, url: str) -> MirroredRepository:
        """The repository of that URL; nothing is asked of it yet. Raises RemoteUrlError for one that may not be."""
        with self._lock:
            if url not in self._known:
                self._known[url] = self._new(Address.parse(url))
            return self._known[url]

    def sweep(self, urls: Collection[str]) -> None:
        """Remove the copies that have not been looked at for a day, but for those of `urls` and those in use."""
        kept = {_digest(url) for url in (*urls, *self._known)}
        for path in self._root.glob("*.git"):
            lock = path.with_suffix(".lock")
            if COPY.match(path.name) and path.stem not in kept and not path.is_symlink():
                with suppress(OSError, RepositoryBusyError), flocked(lock, 0.0):
                    if time.time() - lock.stat().st_mtime > UNUSED:
                        shutil.rmtree(path)

    def _new(self, address: Address) -> MirroredRepository:
        self._credentials.permit(address)
        transport = (
            SshTransport(address, self._patience, self._ssh_key, self._known_hosts)
            if address.scheme == "ssh"
            else HttpsTransport(address, self._credentials, self._pools, self._patience)
        )
        return MirroredRepository(self._root / f"{address.digest}.git", Remote(transport, str(address)))


def _digest(url: str) -> str | None:
    try:
        return Address.parse(url).digest
    except RemoteUrlError:
        return None


def _maybe(why: Exception) -> RemoteUnavailableError:
    return RemoteUnavailableError(
        f"{why} What was sent may have arrived: look whether it is there before you ask again, or ask again with the "
        "same idempotency key if you gave one."
    )
