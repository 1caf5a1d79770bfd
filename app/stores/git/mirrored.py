"""Repositories that lie elsewhere: read in the copy that is here, written by pushing.

The remote's ref is the only place where a write becomes true. The copy follows it.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Container, Generator, Sequence
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
    RepositoryCorruptError,
    RepositoryNotFoundError,
    StoreError,
)
from app.stores.git import objects
from app.stores.git.address import Address
from app.stores.git.credentials import Credentials
from app.stores.git.disk import packed_bytes
from app.stores.git.hosted import PACK_FROM, DiskRepository
from app.stores.git.https import HttpsTransport, pool
from app.stores.git.mirror import Mirror
from app.stores.git.refs import HEADS
from app.stores.git.remote import OutcomeUnknownError, Remote
from app.stores.git.ssh import SshTransport
from app.stores.git.transport import Patience
from app.stores.ports import CommitRecord, NewCommit, Refs, Trace, TreeFile
from app.stores.walks import newest_first

EMPTY_PACK, _ = packed_bytes(())
LOOK_EVERY = 0.25  # seconds
LONGEST_PAUSE = 10.0  # seconds between looks at a remote that does not answer
GLANCE = 2.0  # seconds a reader waits for a look
MOST_MISSED = 8  # commits that one look asks for by their ids
CURE_EVERY = 60.0  # seconds
MOST_PUSHED_ON = 1000  # commits that others may have put on ours until we look
Answer = TypeVar("Answer")
log = logging.getLogger("ml_registry.git")


class MirroredRepository:
    """The repository at the end of `remote`, with its copy at `path`."""

    def __init__(self, path: Path, remote: Remote) -> None:
        self._remote = remote
        self._mirror = Mirror(path, remote)
        self._copy = DiskRepository(path)
        self._looks = _Looks(self._mirror)

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


class _Looks:
    """When a mirror looks at its remote: one look at a time, which does for all who waited for it.

    Readers do not look themselves: a thread does it, and no reader waits for it longer than `GLANCE`.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._turn = threading.Lock()
        self._news = threading.Condition()
        self._sent = False  # whether there is a thread that looks for readers
        self._missed: dict[str, None] = {}  # commits they miss
        self.listed = float("-inf")  # when the last look that was a success began
        self._began = float("-inf")  # when the last look began
        self._ended = float("-inf")  # when the last look that is over began
        self._failed: StoreError | None = None  # why it was no success
        self._doubted = False
        self._cured = float("-inf")  # when the mirror was last made anew because of a doubt
        self._pause = LOOK_EVERY
        self._rests_until = float("-inf")

    def look(self, since: float | None) -> None:
        """See Repository.fetch."""
        asked = time.monotonic()
        with self._turn:
            if self._began > (asked if since is None else since) and self._failed is None:
                return
            if self._began > asked and self._failed is not None:
                raise self._failed.with_traceback(None)
            self._follow()

    def begin(self) -> None:
        """Have the first look done; soon after a failure nobody is asked, and it is the answer again.

        Raises what `look` raises, and RemoteUnavailableError when it takes longer than readers wait.
        """
        over = self._wait(None)
        if failed := self._failed:
            raise failed.with_traceback(None)
        if not over:
            raise RemoteUnavailableError("The repository is being fetched for the first time; ask again in a moment.")

    def glance(self, commit: str | None) -> bool:
        """Have something looked for that a reader misses, a commit also by its id; whether it may be here now."""
        return self._wait(commit) and self._failed is None

    def _wait(self, commit: str | None) -> bool:
        """Wait for a look that begins from now on; False when it has not ended, or is not to be soon.

        One that runs and has taken as long as a reader waits is not waited for.
        """
        asked = time.monotonic()
        with self._news:
            if commit:
                self._missed[commit] = None
            try:
                while self._ended < asked or commit in self._missed:
                    running = self._ended < self._began
                    left = min(asked, self._began if running else asked) + GLANCE - time.monotonic()
                    if left <= 0 or self._rests_until - time.monotonic() > LOOK_EVERY:
                        return False
                    if not self._sent:
                        threading.Thread(target=self._send, name="look", daemon=True).start()
                        self._sent = True
                    self._news.wait(left)
            finally:
                self._missed.pop(commit or "", None)
            return True

    def _send(self) -> None:
        """Look for readers, but not often."""
        try:
            time.sleep(max(0, self._rests_until - time.monotonic()))
            self.look(time.monotonic())
        except StoreError as error:
            log.info("what readers miss could not be looked for: %s", error)
        finally:
            with self._news:
                self._sent = False
                self._news.notify_all()

    def _follow(self) -> None:
        """Call with the turn held."""
        with self._news:
            missed = list(self._missed)[:MOST_MISSED]
            self._missed = dict.fromkeys(list(self._missed)[MOST_MISSED:])
            self._began = time.monotonic()
        try:
            self._mirror.follow(afresh=self._doubted, missed=missed)
            if self._doubted:
                self._doubted, self._cured = False, time.monotonic()
            self._failed, self._pause, self.listed = None, LOOK_EVERY, self._began
        except StoreError as error:
            self._failed = error
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            raise
        finally:
            with self._news:
                self._ended, self._rests_until = self._began, time.monotonic() + self._pause
                self._news.notify_all()

    def doubt(self) -> None:
        """Have the next look make the mirror anew; not again and again, for the remote itself may be broken."""
        if time.monotonic() - self._cured > CURE_EVERY:
            self._doubted = True


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
        self._pool = pool()
        self._known: dict[str, MirroredRepository] = {}
        self._lock = threading.Lock()

    def at(self, url: str) -> MirroredRepository:
        """The repository of that URL; nothing is asked of it yet. Raises RemoteUrlError for one that may not be."""
        with self._lock:
            if url not in self._known:
                self._known[url] = self._new(Address.parse(url))
            return self._known[url]

    def _new(self, address: Address) -> MirroredRepository:
        self._credentials.permit(address)
        transport = (
            SshTransport(address, self._patience, self._ssh_key, self._known_hosts)
            if address.scheme == "ssh"
            else HttpsTransport(address, self._credentials, self._pool, self._patience)
        )
        return MirroredRepository(self._root / f"{address.digest}.git", Remote(transport, str(address)))


def _maybe(why: Exception) -> RemoteUnavailableError:
    return RemoteUnavailableError(
        f"{why} What was sent may have arrived: look whether it is there before you ask again, or ask again with the "
        "same idempotency key if you gave one."
    )
