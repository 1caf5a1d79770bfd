"""The past: which commits touched a manifest, what each did, and who changed one entry last."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import eq
from typing import TypeVar

from app.registry.diff import change_of, changes, same
from app.registry.errors import InvalidInputError
from app.registry.manifest import Entry, Manifest
from app.registry.manifests import EMPTY, Manifests
from app.registry.model import Artifact, Branch, Change, Commit, ManifestAt, Project
from app.registry.offload import Offload
from app.registry.revisions import parse, resolve
from app.stores.errors import CommitNotFoundError
from app.stores.ports import CommitRecord, GitHost, Repository

T = TypeVar("T")


class History:
    """Answers questions about commits. Each is one visit to Git, in a worker thread."""

    def __init__(self, git: GitHost, manifests: Manifests, offload: Offload) -> None:
        self._git = git
        self._manifests = manifests
        self._offload = offload

    async def commit(self, project: Project, oid: str) -> Commit | None:
        """A commit by its full id, or None."""
        return await self._offload(self._commit, project, oid)

    async def at(self, project: Project, revision: str) -> Commit | None:
        """The commit a revision stands for, or None. Raises InvalidInputError for what is no revision."""
        return await self._offload(self._resolve, project, revision)

    async def manifest(self, commit: Commit) -> Manifest:
        """The manifest a commit serves: its own, or the last good one before it."""
        at = await self._offload(self._at, commit.project, commit.oid)
        return await self._manifests.get(commit.project, at.blob)

    async def source(self, commit: Commit, name: str) -> tuple[Entry | None, bytes]:
        """An entry at a commit, and the text of the manifest it stands in; None and nothing when it is not there."""
        return await self._offload(self._source, commit.project, commit.oid, name)

    async def changes(self, commit: Commit) -> tuple[Change, ...]:
        """What a commit did, against its first parent."""
        return await self._offload(self._changes, commit.project, commit.record)

    async def comparison(self, base: Commit, head: Commit) -> tuple[Change, ...]:
        """What differs from one commit of a project to another."""
        return await self._offload(self._between, base.project, base.oid, head.oid)

    async def of_branch(self, branch: Branch, after: str | None, count: int) -> list[Commit]:
        """Up to `count` commits that changed the manifest, newest first, from just after the commit `after`."""
        return await self._offload(self._of_branch, branch, after, count)

    async def of_artifact(self, artifact: Artifact, after: str | None, count: int) -> list[Change]:
        """Up to `count` changes of one entry, newest first, from just after the commit `after`."""
        return await self._offload(self._of_artifact, artifact, after, count)

    def _commit(self, project: Project, oid: str) -> Commit | None:
        try:
            return Commit(project, self._git.repository(project.name).commit(oid))
        except CommitNotFoundError:
            return None

    def _resolve(self, project: Project, revision: str) -> Commit | None:
        parsed = parse(revision)
        repository = self._git.repository(project.name)
        oid = resolve(repository, parsed)
        return Commit(project, repository.commit(oid)) if oid else None

    def _at(self, project: Project, oid: str) -> ManifestAt:
        return self._manifests.at(self._git.repository(project.name), project.manifest_path, oid)

    def _manifest(self, project: Project, oid: str) -> Manifest:
        at = self._at(project, oid)
        return self._manifests.load(self._git.repository(project.name), at.blob) if at.blob else EMPTY

    def _source(self, project: Project, oid: str, name: str) -> tuple[Entry | None, bytes]:
        at = self._at(project, oid)
        if at.blob is None:
            return None, b""
        repository = self._git.repository(project.name)
        return self._manifests.load(repository, at.blob).entries.get(name), self._manifests.text(repository, at.blob)

    def _between(self, project: Project, base: str, head: str) -> tuple[Change, ...]:
        return changes(project, (base, self._manifest(project, base)), (head, self._manifest(project, head)))

    def _changes(self, project: Project, record: CommitRecord) -> tuple[Change, ...]:
        if record.parents:
            return self._between(project, record.parents[0], record.oid)
        return changes(project, (record.oid, EMPTY), (record.oid, self._manifest(project, record.oid)))

    def _of_branch(self, branch: Branch, after: str | None, count: int) -> list[Commit]:
        repository = self._git.repository(branch.project.name)
        path = branch.project.manifest_path
        walk = _after(touching(repository, branch.head, lambda oid: repository.file(oid, path)), after)
        return [Commit(branch.project, record) for record in islice(walk, count)]

    def _of_artifact(self, artifact: Artifact, after: str | None, count: int) -> list[Change]:
        project, name = artifact.project, artifact.name

        def entry(oid: str) -> Entry | None:
            return self._manifest(project, oid).entries.get(name)

        def change(record: CommitRecord) -> Change | None:
            before = ((parent, entry(parent)) for parent in record.parents)
            return change_of(project, name, next(before, (record.oid, None)), (record.oid, entry(record.oid)))

        walk = touching(self._git.repository(project.name), artifact.commit, entry, same)
        return [made for record in islice(_after(walk, after), count) if (made := change(record))]


def touching(
    repository: Repository, head: str, look: Callable[[str], T | None], alike: Callable[[T | None, T | None], bool] = eq
) -> Iterator[CommitRecord]:
    """The commits that changed what `look` sees at them, newest first, simplified as `git log -- path` does.

    A merge that has what one of its parents has is no change, and only that parent is followed.
    """
    seen = {head}
    queue = [_Step.of(repository, head, 0)]
    looks: dict[str, T | None] = {}

    def at(oid: str) -> T | None:
        if oid not in looks:
            looks[oid] = look(oid)
        return looks[oid]

    while queue:
        record = heapq.heappop(queue).record
        here = at(record.oid)
        kept = next((parent for parent in record.parents if alike(at(parent), here)), None)
        for parent in [kept] if kept else record.parents:
            if parent not in seen:
                seen.add(parent)
                heapq.heappush(queue, _Step.of(repository, parent, len(seen)))
        looks.pop(record.oid, None)
        if not kept and (record.parents or here):
            yield record


@dataclass(frozen=True, slots=True, order=True)
class _Step:
    """A commit in the queue: newest first, then in the order it was found."""

    age: float
    found: int
    record: CommitRecord = field(compare=False)

    @classmethod
    def of(cls, repository: Repository, oid: str, found: int) -> "_Step":
        record = repository.commit(oid)
        return cls(-record.committer.at.timestamp(), found, record)


def _after(walk: Iterator[CommitRecord], after: str | None) -> Iterator[CommitRecord]:
    """The rest of a walk behind one commit. Raises InvalidInputError when the walk does not come by it."""
    if after is None:
        return walk
    if any(record.oid == after for record in walk):
        return walk
    raise InvalidInputError.of(
        "after", "This cursor is not of this list; the branch may have been rewritten. Start anew."
    )
