"""Artifacts, the bytes they pin and the filters that find them, as callers see them."""

from collections.abc import Sequence
from typing import Any

import strawberry
from strawberry import UNSET

from app.registry import manifest, model, search
from app.registry.index import Hit
from app.registry.model import ObjectState
from app.resolvers import artifacts, commits
from app.resolvers.paging import Edge, Page
from app.schema import described
from app.schema.info import Info
from app.schema.node import Node
from app.schema.paging import PageInfo
from app.schema.scalars import JSON
from app.schema.transfer import StoredObject


@described.type_
class Label:
    """A word attached to an entry, with or without a value.

    key: The word.
    value: Its value; null when the label is the word alone.
    """

    label: strawberry.Private[manifest.Label]
    key: str = described.attribute("label.key")
    value: str | None = described.attribute("label.value")


@described.type_
class Artifact(Node):
    """One entry of a manifest as of one commit. It never changes, and its id names the commit.

    name: The entry's name, unique in its manifest.
    data_object_id: The data's id as the manifest has it, as text: 123, 007 and "abc" stay what they were; null without
        one.
    type: What kind of artifact it is; null when nobody said.
    description: What it is in words; empty when nobody said.
    labels: The words attached to it.
    metadata: Every key of the entry that is not one of the reserved ones, as an object.
    entry: The whole entry as an object, in the order of the file.
    project: The project it is in. Costs nothing.
    object: The bytes it pins; null when it pins none. Costs nothing.
    """

    value: strawberry.Private[model.Artifact]
    name: str = described.attribute("value.entry.name")
    data_object_id: strawberry.ID | None = described.attribute("value.entry.data_object_id")
    type: str | None = described.attribute("value.entry.type")
    description: str = described.attribute("value.entry.description")
    labels: list[Label] = described.list_of("value.entry.labels", lambda: Label)
    metadata: JSON = described.attribute("value.entry.metadata")
    entry: JSON = described.attribute("value.entry.entry")
    project: "Project" = described.shown("value.project", lambda: Project)

    def key(self) -> tuple[str, ...]:
        return "Artifact", self.value.project.name, self.value.commit, self.value.name

    @described.field
    async def commit(self, info: Info) -> "Commit":
        """The commit it was read at. One look into Git."""
        return Commit(value=await commits.get(info.context, self.value.project, self.value.commit))

    @described.field
    async def last_change(self, info: Info) -> "Change | None":
        """Who touched it last, when and why, as of its commit. Walks the manifest's history back to that commit."""
        found = await commits.last_change(info.context, self.value)
        return Change(value=found) if found else None

    object: StoredObject | None = described.shown("value.object", lambda: StoredObject)

    @described.field
    async def history(self, info: Info, first: int | None = 20, after: str | None = None) -> "ChangeConnection":
        """What was done to the entry of this name up to its commit, newest first.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the change before the page; the page begins at the newest when left out.
        """
        page = await commits.of_artifact(info.context, self.value, first, after)
        return ChangeConnection(value=page)


@described.type_
class ArtifactEdge:
    """An artifact and its place in a list.

    cursor: Names the place, for `after`.
    node: The artifact.
    """

    value: strawberry.Private[Edge[model.Artifact]]
    cursor: str = described.attribute("value.cursor")
    node: Artifact = described.shown("value.node", lambda: Artifact)


@described.type_
class ArtifactConnection:
    """A page of artifacts.

    edges: The artifacts with their cursors.
    nodes: The artifacts alone.
    page_info: Where the page stands in the list.
    total_count: How many artifacts the whole list has.
    """

    value: strawberry.Private[Page[model.Artifact]]
    edges: list[ArtifactEdge] = described.list_of("value.edges", lambda: ArtifactEdge)
    nodes: list[Artifact] = described.nodes(lambda: Artifact)
    page_info: PageInfo = described.shown("value", lambda: PageInfo)
    total_count: int = described.attribute("value.total")


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
        return ArtifactConnection(value=page)

    @described.field
    def object(self) -> StoredObject | None:
        """The bytes the first of them pins; null when none of them pins any."""
        return next((StoredObject(value=hit.artifact.object) for hit in self.found if hit.artifact.object), None)


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
from app.schema.history import Change, ChangeConnection, Commit  # noqa: E402
from app.schema.project import Project  # noqa: E402
