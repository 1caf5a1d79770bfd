"""Branches, as callers see them."""

import strawberry

from app.registry import model
from app.resolvers import artifacts, commits
from app.schema import described
from app.schema.info import Info
from app.schema.manifest import Manifest
from app.schema.node import Node
from app.schema.paging import PageInfo, connection, counted


@described.type_
class Branch(Node):
    """A branch as its head has it."""

    value: strawberry.Private[model.Branch]

    def key(self) -> tuple[str, ...]:
        return "Branch", self.value.project.name, self.value.name

    @described.field
    def name(self) -> str:
        """The short name: `main`, not `refs/heads/main`."""
        return self.value.name

    @described.field
    def is_default(self) -> bool:
        """Whether HEAD names this branch."""
        return self.value.is_default

    @described.field
    def project(self) -> "Project":
        """The project it is a branch of. Costs nothing."""
        return Project(value=self.value.project)

    @described.field
    async def head(self, info: Info) -> "Commit":
        """The commit it is at. One look into Git."""
        return Commit(value=await commits.get(info.context, self.value.project, self.value.head))

    @described.field
    def manifest(self) -> Manifest:
        """The state of its manifest. Costs nothing."""
        return Manifest(project=self.value.project, at=self.value.at)

    @described.field
    async def artifact(self, info: Info, name: str) -> "Artifact | None":
        """An entry; null when there is none of that name.

        name: The entry's name.
        """
        found = await artifacts.on_branch(info.context, self.value, name)
        return Artifact(value=found) if found else None

    @described.field
    async def artifacts(
        self,
        info: Info,
        first: int | None = 20,
        after: str | None = None,
        filter: "ArtifactFilter | None" = None,  # noqa: A002 (the schema's word)
    ) -> "ArtifactConnection":
        """The entries, by name.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the entry before the page; the page begins at the start when left out.
        filter: Only entries that pass; `project` and `branch` have no place here.
        """
        page = await artifacts.page_of_branch(
            info.context, self.value, first, after, filter.wanted() if filter else None
        )
        return counted(ArtifactConnection, ArtifactEdge, page, lambda one: Artifact(value=one))

    @described.field
    async def history(self, info: Info, first: int | None = 20, after: str | None = None) -> "CommitConnection":
        """The commits that changed the manifest, newest first, simplified as `git log` does for a path.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the commit before the page; the page begins at the newest when left out.
        """
        page = await commits.of_branch(info.context, self.value, first, after)
        return connection(CommitConnection, CommitEdge, page, lambda one: Commit(value=one))


@described.type_
class BranchEdge:
    """A branch and its place in a list.

    cursor: Names the place, for `after`.
    node: The branch.
    """

    cursor: str
    node: Branch


@described.type_
class BranchConnection:
    """A page of branches.

    edges: The branches with their cursors.
    nodes: The branches alone.
    page_info: Where the page stands in the list.
    total_count: How many branches the whole list has.
    """

    edges: list[BranchEdge]
    nodes: list[Branch]
    page_info: PageInfo
    total_count: int


# The nouns speak of each other: these are needed only once a request is answered.
from app.schema.artifact import Artifact, ArtifactConnection, ArtifactEdge, ArtifactFilter  # noqa: E402
from app.schema.history import Commit, CommitConnection, CommitEdge  # noqa: E402
from app.schema.project import Project  # noqa: E402
