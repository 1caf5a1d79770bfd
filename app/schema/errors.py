"""Refusals a caller can act on, as members of results, and the one place where exceptions become them."""

from collections.abc import Callable, Mapping
from typing import Any

import strawberry

from app.registry import errors
from app.registry.errors import Subject
from app.resolvers import events
from app.schema import described
from app.schema.history import Change
from app.schema.manifest import ManifestProblem
from app.schema.scalars import Digest, GitObjectID

described.enum(
    Subject,
    """What kind of thing a refusal is about.

    PROJECT: A project.
    BRANCH: A branch.
    COMMIT: A commit, or a revision that names none.
    ARTIFACT: An entry of a manifest.
    UPLOAD: An upload.
    """,
)


@described.interface
class Error:
    """A refusal: nothing was recorded.

    code: What kind of refusal it is, from a closed list.
    message: What happened and the next step, for people.
    """

    code: str
    message: str


@described.type_
class InputIssue:
    """One thing wrong with an input.

    path: Where it stands in the input, names and numbers from the outside in.
    message: What to change.
    """

    path: list[str]
    message: str


@described.type_
class InvalidInputError(Error):
    """The input breaks a rule.

    issues: Everything that is wrong with it.
    """

    issues: list[InputIssue]


@described.type_
class NotFoundError(Error):
    """What the input names is not there, or not visible to you.

    subject: What kind of thing is missing.
    name: How the input calls it.
    """

    subject: Subject
    name: str


@described.type_
class AlreadyExistsError(Error):
    """What the input would create is there already.

    subject: What kind of thing it is.
    name: What it is called.
    """

    subject: Subject
    name: str


@described.type_
class ConflictError(Error):
    """Somebody else changed what the input changes.

    head: The commit the branch is at.
    changes: What moved since `baseCommit`, of the entries the input names.
    """

    head: GitObjectID
    changes: list[Change]


@described.type_
class ManifestBrokenError(Error):
    """The branch's manifest cannot be read; somebody has to repair it with git.

    problems: What is wrong with it, with lines and columns.
    """

    problems: list[ManifestProblem]


@described.type_
class MissingObjectsError(Error):
    """Bytes the input names have not arrived.

    digests: Which.
    """

    digests: list[Digest]


@described.type_
class DigestMismatchError(Error):
    """The store holds other bytes than were announced.

    expected: The digest that was announced.
    actual: The digest of what is there; null when the store does not say.
    """

    expected: Digest
    actual: Digest | None


@described.type_
class IdempotencyKeyReusedError(Error):
    """The idempotency key was used on this branch with another input."""


@described.type_
class ContentionError(Error):
    """Too much is being written there right now. Trying again may succeed."""


@described.type_
class RemoteRejectedError(Error):
    """The project's Git host refused the push.

    reason: Why, in the host's words.
    """

    reason: str


@described.type_
class RemoteUnavailableError(Error):
    """The project's Git host did not answer. Trying again may succeed."""


class _Handler:
    """Turns one kind of exception into its type, on the fields whose result has that type."""

    def __init__(
        self,
        exception_type: type[errors.RegistryError],
        error_type: type[Error],
        details: Callable[[Any], dict[str, Any]] = lambda _: {},
    ) -> None:
        self.exception_type = exception_type
        self.error_type = error_type
        self._details = details

    def handle(self, exception: errors.RegistryError, *, field: Any, info: Any) -> Error:  # noqa: ARG002 (the port's)
        """The refusal as a value."""
        return self.error_type(code=exception.code, message=exception.message, **self._details(exception))


def _subject(error: errors.NotFoundError | errors.AlreadyExistsError) -> dict[str, Any]:
    return {"subject": error.subject, "name": error.name}


def handlers() -> list[strawberry.ExceptionHandler[Any]]:
    """Every refusal that is a value. Where a result lacks the type, the exception stands in `errors[]`."""
    return [
        _Handler(
            errors.InvalidInputError,
            InvalidInputError,
            lambda e: {"issues": [InputIssue(path=list(issue.path), message=issue.message) for issue in e.issues]},
        ),
        _Handler(errors.NotFoundError, NotFoundError, _subject),
        _Handler(errors.AlreadyExistsError, AlreadyExistsError, _subject),
        _Handler(
            errors.ConflictError,
            ConflictError,
            lambda e: {"head": e.head, "changes": [Change(value=change) for change in e.changes]},
        ),
        _Handler(
            errors.ManifestBrokenError,
            ManifestBrokenError,
            lambda e: {"problems": [ManifestProblem.of(problem) for problem in e.problems]},
        ),
        _Handler(errors.MissingObjectsError, MissingObjectsError, lambda e: {"digests": list(e.digests)}),
        _Handler(
            errors.DigestMismatchError,
            DigestMismatchError,
            lambda e: {"expected": e.expected, "actual": e.actual},
        ),
        _Handler(errors.IdempotencyKeyReusedError, IdempotencyKeyReusedError),
        _Handler(errors.ContentionError, ContentionError),
        _Handler(errors.RemoteRejectedError, RemoteRejectedError, lambda e: {"reason": e.reason}),
        _Handler(errors.RemoteUnavailableError, RemoteUnavailableError),
    ]


def details(error: Exception) -> Mapping[str, Any]:
    """What `errors[].extensions` says of a refusal beside its code: where a listener goes on, when to ask again."""
    if isinstance(error, errors.TooSlowError) and error.place:
        return {"cursor": events.cursor(error.place)}
    if isinstance(error, errors.RateLimitedError):
        return {"retryAfter": round(error.retry_after, 3)}
    return {}
