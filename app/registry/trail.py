"""The trail of a request: what is known of it while it runs, for the log, the audit, the counts and the traces."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class About:
    """What an operation is: its kind, its name, and the sha-256 of its document, which itself is written nowhere."""

    kind: str
    name: str
    document: str


@dataclass(slots=True)
class Trail:
    """One request, or one operation on a socket. `code` is that of the first error; `span` is the tracer's own."""

    id: str
    caller: str = ""
    about: About | None = None
    code: str = ""
    span: Any = None


NOWHERE = Trail("")
"""What runs for nobody: a look at Git, a clean-up. Nothing is noted here."""
_current: ContextVar[Trail] = ContextVar("trail", default=NOWHERE)


def current() -> Trail:
    """The trail of what runs now."""
    return _current.get()


def follow(trail: Trail) -> None:
    """What this task does from now on, and what it begins, is done for this request."""
    _current.set(trail)


def called(caller: str) -> None:
    """Note whose request it is."""
    trail = _current.get()
    if trail is not NOWHERE:
        trail.caller = caller


def about(operation: About | None) -> None:
    """Note what the request asks for."""
    trail = _current.get()
    if trail is not NOWHERE:
        trail.about = operation


def fails(code: str) -> None:
    """Note why the request got no answer, or not all of it: what is said first counts."""
    trail = _current.get()
    if trail is not NOWHERE and not trail.code:
        trail.code = str(code)
