"""Projects, as callers see them."""

from datetime import datetime

import strawberry

from app.registry import model
from app.registry.access.identity import Role
from app.registry.model import SyncState
from app.resolvers import branches, commits, events, projects
from app.resolvers.paging import Edge, Page
from app.schema import described
from app.schema.info import Info
from app.schema.node import Node
from app.schema.paging import PageInfo
from app.schema.scalars import HEAD, URL, GitRevision

described.enum(
    SyncState,
    """Whether what is served is what Git has.

    CURRENT: As of the last comparison, it is.
    SYNCING: The first comparison is under way.
    FAILING: The last comparison failed; what was served before is served on.
    """,
)


@described.type_
class SyncStatus:
    """How the served data stands to Git.

    state: Whether what is served is what Git has.
    synced_at: When the project was last compared with its Git successfully; null before the first time.
    last_error: What went wrong at the last comparison; null when nothing did.
    """

    state: SyncState
    synced_at: datetime | None
    last_error: str | None

    @described.field
    def lag_seconds(self) -> float | None:
        """How long ago that was, in seconds; null before the first time."""
        return projects.seconds_since(self.synced_at)


@described.type_
class Project(Node):
    """One Git repository, and the artifacts its branches hold.

    name: The name, unique in the registry, with `/` between its parts.
    description: What the project is about; empty when nobody said.
    remote_url: Where the repository lies, without credentials; null when the registry hosts it itself.
    manifest_path: The path of the manifest in the repository: `artifacts.yml` unless the project says otherwise.
    """

    value: strawberry.Private[model.Project]
    name: str = described.attribute("value.name")
    description: str = described.attribute("value.description")
    remote_url: URL | None = described.attribute("value.remote_url")
    manifest_path: str = described.attribute("value.manifest_path")

    def key(self) -> tuple[str, ...]:
        return "Project", self.value.name

    @described.field
    def viewer_can_write(self, info: Info) -> bool:
        """Whether you may change this project."""
        return info.context.role(self.value.name) >= Role.WRITER

    @described.field
    async def default_branch(self, info: Info) -> "Branch | None":
        """The branch HEAD names; null while it does not exist. One cache round trip."""
        found = await branches.default(info.context, self.value)
        return Branch(value=found) if found else None

    @described.field
    async def branch(self, info: Info, name: str) -> "Branch | None":
        """A branch; null when there is none of that name. One cache round trip.

        name: The short name: `main`, not `refs/heads/main`.
        """
        found = await branches.get(info.context, self.value, name)
        return Branch(value=found) if found else None

    @described.field
    async def branches(
        self, info: Info, first: int | None = 20, after: str | None = None, prefix: str | None = None
    ) -> "BranchConnection":
        """The branches, by name. One cache round trip.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the branch before the page; the page begins at the start when left out.
        prefix: Only branches whose names begin with this.
        """
        page = await branches.page(info.context, self.value, first, after, prefix)
        return BranchConnection(value=page)

    @described.field
    async def commit(self, info: Info, at: GitRevision | None = HEAD) -> "Commit | None":
        """A commit; null when the revision names none. One look into Git.

        at: The revision, `HEAD` when left out.
        """
        found = await commits.at(info.context, self.value, HEAD if at is None else at)
        return Commit(value=found) if found else None

    @described.field
    async def comparison(self, info: Info, base: GitRevision, head: GitRevision) -> "Comparison | None":
        """What differs between two commits; null when a revision names none. Reads two manifests at most.

        base: The revision to compare from.
        head: The revision to compare to.
        """
        found = await commits.pair(info.context, self.value, base, head)
        return Comparison(base=Commit(value=found[0]), head=Commit(value=found[1])) if found else None

    @described.field
    async def events(self, info: Info, first: int | None = 20, after: str | None = None) -> "EventConnection":
        """What happened to this project, oldest first, from the beginning of the registry's journal.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the event before the page; the same cursors as `Subscription.events` gives.
        """
        page = await events.page(info.context, self.value, first, after)
        return EventConnection(value=page)

    @described.field
    def sync(self, info: Info) -> SyncStatus:
        """How what is served stands to Git. Costs nothing."""
        status = projects.sync_status(info.context, self.value)
        return SyncStatus(state=status.state, synced_at=status.synced_at, last_error=status.last_error)


@described.type_
class ProjectEdge:
    """A project and its place in a list.

    cursor: Names the place, for `after`.
    node: The project.
    """

    value: strawberry.Private[Edge[model.Project]]
    cursor: str = described.attribute("value.cursor")
    node: Project = described.shown("value.node", lambda: Project)


@described.type_
class ProjectConnection:
    """A page of projects.

    edges: The projects with their cursors.
    nodes: The projects alone.
    page_info: Where the page stands in the list.
    total_count: How many projects the whole list has.
    """

    value: strawberry.Private[Page[model.Project]]
    edges: list[ProjectEdge] = described.list_of("value.edges", lambda: ProjectEdge)
    nodes: list[Project] = described.nodes(lambda: Project)
    page_info: PageInfo = described.shown("value", lambda: PageInfo)
    total_count: int = described.attribute("value.total")


# The nouns speak of each other: these are needed only once a request is answered.
from app.schema.branch import Branch, BranchConnection  # noqa: E402
from app.schema.events import EventConnection  # noqa: E402
from app.schema.history import Commit, Comparison  # noqa: E402
