"""Artifacts, the bytes they pin and the filters that find them, as callers see them."""

from collections.abc import Sequence
from typing import Any, cast

import strawberry
from strawberry import UNSET

from app.registry import model, search
from app.registry.index import Hit
from app.registry.model import ObjectState
from app.resolvers import artifacts, commits
from app.schema import described
from app.schema.info import Info
from app.schema.node import Node
from app.schema.paging import PageInfo, connection, counted
from app.schema.scalars import JSON
from app.schema.transfer import StoredObject


@described.type_
class Label:
    """A word attached to an entry, with or without a value.

    key: The word.
    value: Its value; null when the label is the word alone.
    """

    key: str
    value: str | None


@described.type_
class Artifact(Node):
    """One entry of a manifest as of one commit. It never changes, and its id names the commit."""

    value: strawberry.Private[model.Artifact]

    def key(self) -> tuple[str, ...]:
        return "Artifact", self.value.project.name, self.value.commit, self.value.name

    @described.field
    def name(self) -> str:
        """The entry's name, unique in its manifest."""
        return self.value.name

    @described.field
    def data_object_id(self) -> strawberry.ID | None:
        """The data's id as the manifest has it, as text: 123, 007 and "abc" stay what they were; null without one."""
        return cast("strawberry.ID | None", self.value.entry.data_object_id)

    @described.field
    def type(self) -> str | None:
        """What kind of artifact it is; null when nobody said."""
        return self.value.entry.type

    @described.field
    def description(self) -> str:
        """What it is in words; empty when nobody said."""
        return self.value.entry.description

    @described.field
    def labels(self) -> list[Label]:
        """The words attached to it."""
        return [Label(key=label.key, value=label.value) for label in self.value.entry.labels]

    @described.field
    def metadata(self) -> JSON:
        """Every key of the entry that is not one of the reserved ones, as an object."""
        return cast("JSON", self.value.entry.metadata)

    @described.field
    def entry(self) -> JSON:
        """The whole entry as an object, in the order of the file."""
        return cast("JSON", self.value.entry.entry)

    @described.field
    def project(self) -> "Project":
        """The project it is in. Costs nothing."""
        return Project(value=self.value.project)

    @described.field
    async def commit(self, info: Info) -> "Commit":
        """The commit it was read at. One look into Git."""
        return Commit(value=await commits.get(info.context, self.value.project, self.value.commit))

    @described.field
    async def last_change(self, info: Info) -> "Change | None":
        """Who touched it last, when and why, as of its commit. Walks the manifest's history back to that commit."""
        found = await commits.last_change(info.context, self.value)
        return Change(value=found) if found else None

    @described.field
    def object(self) -> StoredObject | None:
        """The bytes it pins; null when it pins none. Costs nothing."""
        pin = self.value.entry.object
        return StoredObject(project=self.value.project, pin=pin) if pin else None

    @described.field
    async def history(self, info: Info, first: int | None = 20, after: str | None = None) -> "ChangeConnection":
        """What was done to the entry of this name up to its commit, newest first.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the change before the page; the page begins at the newest when left out.
        """
        page = await commits.of_artifact(info.context, self.value, first, after)
        return connection(ChangeConnection, ChangeEdge, page, change_view)


@described.type_
class ArtifactEdge:
    """An artifact and its place in a list.

    cursor: Names the place, for `after`.
    node: The artifact.
    """

    cursor: str
    node: Artifact


@described.type_
class ArtifactConnection:
    """A page of artifacts.

    edges: The artifacts with their cursors.
    nodes: The artifacts alone.
    page_info: Where the page stands in the list.
    total_count: How many artifacts the whole list has.
    """

    edges: list[ArtifactEdge]
    nodes: list[Artifact]
    page_info: PageInfo
    total_count: int


@described.type_
class DataObject:
    """Everything on branch heads that carries one dataObjectId.

    id: The dataObjectId, as text.
    """

    id: strawberry.ID
    found: strawberry.Private[Sequence[Hit]]

    @described.field
    def artifacts(self, info: Info, first: int | None = 20, after: str | None = None) -> ArtifactConnection:
        """The entries, by project, branch and name.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the entry before the page; the page begins at the start when left out.
        """
        page = artifacts.page_of_data_object(info.context, self.id, self.found, first, after)
        return counted(ArtifactConnection, ArtifactEdge, page, lambda one: Artifact(value=one))

    @described.field
    def object(self) -> StoredObject | None:
        """The bytes the first of them pins; null when none of them pins any."""
        pinned = ((hit.artifact.project, hit.artifact.entry.object) for hit in self.found)
        return next((StoredObject(project=project, pin=pin) for project, pin in pinned if pin), None)


@described.input_
class LabelFilter:
    """A label to look for.

    key: The word.
    value: Its value; any value will do when left out.
    """

    key: str
    value: str | None = None


@described.input_
class MetadataFilter:
    """Conditions on one value of the metadata; all that are given must hold. Numbers compare as numbers.

    A path alone asks that there is a value.

    path: Where the value stands: `config.type`, or the pointer `/config/type`. Through a list, any element will do.
    eq: The value is this one; null looks for a null.
    in_: The value is one of these.
    gt: The value is a number greater than this.
    gte: The value is a number of at least this.
    lt: The value is a number less than this.
    lte: The value is a number of at most this.
    contains: The value is a text with this in it, a list with this element, or an object with these members.
    exists: Whether there is a value at the path at all.
    """

    path: str
    eq: JSON | None = UNSET
    in_: list[JSON] | None = strawberry.field(name="in", default=None)
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None
    contains: JSON | None = UNSET
    exists: bool | None = None

    def wanted(self) -> search.MetadataFilter:
        return search.MetadataFilter(
            path=self.path,
            eq=_given(self.eq),
            among=self.in_,
            gt=self.gt,
            gte=self.gte,
            lt=self.lt,
            lte=self.lte,
            contains=_given(self.contains),
            exists=self.exists,
        )


@described.input_
class ArtifactFilter:
    """Which artifacts to list; all conditions that are given must hold. Names may be globs: `search/*`.

    project: The project's name (only on `Query.artifacts`).
    branch: The branch's name (only on `Query.artifacts`); default branches when left out.
    name: The entry's name.
    type: The entry's type is one of these.
    label: The entry carries this label.
    object_state: The bytes it pins are in one of these states; READY may be 15 minutes old.
    metadata: Conditions on its metadata; all must hold.
    text: Text in the name or the description, whatever its case.
    """

    project: str | None = None
    branch: str | None = None
    name: str | None = None
    type: list[str] | None = None
    label: LabelFilter | None = None
    object_state: list[ObjectState] | None = None
    metadata: list[MetadataFilter] | None = None
    text: str | None = None

    def wanted(self) -> search.ArtifactFilter:
        return search.ArtifactFilter(
            project=self.project,
            branch=self.branch,
            name=self.name,
            types=self.type,
            label=(self.label.key, self.label.value) if self.label else None,
            object_states=self.object_state,
            metadata=tuple(condition.wanted() for condition in self.metadata or ()),
            text=self.text,
        )


def _given(value: Any) -> Any:
    return search.MISSING if value is UNSET else value


# The nouns speak of each other: these are needed only once a request is answered.
from app.schema.history import Change, ChangeConnection, ChangeEdge, Commit, change_view  # noqa: E402
from app.schema.project import Project  # noqa: E402
