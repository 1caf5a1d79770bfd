"""What listeners are told, as they see it."""

from datetime import datetime

import strawberry

from app.registry import model
from app.registry.feed import EventFilter as Wanted
from app.registry.model import EventKind, ObjectState
from app.resolvers.paging import Edge, Page
from app.schema import described
from app.schema.history import Change
from app.schema.manifest import ManifestProblem
from app.schema.paging import PageInfo
from app.schema.scalars import GitObjectID
from app.schema.system import Actor

described.enum(
    EventKind,
    """What happened.

    ARTIFACT_ADDED: An entry was added.
    ARTIFACT_MODIFIED: An entry says something else now.
    ARTIFACT_REMOVED: An entry was removed.
    BRANCH_CREATED: A branch was made.
    BRANCH_DELETED: A branch was deleted.
    BRANCH_REWRITTEN: A branch was moved to a commit that does not follow the one it was at: a forced push.
    MANIFEST_BROKEN: The manifest cannot be read any more; the last good one is served.
    MANIFEST_REPAIRED: The manifest can be read again.
    """,
)


@described.interface
class Event:
    """A pure function of Git: the same id, however often and by whichever road it is delivered."""

    value: strawberry.Private[model.Event]

    @described.field
    def id(self) -> strawberry.ID:
        """The event's own id: an event seen before carries the id it had then."""
        return strawberry.ID(self.value.id)

    @described.field
    def kind(self) -> EventKind:
        """What happened."""
        return self.value.kind

    @described.field
    def project_name(self) -> str:
        """The project it happened in."""
        return self.value.project.name

    @described.field
    def branch_name(self) -> str:
        """The branch it happened on."""
        return self.value.branch

    @described.field
    def commit(self) -> GitObjectID:
        """The commit that did it; for a deleted branch, the one it was at."""
        return GitObjectID(self.value.commit)

    @described.field
    def sequence(self) -> int:
        """Its place among the events of that commit, counted from 0."""
        return self.value.sequence

    @described.field
    def occurred_at(self) -> datetime:
        """When the commit was recorded, by its committer's clock."""
        return self.value.occurred_at

    @described.field
    def actor(self) -> Actor | None:
        """The commit's author; null when nobody is known to have done it, as for a deleted branch."""
        return Actor.of(self.value.actor) if self.value.actor else None


@described.type_
class ArtifactEvent(Event):
    """Something happened to an entry."""

    done: strawberry.Private[model.Change]

    @described.field
    def artifact_name(self) -> str:
        """The entry's name."""
        return self.done.name

    @described.field
    def change(self) -> Change:
        """What was done to it."""
        return Change(value=self.done)


@described.type_
class BranchEvent(Event):
    """Something happened to a branch."""

    @described.field
    def previous_head(self) -> GitObjectID | None:
        """The commit it was at before; null when it is new."""
        return GitObjectID(self.value.previous_head) if self.value.previous_head else None


@described.type_
class ManifestEvent(Event):
    """Something happened to a manifest as a whole."""

    @described.field
    def problems(self) -> list[ManifestProblem]:
        """What is wrong with it; empty when it was repaired."""
        return [ManifestProblem.of(problem) for problem in self.value.problems]


def event_view(event: model.Event) -> Event:
    """An event as callers see it."""
    if event.change:
        return ArtifactEvent(value=event, done=event.change)
    if event.kind in (model.EventKind.MANIFEST_BROKEN, model.EventKind.MANIFEST_REPAIRED):
        return ManifestEvent(value=event)
    return BranchEvent(value=event)


@described.type_
class EventEdge:
    """An event and its place in the stream.

    cursor: Names the place, for `after`.
    """

    value: strawberry.Private[Edge[model.Event]]
    cursor: str = described.attribute("value.cursor")

    @described.field
    def node(self) -> Event:
        """The event."""
        return event_view(self.value.node)

    def __hash__(self) -> int:
        return hash(self.value.key)


@described.type_
class EventConnection:
    """A page of events.

    edges: The events with their cursors.
    page_info: Where the page stands in the list.
    """

    value: strawberry.Private[Page[model.Event]]
    edges: list[EventEdge] = described.list_of("value.edges", lambda: EventEdge)

    @described.field
    def nodes(self) -> list[Event]:
        """The events alone."""
        return [event_view(one) for one in self.value.nodes]

    page_info: PageInfo = described.shown("value", lambda: PageInfo)


@described.input_
class EventFilter:
    """Which events to hear of; all conditions that are given must hold. Names may be globs: `search/*`.

    project: The project's name.
    branch: The branch's name.
    artifact: The entry's name; only artifact events have one.
    type: The entry's type, before or after, is one of these.
    kind: What happened is one of these.
    object_state: The bytes the entry pins after the change are, by what Git says, in one of these states.
    """

    project: str | None = None
    branch: str | None = None
    artifact: str | None = None
    type: list[str] | None = None
    kind: list[EventKind] | None = None
    object_state: list[ObjectState] | None = None

    def wanted(self) -> Wanted:
        return Wanted(
            project=self.project,
            branch=self.branch,
            artifact=self.artifact,
            types=self.type,
            kinds=self.kind,
            object_states=self.object_state,
        )
