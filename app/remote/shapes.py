"""What a server answers, and what `--json` prints: the names are those of the schema, and a page is its list alone."""

from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, model_serializer
from pydantic.alias_generators import to_camel

Kind = Literal["ADDED", "MODIFIED", "REMOVED"]
Bytes = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,19}$")]
T = TypeVar("T")


class EventKind(StrEnum):
    """What happened."""

    ARTIFACT_ADDED = "ARTIFACT_ADDED"
    ARTIFACT_MODIFIED = "ARTIFACT_MODIFIED"
    ARTIFACT_REMOVED = "ARTIFACT_REMOVED"
    BRANCH_CREATED = "BRANCH_CREATED"
    BRANCH_DELETED = "BRANCH_DELETED"
    BRANCH_REWRITTEN = "BRANCH_REWRITTEN"
    MANIFEST_BROKEN = "MANIFEST_BROKEN"
    MANIFEST_REPAIRED = "MANIFEST_REPAIRED"


class ObjectState(StrEnum):
    """How the bytes of an artifact stand."""

    PENDING = "PENDING"
    READY = "READY"
    MISSING = "MISSING"


class Shape(BaseModel):
    """A value of an answer, checked while it is read; members nobody asked for are left out."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True)


class PageInfo(Shape):
    """Where a page stands in its list."""

    has_next_page: bool
    end_cursor: str | None


class Page(Shape, Generic[T]):
    """A part of a list."""

    nodes: tuple[T, ...]
    page_info: PageInfo

    @model_serializer
    def _listed(self) -> tuple[T, ...]:
        return self.nodes


class Count(Shape):
    """How many there are."""

    total_count: int


class Signature(Shape):
    """Who, and when (RFC 3339, UTC)."""

    name: str
    email: str
    at: str


class Commit(Shape):
    """A commit."""

    oid: str
    abbreviated_oid: str
    headline: str
    message: str
    author: Signature
    parents: tuple[str, ...]


class FieldChange(Shape):
    """One value that differs; `path` is a JSON pointer into the entry."""

    path: str
    before: Any
    after: Any


class Change(Shape):
    """What happened to one artifact."""

    kind: Kind
    name: str
    fields: tuple[FieldChange, ...]


class CommittedChange(Change):
    """The same, with the commit that did it."""

    commit: Commit


class LoggedCommit(Commit):
    """A commit of a history; `changes` is everything it did, not set when nobody asked."""

    changes: Page[Change] | None = None


class Comparison(Shape):
    """What differs between two commits."""

    base: Commit
    head: Commit
    changes: Page[Change]


class Label(Shape):
    """A word, with or without a value."""

    key: str
    value: str | None


class StoredObject(Shape):
    """The bytes an artifact pins; `size` in bytes, as digits."""

    digest: str
    size: Bytes
    content_type: str
    filename: str | None
    state: ObjectState


class Artifact(Shape):
    """An artifact in a list."""

    name: str
    type: str | None
    data_object_id: str | None
    description: str
    labels: tuple[Label, ...]
    metadata: dict[str, Any]
    object: StoredObject | None


class LastChange(Shape):
    """Who touched an artifact last."""

    kind: Kind
    commit: Commit


class WholeArtifact(Artifact):
    """Everything about an artifact; `commit` is the one it was read at."""

    commit: Commit
    last_change: LastChange | None


class Problem(Shape):
    """Something wrong with a manifest; `line` counts from 1."""

    message: str
    line: int | None


class Manifest(Shape):
    """How the manifest at the head of a branch stands."""

    state: Literal["VALID", "ABSENT", "BROKEN"]
    problems: tuple[Problem, ...]


class Branch(Shape):
    """A branch in a list."""

    name: str
    is_default: bool
    head: Commit
    manifest: Manifest


class DefaultBranch(Shape):
    """The branch a project is read at when none is named."""

    name: str
    artifacts: Count


class Project(Shape):
    """A project in a list."""

    name: str
    description: str
    default_branch: DefaultBranch | None
    branches: Count


class Registry(Shape):
    """A server; `event_cursor` is where events stand, None before the first."""

    event_cursor: str | None


class Actor(Shape):
    """Somebody, as Git names them."""

    name: str
    email: str


class Entry(Shape):
    """An entry of a manifest as it is written."""

    entry: Any


class EntryChange(Change):
    """What happened to one artifact, and its whole entry before and after."""

    before: Entry | None
    after: Entry | None


class Event(Shape):
    """Something that happened; what comes behind `actor` is set for artifacts, branches and manifests, in turn."""

    id: str
    kind: str
    project_name: str
    branch_name: str
    commit: str
    sequence: int
    occurred_at: str
    actor: Actor | None
    artifact_name: str | None = None
    change: EntryChange | None = None
    previous_head: str | None = None
    problems: tuple[Problem, ...] = ()


class Happening(Shape):
    """An event and the cursor to go on from behind it."""

    cursor: str
    node: Event

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"cursor": self.cursor, **self.node.model_dump(by_alias=True, exclude_unset=True)}
