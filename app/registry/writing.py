"""The write path: proposals on a branch become commits, one each, moved into place by one compare-and-swap.

The ref update is the only moment where "done" becomes true. Before it nothing is visible, after it nothing is lost.
"""

import hashlib
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import NamedTuple, TypeVar

from app.registry.catalogue import COMMITTER, signature
from app.registry.changes import EntryChange, plan, touched
from app.registry.diff import changes as changes_between
from app.registry.errors import (
    ConflictError,
    ContentionError,
    IdempotencyKeyReusedError,
    InvalidInputError,
    ManifestBrokenError,
    NotFoundError,
    RegistryError,
    RemoteRejectedError,
    RemoteUnavailableError,
    Subject,
)
from app.registry.manifest import DEFAULT_LIMITS, Document, EditRefusedError, Manifest, parse, revise
from app.registry.manifests import EMPTY, Manifests
from app.registry.messages import Idempotency, describe, idempotency_of, with_trailers
from app.registry.model import Actor, Branch, Change, ManifestAt, ManifestState
from app.registry.remotes import refusals
from app.stores.errors import CommitNotFoundError, PathConflictError, RefMovedError, RepositoryBusyError, StoreError
from app.stores.ports import CommitRecord, NewCommit, Repository
from app.stores.walks import newest_first

T = TypeVar("T")

TRIES = 10
SECONDS = 15.0
"""A turn is given up once it lost both so many times and for so long."""
NAP = 0.005
"""Seconds, at most and times how often the turn was lost, to wait before the next try."""
DISPUTED_SECONDS = 3.0
MOST = 256
"""Commits that go together."""
REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Proposal:
    """One mutation: what is to change, who says so, and on what condition."""

    changes: tuple[EntryChange, ...]
    author: Actor
    actor: Actor
    message: str | None = None
    base: str | None = None
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a proposal: the commit it is in (the head when nothing changed) and the manifest there.

    `record` is that commit where it was just made.
    """

    commit: str
    changed: bool
    manifest: Manifest
    record: CommitRecord | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did to a branch. An outcome of None has to be tried again on the new head."""

    previous: str | None
    branch: Branch
    manifest: Manifest
    outcomes: tuple[Written | RegistryError | None, ...]


class Keys:
    """The idempotency keys of a branch's last commits, read on from where they were last read.

    Those of the last `REMEMBERED` commits are always known, also of those that somebody merged, and never more than so
    many keys are kept.
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str]] = {}
        self._known: dict[str, None] = {}  # the commits they were read from
        self._head: str | None = None

    def find(self, repository: Repository, head: str, wanted: Idempotency) -> str | None:
        """The commit made with this key, or None. Raises IdempotencyKeyReusedError when the input was another."""
        self._read(repository, head)
        if wanted.key not in self._found:
            return None
        digest, commit = self._found[wanted.key]
        if digest != wanted.digest:
            raise IdempotencyKeyReusedError(wanted.key)
        return commit

    def _read(self, repository: Repository, head: str) -> None:
        if head == self._head:
            return
        found, known = self._found, self._known
        new = list(islice(newest_first(repository, head, known), REMEMBERED))
        if known and not any(self._head in commit.parents for commit in new):  # what was read is not behind it
            found, known = {}, {}
            new = list(islice(newest_first(repository, head), REMEMBERED))
        new.reverse()
        keys = [(idempotency_of(commit.message), commit.oid) for commit in new]
        self._found = _last({**found, **{one.key: (one.digest, oid) for one, oid in keys if one}})
        self._known = _last({**known, **dict.fromkeys(commit.oid for commit in new)})
        self._head = head


def _last(items: dict[str, T]) -> dict[str, T]:
    """Those that came last."""
    return dict(islice(items.items(), max(0, len(items) - REMEMBERED), None))


class Latest(NamedTuple):
    """The file that was written last, or read: its blob, None where there is no file, and what is in it."""

    blob: str | None
    document: Document


class BranchWriter:
    """Writes to one branch. Blocking; one turn at a time."""

    def __init__(self, repository: Repository, manifests: Manifests) -> None:
        self._repository = repository
        self._manifests = manifests
        self._keys = Keys()
        self._last: Latest | None = None
        self._together = MOST
        self._lost_at = float("-inf")

    @property
    def disputed(self) -> bool:
        """Whether somebody else moved the branch at the same time, not long ago."""
        return time.monotonic() - self._lost_at < DISPUTED_SECONDS

    def turn(self, branch: Branch, proposals: Sequence[Proposal]) -> Turn:
        """Apply proposals in order, one commit each, as many as go together.

        Where a Git server elsewhere refuses all for what may be the fault of one, fewer are tried, down to that one.
        """
        while True:
            together = proposals[: self._together]
            try:
                with refusals():
                    turn = self._turn(branch, together)
            except (RemoteRejectedError, RemoteUnavailableError) as error:
                fault = isinstance(error, RemoteRejectedError)
                self._together = max(1, len(together) // 2) if fault else self._together
                if fault and len(together) > 1:
                    continue
                turn = Turn(None, branch, EMPTY, (error,) * len(together))
            else:
                self._together = min(MOST, self._together * 2)
            return replace(turn, outcomes=(*turn.outcomes, *(None,) * (len(proposals) - len(together))))

    def _turn(self, branch: Branch, proposals: Sequence[Proposal]) -> Turn:
        """Start over on the new head whenever somebody else was faster."""
        deadline = time.monotonic() + SECONDS
        for lost in count(1):
            head = self._repository.head(branch.name)
            if head is None:
                gone = NotFoundError(Subject.BRANCH, branch.name)
                return Turn(None, branch, EMPTY, (gone,) * len(proposals))
            at = self._manifests.at(self._repository, branch.project.manifest_path, head)
            attempt = _Attempt(self._repository, self._manifests, self._keys, replace(branch, at=at), self._last)
            try:
                turn = attempt.run(proposals)
            except (RefMovedError, RepositoryBusyError) as error:
                busy = isinstance(error, RepositoryBusyError)  # which was waited for
                self._lost_at = time.monotonic()
                if time.monotonic() > deadline and (busy or lost >= TRIES):
                    break
                time.sleep(random.uniform(0, NAP * lost))  # noqa: S311 (lets others go first, guards nothing)
            except PathConflictError as error:
                blocked = ManifestBrokenError(f"The manifest cannot be written. {error}", ())
                return Turn(None, branch, EMPTY, (blocked,) * len(proposals))
            else:
                self._last = attempt.last  # of which the next turn need only read what changed
                return turn
        refusal = ContentionError("Others are writing to this branch all the time. Nothing was recorded; try again.")
        return Turn(None, branch, EMPTY, (refusal,) * len(proposals))


class _Attempt:
    """One try at a turn on one head."""

    def __init__(
        self, repository: Repository, manifests: Manifests, keys: Keys, branch: Branch, last: Latest | None
    ) -> None:
        self.last = last
        self._repository = repository
        self._manifests = manifests
        self._keys = keys
        self._branch = branch
        self._begun = time.monotonic()
        self._path = branch.project.manifest_path
        self._manifest = manifests.load(repository, branch.at.blob) if branch.at.blob else EMPTY
        self._commits: list[NewCommit] = []
        self._blobs: list[str] = []
        self._taken: set[str] = set()

    def run(self, proposals: Sequence[Proposal]) -> Turn:
        """Decide on every proposal, then move the branch once. Raises RefMovedError, RepositoryBusyError."""
        decided = [self._decide(proposal) for proposal in proposals]
        head, at = self._branch.head, self._branch.at
        if not self._commits:
            self._stands(head)
            return Turn(head, self._branch, self._manifest, tuple(self._settled(decided, [])))
        oids = self._repository.write_commits(self._branch.name, head, self._commits)
        for oid, blob in zip(oids, self._blobs, strict=True):
            at = ManifestAt(oid, ManifestState.VALID, blob, blob, oid)
            self._manifests.stands(self._path, at)
        return Turn(head, replace(self._branch, at=at), self._manifest, tuple(self._settled(decided, oids)))

    def _stands(self, head: str) -> None:
        """Nothing is to be moved, so nothing else would show that what was decided upon is out of date already.

        Raises RefMovedError.
        """
        self._repository.fetch(self._begun)
        if self._repository.head(self._branch.name) != head:
            raise RefMovedError(f"{self._branch.name} has moved meanwhile")

    def _settled(
        self, decided: Sequence["Written | RegistryError | _Drafted | None"], oids: Sequence[str]
    ) -> list[Written | RegistryError | None]:
        return [self._written(oids[one.index], one.manifest) if isinstance(one, _Drafted) else one for one in decided]

    def _written(self, oid: str, manifest: Manifest) -> Written:
        """What is on the branch by now, even should Git not let itself be read at this moment."""
        with suppress(StoreError):
            return Written(oid, True, manifest, self._repository.commit(oid))  # noqa: FBT003 (a record's field)
        return Written(oid, True, manifest)  # noqa: FBT003 (a record's field)

    def _decide(self, proposal: Proposal) -> "Written | RegistryError | _Drafted | None":
        try:
            return self._repeated(proposal) or self._drafted(proposal)
        except _LaterError:
            return None
        except RegistryError as refusal:
            return refusal

    def _repeated(self, proposal: Proposal) -> Written | None:
        if proposal.idempotency is None:
            return None
        if proposal.idempotency.key in self._taken:
            raise _LaterError
        commit = self._keys.find(self._repository, self._branch.head, proposal.idempotency)
        return Written(commit, True, self._manifest_at(commit)) if commit else None  # noqa: FBT003 (a record's field)

    def _drafted(self, proposal: Proposal) -> "Written | _Drafted":
        if self._branch.at.state is ManifestState.BROKEN:
            raise ManifestBrokenError(
                f"{self._path} is broken at the head of {self._branch.name}. Repair it with git, then try again.",
                self._branch.at.problems,
            )
        self._check_base(proposal)
        planned = plan(proposal.changes, self._manifest)
        before = self._current()
        try:
            after = revise(before, planned.edits)
        except EditRefusedError as error:
            raise InvalidInputError.of("changes", error.message) from error
        if after.data == before.data:
            if self._commits:
                raise _LaterError  # what it found done is not yet a commit one could name
            return Written(self._branch.head, False, self._manifest)  # noqa: FBT003 (a record's field)
        self._manifest, text = after.manifest, after.data
        self._blobs.append(blob_id(text))
        self.last = Latest(self._blobs[-1], after)
        self._manifests.remember(self._blobs[-1], len(text), self._manifest)  # asked for again to tell of its events
        message = with_trailers(proposal.message or describe(planned.acts), proposal.actor, proposal.idempotency)
        self._commits.append(NewCommit({self._path: text}, message, signature(proposal.author), signature(COMMITTER)))
        if proposal.idempotency:
            self._taken.add(proposal.idempotency.key)
        return _Drafted(len(self._commits) - 1, self._manifest)

    def _check_base(self, proposal: Proposal) -> None:
        if proposal.base is None:
            return
        head = self._branch.head
        moved = self._moved(proposal.base, head, touched(proposal.changes))
        if not moved:
            return
        if self._commits:
            raise _LaterError  # it may conflict with a commit of this very turn, which has no id yet
        names = ", ".join(change.name for change in moved)
        raise ConflictError(
            f"Changed since {proposal.base[:12]}: {names}. Read the head {head[:12]}, decide anew, and send its id "
            "as baseCommit.",
            head,
            moved,
        )

    def _moved(self, base: str, head: str, names: frozenset[str]) -> list[Change]:
        found = changes_between(self._branch.project, (base, self._manifest_at(base)), (head, self._manifest))
        return [change for change in found if change.name in names]

    def _manifest_at(self, commit: str) -> Manifest:
        try:
            self._repository.commit(commit)  # a commit of another project is none of this one
        except CommitNotFoundError as error:
            raise NotFoundError(Subject.COMMIT, commit) from error
        at = self._manifests.at(self._repository, self._path, commit)
        return self._manifests.load(self._repository, at.blob) if at.blob else EMPTY

    def _current(self) -> Document:
        """The file as the commits so far leave it."""
        blob = self._blobs[-1] if self._blobs else self._branch.at.blob
        if self.last is None or self.last.blob != blob:
            text = self._manifests.text(self._repository, blob) if blob else b""
            self.last = Latest(blob, parse(text, DEFAULT_LIMITS, self.last and self.last.document))
        return self.last.document


@dataclass(frozen=True, slots=True)
class _Drafted:
    """A proposal that is the `index`-th commit of the turn."""

    index: int
    manifest: Manifest


class _LaterError(Exception):
    """This proposal can only be decided once the commits before it have ids."""


def blob_id(data: bytes) -> str:
    """The id Git gives these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
