"""The past: which commits touched a manifest, what each did, and who changed one entry last."""

from collections.abc import Iterator, Sequence
from itertools import islice

from app.registry.branches import Branches
from app.registry.diff import change_of, changes
from app.registry.errors import InvalidInputError
from app.registry.lineage import Reading
from app.registry.lineages import Lineages
from app.registry.manifest import Entry, Manifest
from app.registry.manifests import EMPTY, Manifests
from app.registry.memory import LEAST, Memory
from app.registry.model import Artifact, Branch, Change, Commit, ManifestAt, Project
from app.registry.names import OID
from app.registry.offload import Offload
from app.registry.revisions import Revision, parse, resolve
from app.stores.errors import CommitNotFoundError
from app.stores.ports import CommitRecord, GitHost

HEAD = "HEAD"
NEAR = 20
"""So many generations back it is quicker to look than to know the whole history."""


class History:
    """Answers questions about commits. Those that are remembered cost nothing, others a visit to Git in a thread."""

    def __init__(
        self, git: GitHost, branches: Branches, manifests: Manifests, lineages: Lineages, offload: Offload
    ) -> None:
        self._git = git
        self._branches = branches
        self._manifests = manifests
        self._lineages = lineages
        self._offload = offload
        self._memory: Memory[Commit] = Memory()

    async def commit(self, project: Project, oid: str) -> Commit | None:
        """A commit by its full id, or None."""
        return self._remembered(project, oid) or await self._offload(self._commit, project, oid)

    def remember(self, commit: Commit) -> None:
        """Keep a commit that was just read, so that nobody looks it up."""
        self._memory.put(f"{commit.project.name}:{commit.oid}", LEAST + len(commit.record.message), commit)

    async def at(self, project: Project, revision: str) -> Commit | None:
        """The commit a revision stands for, or None. Raises InvalidInputError for what is no revision."""
        asked = await self._named(project, parse(revision))
        if asked.back <= NEAR:
            return await self._offload(self._resolve, project, asked)
        begun = await self._offload(self._resolve, project, Revision(asked.name))
        if begun is None:
            return None
        oid = await self._lineages.ask(project, begun.oid, lambda reading: reading.ancestor(begun.oid, asked.back))
        return await self.commit(project, oid) if oid else None

    async def manifest(self, commit: Commit) -> Manifest:
        """The manifest a commit serves: its own, or the last good one before it."""
        at = await self.manifest_at(commit)
        return await self._manifests.get(commit.project, at.blob)

    async def manifest_at(self, commit: Commit) -> ManifestAt:
        """How the manifest at a commit stands, and which one is served for it."""
        return await self._offload(self._at, commit.project, commit.oid)

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
        oids = await self._lineages.ask(
            branch.project, branch.head, lambda reading: _page(reading.of_manifest(branch.head), after, count)
        )
        return await self._commits(branch.project, oids)

    async def of_artifact(self, artifact: Artifact, after: str | None, count: int) -> list[Change]:
        """Up to `count` changes of one entry, newest first, from just after the commit `after`."""
        project, name = artifact.project, artifact.name

        def changes_of(reading: Reading) -> list[Change | None]:
            oids = _page(reading.of_entry(artifact.commit, name), after, count)
            return [_change(project, name, reading, oid) for oid in oids]

        found = await self._lineages.ask(project, artifact.commit, changes_of)
        return [change for change in found if change]

    async def _commits(self, project: Project, oids: Sequence[str]) -> list[Commit]:
        """Commits that are known to exist; those not remembered are read in one visit."""
        found = [self._remembered(project, oid) for oid in oids]
        if None in found:
            found = await self._offload(lambda: [self._commit(project, oid) for oid in oids])
        return [commit for commit in found if commit]

    async def _named(self, project: Project, asked: Revision) -> Revision:
        """By its commit, where a branch lies elsewhere: another server may have moved it since we looked there."""
        if project.remote_url is None or OID.match(asked.name):
            return asked
        name = asked.name.removeprefix("refs/heads/")
        branch = await (self._branches.default(project) if name == HEAD else self._branches.get(project, name))
        return Revision(branch.head, asked.back) if branch else asked

    def _remembered(self, project: Project, oid: str) -> Commit | None:
        found = self._memory.get(f"{project.name}:{oid}")
        return found if found and found.project is project else None

    def _commit(self, project: Project, oid: str) -> Commit | None:
        if remembered := self._remembered(project, oid):
            return remembered
        try:
            found = Commit(project, self._git.repository(project.name).commit(oid))
        except CommitNotFoundError:
            return None
        self.remember(found)
        return found

    def _resolve(self, project: Project, revision: Revision) -> Commit | None:
        oid = resolve(self._git.repository(project.name), revision)
        return self._commit(project, oid) if oid else None

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


def _change(project: Project, name: str, reading: Reading, oid: str) -> Change | None:
    """What a commit did to an entry, against its first parent."""
    parent = reading.first_parent(oid)
    return change_of(project, name, (parent or oid, reading.entry(parent, name)), (oid, reading.entry(oid, name)))


def _page(walk: Iterator[str], after: str | None, count: int) -> list[str]:
    return list(islice(_after(walk, after), count))


def _after(walk: Iterator[str], after: str | None) -> Iterator[str]:
    """The rest of a walk behind one commit. Raises InvalidInputError when the walk does not come by it."""
    if after is None:
        return walk
    if after in walk:
        return walk
    raise InvalidInputError.of(
        "after", "This cursor is not of this list; the branch may have been rewritten. Start anew."
    )
