"""The nouns of the registry, as values. A value that names a commit never changes."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from app.registry.manifest import Entry, ObjectPin, Problem
from app.stores.ports import CommitRecord

DEFAULT_MANIFEST_PATH = "artifacts.yml"
SHA256 = "sha256:"
"""What digests begin with, as callers write them."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who reads or writes, as Git names them."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Project:
    """One repository of the catalogue. `remote_url` is None when the registry hosts it itself."""

    name: str
    description: str = ""
    remote_url: str | None = None
    manifest_path: str = DEFAULT_MANIFEST_PATH


class ManifestState(Enum):
    """How the manifest at a branch's head stands."""

    VALID = "VALID"
    ABSENT = "ABSENT"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True)
class ManifestAt:
    """What a commit's manifest is, and which one is served for it.

    `blob` and `served` name the file that is read and the commit it was taken from: the commit itself when VALID, the
    last good one among its first parents when BROKEN, None when there is nothing to serve. `file` is the blob that
    stands at the commit, whatever it is worth.
    """

    commit: str
    state: ManifestState
    file: str | None
    blob: str | None
    served: str | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch at one of its heads."""

    project: Project
    name: str
    is_default: bool
    at: ManifestAt

    @property
    def head(self) -> str:
        """The commit id the branch is at."""
        return self.at.commit


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a project."""

    project: Project
    record: CommitRecord

    @property
    def oid(self) -> str:
        """40 lowercase hex digits."""
        return self.record.oid


@dataclass(frozen=True, slots=True)
class Artifact:
    """One entry of the manifest as of one commit."""

    project: Project
    commit: str
    entry: Entry

    @property
    def name(self) -> str:
        """The entry's name."""
        return self.entry.name

    @property
    def object(self) -> "StoredObject | None":
        """The bytes the entry pins, or None."""
        return StoredObject(self.project, self.entry.object) if self.entry.object else None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Bytes of a project that an entry pins."""

    project: Project
    pin: ObjectPin

    @property
    def digest(self) -> str:
        """Their sha-256, as callers write it."""
        return SHA256 + self.pin.sha256


class ChangeKind(Enum):
    """What happened to an entry."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    REMOVED = "REMOVED"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One leaf of an entry that differs, by JSON pointer (RFC 6901)."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit, or one comparison, did to one entry. `before` is None when added, `after` when removed."""

    kind: ChangeKind
    name: str
    commit: str
    before: Artifact | None
    after: Artifact | None


class EventKind(Enum):
    """What a listener is told."""

    ARTIFACT_ADDED = "ARTIFACT_ADDED"
    ARTIFACT_MODIFIED = "ARTIFACT_MODIFIED"
    ARTIFACT_REMOVED = "ARTIFACT_REMOVED"
    BRANCH_CREATED = "BRANCH_CREATED"
    BRANCH_DELETED = "BRANCH_DELETED"
    BRANCH_REWRITTEN = "BRANCH_REWRITTEN"
    MANIFEST_BROKEN = "MANIFEST_BROKEN"
    MANIFEST_REPAIRED = "MANIFEST_REPAIRED"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a branch: a pure function of Git, so equal wherever it is derived.

    `sequence` counts the events of one commit from 0. `change` is there for artifact events, `problems` for manifest
    events, `previous_head` for branch events.
    """

    id: str
    kind: EventKind
    project: Project
    branch: str
    commit: str
    sequence: int
    occurred_at: datetime
    actor: Actor | None
    change: Change | None = None
    problems: tuple[Problem, ...] = ()
    previous_head: str | None = None


class ObjectState(Enum):
    """Whether the bytes an entry pins can be fetched."""

    PENDING = "PENDING"
    READY = "READY"
    MISSING = "MISSING"


class SyncState(Enum):
    """How the served data stands to Git."""

    CURRENT = "CURRENT"
    SYNCING = "SYNCING"
    FAILING = "FAILING"


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """When a project was last compared with its Git, and what came of it."""

    state: SyncState
    synced_at: datetime | None
    last_error: str | None
