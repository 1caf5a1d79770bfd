"""A project on memory stores, changed as programs do (through the registry) and as people do (in its repository)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dulwich.objects import Blob, Commit, ObjectID, Tree

from app.registry.access.identity import Identity
from app.registry.access.policy import ANYONE
from app.registry.artifacts import (
    ChangeRequest,
    Committed,
    ObjectRequest,
    PatchRequest,
    PendingPolicy,
    PutRequest,
    WriteRequest,
)
from app.registry.changes import DeleteEntry, RenameEntry
from app.registry.model import Actor, Branch, Project
from app.registry.registry import Registry
from app.stores.git.memory import MemoryRepository
from app.stores.ports import NewCommit, Signature

ADA = Actor("Ada", "ada@example.org")
GRACE = Actor("Grace", "grace@example.org")


def signed_in(actor: Actor) -> Identity:
    """Somebody, as a server knows them while nobody has to sign in."""
    return Identity(actor, frozenset({ANYONE}))


RESERVED = ("dataObjectId", "type", "description", "labels")


def put(name: str, pinned: ObjectRequest | None = None, **entry: Any) -> PutRequest:
    """A put of an entry given by its keys."""
    metadata = {key: value for key, value in entry.items() if key not in RESERVED}
    labels = entry.get("labels")
    return PutRequest(
        name, entry.get("dataObjectId"), entry.get("type"), entry.get("description"), labels, metadata or None, pinned
    )


def patch(name: str, value: Any) -> PatchRequest:
    """A merge patch that pins nothing."""
    return PatchRequest(name, value, None)


@dataclass
class Desk:
    """One project, and both roads into it."""

    registry: Registry
    project: Project
    repository: MemoryRepository

    async def commit(
        self,
        *changes: ChangeRequest,
        branch: str | None = None,
        base: str | None = None,
        key: str | None = None,
        message: str | None = None,
        author: Actor | None = None,
        pending: PendingPolicy = PendingPolicy.ALLOW,
    ) -> Committed:
        """One mutation by Ada."""
        request = WriteRequest(self.project.name, branch, message, base, key, author)
        return await self.registry.artifacts.commit(self.project, request, changes, ADA, pending)

    async def put(self, name: str, **entry: Any) -> str:
        """Put one entry on the default branch; answers the commit."""
        return (await self.commit(put(name, **entry))).commit

    async def rename(self, name: str, to: str) -> Committed:
        """Rename one entry."""
        return await self.commit(RenameEntry(name, to))

    async def delete(self, name: str) -> Committed:
        """Delete one entry."""
        return await self.commit(DeleteEntry(name))

    async def restore(self, name: str, revision: str) -> Committed:
        """Restore one entry."""
        request = WriteRequest(self.project.name, None, None, None, None)
        return await self.registry.artifacts.restore(self.project, request, name, revision, ADA)

    def push(self, text: str, branch: str = "main", path: str = "artifacts.yml") -> str:
        """Commit a file as Grace does with git."""
        return push(self.repository, {path: text.encode()}, branch)

    async def follow(self) -> None:
        """Look at Git, as the timer does."""
        await self.registry.follow()

    async def branch(self, name: str = "main") -> Branch:
        """A branch as it is served."""
        found = await self.registry.branches.get(self.project, name)
        assert found, name
        return found

    async def entries(self, branch: str = "main") -> dict[str, Mapping[str, Any]]:
        """The entries of a branch as they are served."""
        at = (await self.branch(branch)).at
        manifest = await self.registry.manifests.get(self.project, at.blob)
        return {name: entry.entry for name, entry in manifest.entries.items()}

    def head(self, branch: str = "main") -> str:
        """Where a branch is in Git."""
        found = self.repository.head(branch)
        assert found, branch
        return found

    def text(self, revision: str | None = None) -> str:
        """The manifest's text in Git."""
        file = self.repository.file(revision or self.head(), self.project.manifest_path)
        return self.repository.blob(file.oid, 1 << 24).decode() if file else ""

    def log(self) -> list[str]:
        """The ids of the default branch's commits, newest first, without the first, empty one."""
        found = [self.head()]
        while parents := self.repository.commit(found[-1]).parents:
            found.append(parents[0])
        return found[:-1]

    async def events(self) -> list[str]:
        """What is told once the writers' lanes are done: kinds, and names of artifacts."""
        await self.registry.lanes.finish()
        await self.registry.telling.finish()
        told = await self.registry.telling.page(self.project, None, 1000)
        events = [one.event for one in told][1:]  # the first is that of the project's own branch
        return [f"{one.kind.value} {one.change.name}" if one.change else one.kind.value for one in events]


def push(repository: MemoryRepository, files: Mapping[str, bytes], branch: str = "main") -> str:
    """A commit of whole files by Grace."""
    who = Signature(GRACE.name, GRACE.email, datetime.now(UTC))
    return repository.write_commits(branch, repository.head(branch), [NewCommit(files, "By hand", who, who)])[0]


def graft(
    repository: MemoryRepository, parents: Sequence[str], files: Mapping[str, str], at: int = 0, mode: int = 0o100644
) -> str:
    """A commit with any parents that holds just `files`, `at` seconds after 1970; no branch is moved."""
    tree, blobs = Tree(), []
    for name, text in files.items():
        blobs.append(Blob.from_string(text.encode()))
        tree.add(name.encode(), mode, blobs[-1].id)
    commit = Commit()
    commit.tree = tree.id
    commit.parents = [ObjectID(parent.encode()) for parent in parents]
    commit.author = commit.committer = b"Grace <grace@example.org>"
    commit.author_time = commit.commit_time = at
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = b"By hand\n"
    repository.objects.keep([*blobs, tree, commit])
    return commit.id.decode()


def force(repository: MemoryRepository, branch: str, oid: str) -> None:
    """Put a branch anywhere, as a forced push does."""
    if head := repository.head(branch):
        repository.delete_branch(branch, head)
    repository.create_branch(branch, oid)
