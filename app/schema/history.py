"""Commits and what they changed, as callers see them."""

from datetime import datetime
from typing import cast

import strawberry

from app.registry import diff, model
from app.registry.model import ChangeKind
from app.resolvers import artifacts, commits, manifests
from app.resolvers.paging import Edge, Page
from app.schema import described
from app.schema.info import Info
from app.schema.node import Node
from app.schema.paging import PageInfo
from app.schema.scalars import JSON, GitObjectID
from app.stores import ports

ABBREVIATED = 12

described.enum(
    ChangeKind,
    """What happened to an entry.

    ADDED: It was not there before.
    MODIFIED: It says something else now.
    REMOVED: It is not there any more.
    """,
)


@described.type_
class Signature:
    """Who, and when, as a Git commit records it.

    name: The name.
    email: The address.
    at: The moment.
    """

    name: str
    email: str
    at: datetime

    @classmethod
    def of(cls, signature: ports.Signature) -> "Signature":
        return cls(name=signature.name, email=signature.email, at=signature.at)


@described.type_
class Commit(Node):
    """A Git commit. It never changes."""

    value: strawberry.Private[model.Commit]

    def key(self) -> tuple[str, ...]:
        return "Commit", self.value.project.name, self.value.oid

    @described.field
    def oid(self) -> GitObjectID:
        """The full id."""
        return GitObjectID(self.value.oid)

    @described.field
    def abbreviated_oid(self) -> str:
        """The first twelve digits of the id, to show to people."""
        return self.value.oid[:ABBREVIATED]

    @described.field
    def headline(self) -> str:
        """The first line of the message."""
        return next(iter(self.value.record.message.splitlines()), "")

    @described.field
    def message(self) -> str:
        """The whole message, trailers included."""
        return self.value.record.message

    @described.field
    def author(self) -> Signature:
        """Who wrote the change."""
        return Signature.of(self.value.record.author)

    @described.field
    def committer(self) -> Signature:
        """Who recorded it: the registry, for changes made through this API."""
        return Signature.of(self.value.record.committer)

    @described.field
    def parents(self) -> list[GitObjectID]:
        """The ids of the commits it was made on: one, several for a merge, none for a first commit."""
        return [GitObjectID(oid) for oid in self.value.record.parents]

    @described.field
    def project(self) -> "Project":
        """The project it is of. Costs nothing."""
        return Project(value=self.value.project)

    @described.field
    async def manifest(self, info: Info) -> "Manifest":
        """The state its manifest was in: a broken one is shown as what it was. One parse, the first time."""
        at = await manifests.at_commit(info.context, self.value)
        return Manifest(project=self.value.project, at=at)

    @described.field
    async def artifact(self, info: Info, name: str) -> "Artifact | None":
        """An entry as it was at this commit; null when there was none of that name. One parse, the first time.

        name: The entry's name.
        """
        found = await artifacts.at_commit(info.context, self.value, name)
        return Artifact(value=found) if found else None

    @described.field
    async def artifacts(
        self,
        info: Info,
        first: int | None = 20,
        after: str | None = None,
        filter: "ArtifactFilter | None" = None,  # noqa: A002 (the schema's word)
    ) -> "ArtifactConnection":
        """The entries as they were at this commit, by name. One parse, the first time.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the entry before the page; the page begins at the start when left out.
        filter: Only entries that pass; `project` and `branch` have no place here.
        """
        page = await artifacts.page_of_commit(
            info.context, self.value, first, after, filter.wanted() if filter else None
        )
        return ArtifactConnection(value=page)

    @described.field
    async def changes(self, info: Info, first: int | None = 20, after: str | None = None) -> "ChangeConnection":
        """What it did to the entries, by name, against its first parent. Reads two manifests at most.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the change before the page; the page begins at the start when left out.
        """
        page = await commits.changes(info.context, self.value, first, after)
        return ChangeConnection(value=page)


@described.type_
class CommitEdge:
    """A commit and its place in a list.

    cursor: Names the place, for `after`.
    node: The commit.
    """

    value: strawberry.Private[Edge[model.Commit]]
    cursor: str = described.attribute("value.cursor")
    node: Commit = described.shown("value.node", lambda: Commit)


@described.type_
class CommitConnection:
    """A page of commits.

    edges: The commits with their cursors.
    nodes: The commits alone.
    page_info: Where the page stands in the list.
    """

    value: strawberry.Private[Page[model.Commit]]
    edges: list[CommitEdge] = described.list_of("value.edges", lambda: CommitEdge)
    nodes: list[Commit] = described.nodes(lambda: Commit)
    page_info: PageInfo = described.shown("value", lambda: PageInfo)


@described.type_
class FieldChange:
    """One value of an entry that differs.

    path: Where it stands in the entry, as a JSON pointer (RFC 6901); empty for the entry as a whole.
    before: What it was; null when it was not there.
    after: What it is; null when it is not there any more.
    """

    path: str
    before: JSON | None
    after: JSON | None


@described.type_
class Change:
    """What one commit, or one comparison, did to one artifact."""

    value: strawberry.Private[model.Change]

    @described.field
    def kind(self) -> ChangeKind:
        """What happened to the entry."""
        return self.value.kind

    @described.field
    def name(self) -> str:
        """The entry's name."""
        return self.value.name

    @described.field
    async def commit(self, info: Info) -> Commit:
        """The commit that did it; of a comparison, its head. One look into Git."""
        return Commit(value=await commits.of_change(info.context, self.value))

    @described.field
    def before(self) -> "Artifact | None":
        """The entry before; null when it was added."""
        return Artifact(value=self.value.before) if self.value.before else None

    @described.field
    def after(self) -> "Artifact | None":
        """The entry after; null when it was removed."""
        return Artifact(value=self.value.after) if self.value.after else None

    @described.field
    def fields(self) -> list[FieldChange]:
        """What differs, value by value, in the order of the paths."""
        return [
            FieldChange(path=one.path, before=cast("JSON", one.before), after=cast("JSON", one.after))
            for one in diff.fields(self.value)
        ]


@described.type_
class ChangeEdge:
    """A change and its place in a list.

    cursor: Names the place, for `after`.
    node: The change.
    """

    value: strawberry.Private[Edge[model.Change]]
    cursor: str = described.attribute("value.cursor")
    node: Change = described.shown("value.node", lambda: Change)


@described.type_
class ChangeConnection:
    """A page of changes.

    edges: The changes with their cursors.
    nodes: The changes alone.
    page_info: Where the page stands in the list.
    """

    value: strawberry.Private[Page[model.Change]]
    edges: list[ChangeEdge] = described.list_of("value.edges", lambda: ChangeEdge)
    nodes: list[Change] = described.nodes(lambda: Change)
    page_info: PageInfo = described.shown("value", lambda: PageInfo)


@described.type_
class Comparison:
    """What differs between two commits of a project.

    base: The commit compared from.
    head: The commit compared to.
    """

    base: Commit
    head: Commit

    @described.field
    async def changes(self, info: Info, first: int | None = 20, after: str | None = None) -> ChangeConnection:
        """The entries that differ, by name. Reads two manifests at most.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the change before the page; the page begins at the start when left out.
        """
        page = await commits.compared(info.context, self.base.value, self.head.value, first, after)
        return ChangeConnection(value=page)


# The nouns speak of each other: these are needed only once a request is answered.
from app.schema.artifact import Artifact, ArtifactConnection, ArtifactFilter  # noqa: E402
from app.schema.manifest import Manifest  # noqa: E402
from app.schema.project import Project  # noqa: E402
