"""Committing artifacts: a caller's request, checked whole before anything is asked of Git."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from app.registry import names
from app.registry.branches import Branches
from app.registry.changes import PENDING, DeleteEntry, EntryChange, PatchEntry, PutEntry, RenameEntry, RestoreEntry
from app.registry.errors import InvalidInputError, Issue, MissingObjectsError, NotFoundError, Subject
from app.registry.history import History
from app.registry.lanes import Lanes
from app.registry.manifest import InvalidEntryError, ObjectPin, entry_from
from app.registry.messages import Idempotency, problem_with_message
from app.registry.model import SHA256, Actor, Artifact, Branch, Commit, Project
from app.registry.transfers import Transfers
from app.registry.uploads import Upload
from app.registry.writing import Proposal

DEFAULT_CONTENT_TYPE = "application/octet-stream"
RESERVED = ("dataObjectId", "type", "description", "labels", "object")


class PendingPolicy(Enum):
    """Whether a commit may name bytes that have not arrived yet."""

    ALLOW = "ALLOW"
    REFUSE = "REFUSE"


@dataclass(frozen=True, slots=True)
class ObjectRequest:
    """Bytes an entry is to pin. `digest` is `sha256:<hex>`, `size` bytes."""

    digest: str
    size: int
    content_type: str | None
    filename: str | None


@dataclass(frozen=True, slots=True)
class PutRequest:
    """An entry as a caller describes it."""

    name: str
    data_object_id: str | None
    type: str | None
    description: str | None
    labels: Sequence[tuple[str, str | None]] | None
    metadata: Any
    object: ObjectRequest | None


@dataclass(frozen=True, slots=True)
class PatchRequest:
    """A merge patch on an entry."""

    name: str
    patch: Any
    object: ObjectRequest | None


ChangeRequest = PutRequest | PatchRequest | RenameEntry | DeleteEntry


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """Where a write goes and on what condition. `branch` None is the default one."""

    project: str
    branch: str | None
    message: str | None
    base: str | None
    key: str | None
    author: Actor | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer to a write."""

    project: Project
    branch: Branch
    commit: str
    changed: bool
    artifacts: tuple[Artifact, ...]
    uploads: tuple[Upload, ...]


class Artifacts:
    """Writes entries to branches."""

    def __init__(
        self, branches: Branches, history: History, transfers: Transfers, lanes: Lanes, max_changes: int, max_size: int
    ) -> None:
        self._branches = branches
        self._history = history
        self._transfers = transfers
        self._lanes = lanes
        self._max_changes = max_changes
        self._max_size = max_size

    async def commit(
        self,
        project: Project,
        request: WriteRequest,
        changes: Sequence[ChangeRequest],
        actor: Actor,
        pending: PendingPolicy,
    ) -> Committed:
        """One commit with all of `changes`, or none.

        Raises InvalidInputError, NotFoundError, MissingObjectsError, and what writing raises.
        """
        issues = [*self._problems(request), *self._problems_of_changes(changes)]
        if issues:
            raise InvalidInputError(issues)
        wanted = {index: _object_of(change) for index, change in enumerate(changes)}
        pins = {index: pin_of(announced) for index, announced in wanted.items() if announced}
        stored = await self._transfers.stored(project, list(pins.values()))
        missing = {pin.sha256: pin for pin in pins.values() if pin.sha256 not in stored}
        if missing and pending is PendingPolicy.REFUSE:
            raise MissingObjectsError([SHA256 + sha256 for sha256 in missing])
        planned = [_change(index, change, pins.get(index), stored) for index, change in enumerate(changes)]
        digest_of = {"changes": [[type(c).__name__, asdict(c)] for c in changes], "pending": pending.value}
        # First, so that a store that cannot be used leaves no commit behind.
        uploads = await self._transfers.begin(project, list(missing.values()))
        return Committed(*await self._write(project, request, planned, actor, digest_of), uploads)

    async def restore(
        self, project: Project, request: WriteRequest, name: str, revision: str, actor: Actor
    ) -> Committed:
        """One commit that puts an entry back as another commit has it. Raises NotFoundError, InvalidInputError."""
        issues = list(self._problems(request))
        if issues:
            raise InvalidInputError(issues)
        commit = await self._history.at(project, revision)
        if commit is None:
            raise NotFoundError(Subject.COMMIT, revision)
        entry, source = await self._history.source(commit, name)
        if entry is None:
            raise NotFoundError(Subject.ARTIFACT, name)
        change = RestoreEntry(name, source, entry)
        digest_of = {"restore": name, "from": revision}
        return Committed(*await self._write(project, request, [change], actor, digest_of), ())

    async def _write(
        self, project: Project, request: WriteRequest, changes: Sequence[EntryChange], actor: Actor, said: Any
    ) -> tuple[Project, Branch, str, bool, tuple[Artifact, ...]]:
        branch = await self.branch(project, request.branch)
        said = {**said, "base": request.base, "message": request.message}
        proposal = Proposal(
            changes=tuple(changes),
            author=request.author or actor,
            actor=actor,
            message=request.message,
            base=request.base,
            idempotency=Idempotency.of(request.key, said) if request.key else None,
        )
        after, written = await self._lanes.submit(branch, proposal)
        if written.record:
            self._history.remember(Commit(project, written.record))
        wanted = dict.fromkeys(name for change in changes if (name := _name_after(change)))
        entries = (written.manifest.entries.get(name) for name in wanted)
        artifacts = tuple(Artifact(project, written.commit, entry) for entry in entries if entry)
        return project, after, written.commit, written.changed, artifacts

    async def branch(self, project: Project, name: str | None) -> Branch:
        """A branch by name, the default one for None. Raises NotFoundError."""
        found = await (self._branches.default(project) if name is None else self._branches.get(project, name))
        if found is None:
            raise NotFoundError(Subject.BRANCH, name or "HEAD")
        return found

    def _problems(self, request: WriteRequest) -> list[Issue]:
        author = request.author
        found = [
            ("message", problem_with_message(request.message) if request.message is not None else None),
            ("message", names.problem_with_text(request.message or "")),
            ("baseCommit", names.problem_with_oid(request.base) if request.base is not None else None),
            ("idempotencyKey", names.problem_with_word(request.key) if request.key is not None else None),
            ("author", _problem_with_actor(author) if author else None),
        ]
        return [Issue((path,), problem) for path, problem in found if problem]

    def _problems_of_changes(self, changes: Sequence[ChangeRequest]) -> list[Issue]:
        if not changes:
            return [Issue(("changes",), "A commit needs a change; give one at least.")]
        if len(changes) > self._max_changes:
            return [Issue(("changes",), f"A commit takes {self._max_changes} changes; split these {len(changes)}.")]
        return [
            Issue(("changes", str(index), *issue.path), issue.message)
            for index, change in enumerate(changes)
            for issue in self._problems_of_change(change)
        ]

    def _problems_of_change(self, change: ChangeRequest) -> list[Issue]:
        match change:
            case PutRequest():
                issues = [*_problem_of_name("put", change.name), *_twice(change.labels or ()), *_metadata(change)]
                return [*issues, *self._object("put", change.object)]
            case PatchRequest():
                return [*_problem_of_name("patch", change.name), *_patch(change), *self._object("patch", change.object)]
            case RenameEntry(name, to):
                problem = names.problem_with_artifact(to)
                return [*_problem_of_name("rename", name), *([Issue(("rename", "to"), problem)] if problem else [])]
            case DeleteEntry(name):
                return _problem_of_name("delete", name)

    def _object(self, act: str, wanted: ObjectRequest | None) -> list[Issue]:
        return [Issue((act, *issue.path), issue.message) for issue in self.problems_of_object(wanted)] if wanted else []

    def problems_of_object(self, wanted: ObjectRequest) -> list[Issue]:
        """What is wrong with bytes as a caller announces them."""
        size = None
        if not 0 <= wanted.size <= self._max_size:
            size = f"A size is between 0 and {self._max_size} bytes; this one is {wanted.size}."
        found = [
            ("digest", names.problem_with_digest(wanted.digest)),
            ("size", size),
            ("contentType", names.problem_with_content_type(wanted.content_type) if wanted.content_type else None),
            ("filename", names.problem_with_filename(wanted.filename) if wanted.filename is not None else None),
        ]
        return [Issue(("object", path), problem) for path, problem in found if problem]


def pin_of(wanted: ObjectRequest) -> ObjectPin:
    """Announced bytes as an entry pins them, not pending."""
    sha256 = wanted.digest.removeprefix(SHA256)
    return ObjectPin(sha256, wanted.size, wanted.content_type or DEFAULT_CONTENT_TYPE, wanted.filename, pending=False)


def _pin_value(pin: ObjectPin, *, pending: bool) -> dict[str, Any]:
    value: dict[str, Any] = {"sha256": pin.sha256, "size": pin.size, "contentType": pin.content_type}
    if pin.filename is not None:
        value["filename"] = pin.filename
    return {**value, "state": PENDING} if pending else value


def _change(index: int, change: ChangeRequest, pin: ObjectPin | None, stored: frozenset[str]) -> EntryChange:
    pinned = _pin_value(pin, pending=pin.sha256 not in stored) if pin else None
    match change:
        case PutRequest():
            try:
                return PutEntry(change.name, entry_from(change.name, _entry(change, pinned)).entry)
            except InvalidEntryError as error:
                path = ("changes", str(index), "put")
                raise InvalidInputError([Issue(path, problem.message) for problem in error.problems]) from error
        case PatchRequest():
            return PatchEntry(change.name, change.patch, pinned)
        case _:
            return change


def _entry(put: PutRequest, pinned: dict[str, Any] | None) -> dict[str, Any]:
    digest = put.object.digest if put.object else None
    given = {
        "dataObjectId": digest if put.data_object_id is None else put.data_object_id,
        "type": put.type,
        "description": put.description,
        "labels": _labels(put.labels or ()),
        "object": pinned,
    }
    return {**{key: value for key, value in given.items() if value is not None}, **(put.metadata or {})}


def _labels(labels: Sequence[tuple[str, str | None]]) -> dict[str, str | None] | list[str] | None:
    """A list of bare labels, a map as soon as one of them has a value."""
    if all(value is None for _, value in labels):
        return [key for key, _ in labels] or None
    return dict(labels)


def _twice(labels: Sequence[tuple[str, str | None]]) -> list[Issue]:
    keys = [key for key, _ in labels]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    return [Issue(("put", "labels"), f"The label {key!r} is given more than once; give it once.") for key in twice]


def _metadata(put: PutRequest) -> list[Issue]:
    if put.metadata is None:
        return []
    if not isinstance(put.metadata, Mapping):
        return [Issue(("put", "metadata"), 'Metadata is a JSON object; wrap the value in one: {"value": …}.')]
    taken = [key for key in RESERVED if key in put.metadata]
    return [Issue(("put", "metadata", key), f"{key!r} has a field of its own; give it there.") for key in taken]


def _patch(patch: PatchRequest) -> list[Issue]:
    if not isinstance(patch.patch, Mapping):
        return [Issue(("patch", "patch"), "A merge patch is a JSON object, as RFC 7396 has it.")]
    if patch.patch.get("object") is not None:
        return [Issue(("patch", "patch", "object"), "Pin bytes with the field 'object' beside the patch.")]
    return []


def _problem_of_name(act: str, name: str) -> list[Issue]:
    problem = names.problem_with_artifact(name)
    return [Issue((act,) if act == "delete" else (act, "name"), problem)] if problem else []


def _problem_with_actor(actor: Actor) -> str | None:
    return names.problem_with_person(actor.name) or names.problem_with_person(actor.email)


def _object_of(change: ChangeRequest) -> ObjectRequest | None:
    return change.object if isinstance(change, PutRequest | PatchRequest) else None


def _name_after(change: EntryChange) -> str | None:
    """What the entry a change leaves behind is called; None when it leaves none that was asked for."""
    return change.name if isinstance(change, PutEntry | PatchEntry | RestoreEntry) else None
