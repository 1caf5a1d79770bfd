"""Events: what happened to a branch, as a pure function of Git.

`derive` answers the same events, with the same ids, for the same move of a branch: from any process, at any time.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.registry.diff import changes
from app.registry.manifest import Manifest, Problem
from app.registry.manifests import EMPTY, Manifests
from app.registry.model import Actor, Change, ChangeKind, Event, EventKind, ManifestAt, ManifestState, Project
from app.stores.errors import CommitNotFoundError
from app.stores.ports import CommitRecord, GitHost, Repository

OF_CHANGE = {
    ChangeKind.ADDED: EventKind.ARTIFACT_ADDED,
    ChangeKind.MODIFIED: EventKind.ARTIFACT_MODIFIED,
    ChangeKind.REMOVED: EventKind.ARTIFACT_REMOVED,
}


@dataclass(frozen=True, slots=True)
class Move:
    """A branch that went from one commit to another; None is a branch that is not there."""

    project: Project
    branch: str
    before: str | None
    after: str | None


def event_id(project: str, branch: str, commit: str, entry: str, kind: EventKind) -> str:
    """sha-256 over what makes an event itself, in hex."""
    text = f"{project}\0{branch}\0{commit}\0{entry}\0{kind.value}"
    return hashlib.sha256(text.encode()).hexdigest()


def derive(git: GitHost, manifests: Manifests, move: Move) -> list[Event]:
    """Blocking. The events of a move, oldest first.

    Along first parents each commit gives its changes by entry name, a merge those against its first parent. A branch
    that was created gives one event, and so does one that was deleted; a forced push gives BRANCH_REWRITTEN and one
    diff from where the branch was. When the old head was merged into new work, and not the other way round, nothing
    was rewritten, and the diff from where the branch was is told alone. Where Git has lost where the branch was,
    BRANCH_REWRITTEN is told without a diff. Raises CommitNotFoundError where it has lost where the branch went.
    """
    if move.before == move.after:
        return []
    return list(_Derivation(git.repository(move.project.name), manifests, move).events())


class _Derivation:
    def __init__(self, repository: Repository, manifests: Manifests, move: Move) -> None:
        self._repository = repository
        self._manifests = manifests
        self._move = move

    def events(self) -> Iterator[Event]:
        before, after = self._move.before, self._move.after
        if after is None:
            yield self._told(self._commit(before or ""), 0, EventKind.BRANCH_DELETED, previous=before)
        elif before is None:
            yield self._told(self._commit(after), 0, EventKind.BRANCH_CREATED)
        else:
            path = self._first_parents(before, after)
            if path is None:
                yield from self._aside(before, self._commit(after))
            for older, commit in path or ():
                yield from self._step(older, commit)

    def _first_parents(self, before: str, after: str) -> Sequence[tuple[str, CommitRecord]] | None:
        """The commits from `before` (without it) to `after`, oldest first; None when `before` is not on the way."""
        path: list[tuple[str, CommitRecord]] = []
        commit = self._commit(after)
        while commit.oid != before:
            if not commit.parents:
                return None
            path.append((commit.parents[0], commit))
            commit = self._commit(commit.parents[0])
        return path[::-1]

    def _aside(self, before: str, commit: CommitRecord) -> Iterator[Event]:
        """A move to a commit that `before` is no first parent of."""
        try:
            rewritten, lost = not self._merged(before, commit.oid), False
        except CommitNotFoundError:
            rewritten, lost = True, True
        if rewritten:
            yield self._told(commit, 0, EventKind.BRANCH_REWRITTEN, previous=before)
        if not lost:
            yield from self._step(before, commit, first=int(rewritten))

    def _merged(self, before: str, after: str) -> bool:
        """Whether `after` has `before` behind it by whichever parents; looks no further back than `before` is old."""
        since = self._commit(before).committer.at
        seen, waiting = {after}, [self._commit(after)]
        while waiting:
            commit = waiting.pop()
            if commit.oid == before:
                return True
            parents = [self._commit(oid) for oid in commit.parents if oid not in seen]
            seen.update(commit.parents)
            waiting += [parent for parent in parents if parent.committer.at >= since]
        return False

    def _step(self, before: str, commit: CommitRecord, first: int = 0) -> Iterator[Event]:
        old, new = self._at(before), self._at(commit.oid)
        if new.state is ManifestState.BROKEN:
            if old.file != new.file or old.problems != new.problems:
                yield self._told(commit, first, EventKind.MANIFEST_BROKEN, problems=new.problems)
                first += 1
        elif old.state is ManifestState.BROKEN:
            yield self._told(commit, first, EventKind.MANIFEST_REPAIRED)
            first += 1
        was, now = (before, self._served(old)), (commit.oid, self._served(new))
        for sequence, change in enumerate(changes(self._move.project, was, now), first):
            yield self._told(commit, sequence, OF_CHANGE[change.kind], change=change)

    def _at(self, commit: str) -> ManifestAt:
        return self._manifests.at(self._repository, self._move.project.manifest_path, commit)

    def _served(self, at: ManifestAt) -> Manifest:
        return self._manifests.load(self._repository, at.blob) if at.blob else EMPTY

    def _commit(self, oid: str) -> CommitRecord:
        return self._repository.commit(oid)

    def _told(
        self,
        commit: CommitRecord,
        sequence: int,
        kind: EventKind,
        *,
        change: Change | None = None,
        problems: tuple[Problem, ...] = (),
        previous: str | None = None,
    ) -> Event:
        project, branch = self._move.project, self._move.branch
        entry = change.name if change else ""
        return Event(
            id=event_id(project.name, branch, commit.oid, entry, kind),
            kind=kind,
            project=project,
            branch=branch,
            commit=commit.oid,
            sequence=sequence,
            occurred_at=commit.committer.at,
            actor=Actor(commit.author.name, commit.author.email) if kind is not EventKind.BRANCH_DELETED else None,
            change=change,
            problems=problems,
            previous_head=previous,
        )
