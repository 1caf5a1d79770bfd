"""Every refusal of the registry: a code that never changes, and a message whose last part is the next step."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from app.registry.manifest import Problem

if TYPE_CHECKING:
    from app.registry.feed import Place
    from app.registry.model import Change


LISTED = 10
"""Parts a message names; `Query.upload` lists what has arrived."""


class RegistryError(Exception):
    """The base of every refusal. Its message is written for the caller and safe to show."""

    code: ClassVar[str]

    @property
    def message(self) -> str:
        """The sentence for the caller."""
        return str(self.args[0])


class Subject(Enum):
    """What kind of thing a refusal is about."""

    PROJECT = "PROJECT"
    BRANCH = "BRANCH"
    COMMIT = "COMMIT"
    ARTIFACT = "ARTIFACT"
    UPLOAD = "UPLOAD"


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with an input: where (`("changes", "0", "put", "name")`) and what to change."""

    path: tuple[str, ...]
    message: str


class InvalidInputError(RegistryError):
    """The input breaks a rule; every rule it breaks is listed."""

    code = "INVALID_INPUT"

    def __init__(self, issues: Sequence[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("; ".join(f"{'.'.join(i.path)}: {i.message}" for i in self.issues))

    @classmethod
    def of(cls, path: str | tuple[str, ...], message: str) -> "InvalidInputError":
        """The refusal of a single thing."""
        return cls([Issue((path,) if isinstance(path, str) else path, message)])


class NotFoundError(RegistryError):
    """What the input names is not there, or not visible to the caller."""

    code = "NOT_FOUND"

    def __init__(self, subject: Subject, name: str) -> None:
        super().__init__(f"There is no {subject.value.lower()} {name!r} here. Check the name, or create it first.")
        self.subject = subject
        self.name = name


class AlreadyExistsError(RegistryError):
    """What the input would create is there already."""

    code = "ALREADY_EXISTS"

    def __init__(self, subject: Subject, name: str) -> None:
        super().__init__(f"The {subject.value.lower()} {name!r} exists already. Choose another name, or use that one.")
        self.subject = subject
        self.name = name


class ConflictError(RegistryError):
    """Somebody else changed what the input changes. Nothing was recorded."""

    code = "CONFLICT"

    def __init__(self, message: str, head: str, changes: "Sequence[Change]" = ()) -> None:
        super().__init__(message)
        self.head = head
        self.changes = tuple(changes)


class ManifestBrokenError(RegistryError):
    """The branch's manifest cannot be read, or not be edited without touching what a human wrote."""

    code = "MANIFEST_BROKEN"

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class MissingObjectsError(RegistryError):
    """Bytes the input names have not arrived in the store."""

    code = "MISSING_OBJECTS"

    def __init__(self, digests: Sequence[str], parts: Sequence[int] = ()) -> None:
        listed = ", ".join(digests)
        if parts:  # of the one upload that was to be completed
            listed += f" ({len(parts)} of its parts: {', '.join(map(str, parts[:LISTED]))})"
        super().__init__(f"These bytes have not arrived: {listed}. PUT them with createUploads, then try again.")
        self.digests = tuple(digests)


class DigestMismatchError(RegistryError):
    """The store holds other bytes than were announced."""

    code = "DIGEST_MISMATCH"

    def __init__(self, message: str, expected: str, actual: str | None) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class ObjectStoreUnavailableError(RegistryError):
    """The object store cannot be asked for now; `reason` is in its own words. What needs no bytes goes on."""

    code = "OBJECT_STORE_UNAVAILABLE"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The object store cannot be used right now ({reason}). Try again in a moment; if it lasts, the server's "
            "log says more."
        )


class IdempotencyKeyReusedError(RegistryError):
    """The idempotency key was used on this branch with another input."""

    code = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self, key: str) -> None:
        super().__init__(f"The key {key!r} was used with another input. Use a new key for a new change.")


class ContentionError(RegistryError):
    """Too much is being written to the branch right now. Nothing was recorded."""

    code = "CONTENTION"


class RateLimitedError(RegistryError):
    """The caller asks for this too often. It will be taken in `retry_after` seconds. Nothing was recorded."""

    code = "RATE_LIMITED"

    def __init__(self, what: str, per_second: float, retry_after: float) -> None:
        super().__init__(f"You may have {per_second:g} {what} a second. Go on in {retry_after:.3g} s, more slowly.")
        self.retry_after = retry_after


class RemoteRejectedError(RegistryError):
    """The project's Git host refused the push; `reason` is in its words. Nothing was recorded."""

    code = "REMOTE_REJECTED"

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class RemoteUnavailableError(RegistryError):
    """The project's Git host did not answer."""

    code = "REMOTE_UNAVAILABLE"


class CursorExpiredError(RegistryError):
    """The place a stream should resume from is no longer known."""

    code = "CURSOR_EXPIRED"


class TooSlowError(RegistryError):
    """A listener fell so far behind that it is kept no longer; `place` is the last it passed, where there was one."""

    code = "TOO_SLOW"

    def __init__(self, place: "Place | None") -> None:
        super().__init__(
            "You read too slowly and were cut off. Subscribe again after the last cursor you handled, or after the one "
            "that stands here: nothing is lost."
        )
        self.place = place


class UnauthenticatedError(RegistryError):
    """Nobody knows who asks: no credentials came, or none that are good."""

    code = "UNAUTHENTICATED"


class ForbiddenError(RegistryError):
    """The caller sees what the input names, and may not do this with it."""

    code = "FORBIDDEN"
