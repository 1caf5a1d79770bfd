"""Branches, as callers see them."""

import strawberry

from app.registry import model
from app.resolvers import artifacts, commits
from app.resolvers.paging import Edge, Page
from app.schema import described
from app.schema.info import Info
from app.schema.manifest import Manifest
from app.schema.node import Node
from app.schema.paging import PageInfo


@described.type_
class Branch(Node):
    """A branch as its head has it.

    name: The short name: `main`, not `refs/heads/main`.
    is_default: Whether HEAD names this branch.
    project: The project it is a branch of. Costs nothing.
    """

    value: strawberry.Private[model.Branch]
    name: str = described.attribute("value.name")
    is_default: bool = described.attribute("value.is_default")
    project: "Project" = described.shown("value.project", lambda: Project)

    def key(self) -> tuple[str, ...]:
        return "Branch", self.value.project.name, self.value.name

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
        return ArtifactConnection(value=page)

    @described.field
    async def history(self, info: Info, first: int | None = 20, after: str | None = None) -> "CommitConnection":
        """The commits that changed the manifest, newest first, simplified as `git log` does for a path.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the commit before the page; the page begins at the newest when left out.
        """
        page = await commits.of_branch(info.context, self.value, first, after)
        return CommitConnection(value=page)


@described.type_
class BranchEdge:
    """A branch and its place in a list.

    cursor: Names the place, for `after`.
    node: The branch.
    """

    value: strawberry.Private[Edge[model.Branch]]
    cursor: str = described.attribute("value.cursor")
    node: Branch = described.shown("value.node", lambda: Branch)


@described.type_
class BranchConnection:
    """A page of branches.

    edges: The branches with their cursors.
    nodes: The branches alone.
    page_info: Where the page stands in the list.
    total_count: How many branches the whole list has.
    """

    value: strawberry.Private[Page[model.Branch]]
    edges: list[BranchEdge] = described.list_of("value.edges", lambda: BranchEdge)
    nodes: list[Branch] = described.nodes(lambda: Branch)
    page_info: PageInfo = described.shown("value", lambda: PageInfo)
    total_count: int = described.attribute("value.total")


# The nouns speak of each other: these are needed only once a request is answered.
from app.schema.artifact import Artifact, ArtifactConnection, ArtifactFilter  # noqa: E402
from app.schema.history import Commit, CommitConnection  # noqa: E402
from app.schema.project import Project  # noqa: E402
