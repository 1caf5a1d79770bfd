"""What the server keeps of the requests it answered: a line in the log, and numbers."""

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

from starlette.types import Scope

from app.http.errors import Code
from app.logs import Lines, moment, on_terminal, quoted, without_secrets
from app.registry import audit
from app.registry.errors import RateLimitedError
from app.registry.trail import Trail, follow
from app.stores.timings import Histogram

SAFE_IN_PATHS = "/:@!$&'()*+,;=~"
ROUTES = frozenset({"graphql", "git", "objects", "hooks", "livez", "readyz", "metrics"})
LONGEST_PATH = 1000
"""Characters of a path that are looked at and written; those that lead somewhere are shorter."""
LONGEST_NAME = 64
MOST_NAMES = 100
"""Operations that are counted by their names; all others together are `other`."""
OTHER = "other"
KEPT = 256
REFUSALS = frozenset({Code.UNAUTHENTICATED, Code.FORBIDDEN, RateLimitedError.code})
log = logging.getLogger("ml_registry.requests")


class Tracer(Protocol):
    """Who draws spans of what is recorded."""

    def begin(self, trail: Trail, scope: Scope | None) -> None:
        """A request comes in; without a scope, an operation on a socket, whose span the trail has."""

    def end(self, trail: Trail, status: int) -> None:
        """It was answered."""


class Record:
    """Told of all that begins and ends. Belongs to one event loop; the numbers may be read by any thread."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer
        self._lines = Lines()
        self._line: Callable[..., str] = _plain if on_terminal() else _json
        self._names: set[str] = set()
        self.requests: dict[tuple[str, int], int] = {}
        """By route and status."""
        self.operations: dict[tuple[str, str, str], int] = {}
        """By kind, name and code."""
        self.answered: dict[str, Histogram] = {}
        """By the kind of the operation."""

    def begin(self, trail: Trail, scope: Scope | None = None) -> None:
        """A request or a socket begins; without a scope, an operation on one."""
        follow(trail)
        if self._tracer:
            self._tracer.begin(trail, scope)

    def request(self, trail: Trail, method: str, path: str, status: int, seconds: float) -> None:
        """A request or a socket has ended. `status` is 0 where nothing was answered."""
        shown, route = _place(path[:LONGEST_PATH])
        key = route, status
        self.requests[key] = self.requests.get(key, 0) + 1
        self._end(trail, method, shown, status, seconds)

    def operation(self, trail: Trail, seconds: float) -> None:
        """An operation on a socket has ended."""
        self._end(trail, "OPERATION", "/graphql", 0, seconds)

    def _end(self, trail: Trail, method: str, path: str, status: int, seconds: float) -> None:
        if trail.about:
            kind = trail.about.kind
            operation = kind, self._name(trail.about.name), trail.code or "OK"
            self.operations[operation] = self.operations.get(operation, 0) + 1
            histogram = self.answered.get(kind) or self.answered.setdefault(kind, Histogram())
            histogram.add(seconds)
        if log.isEnabledFor(logging.INFO):
            self._lines.add(self._line(trail, method, path, status, seconds * 1000))
        if trail.code in REFUSALS:
            audit.refused(trail, f"{method} {path}")
        if self._tracer:
            self._tracer.end(trail, status)

    def _name(self, name: str) -> str:
        if name in self._names:
            return name
        if len(self._names) >= MOST_NAMES or len(name) > LONGEST_NAME:
            return OTHER
        self._names.add(name)
        return name


def route_of(path: str) -> str:
    """Which part of the server a path leads to: one of a few names."""
    return _place(path[:LONGEST_PATH])[1]


@lru_cache(KEPT)
def _place(path: str) -> tuple[str, str]:
    """A path fit for the log, and which part of the server it leads to."""
    first = path.split("/", 2)[1] if path.startswith("/") else OTHER
    route = first if first in ROUTES else OTHER if first else "explorer"
    return quote(without_secrets(path), safe=SAFE_IN_PATHS + "[]"), route


def _json(trail: Trail, method: str, path: str, status: int, milliseconds: float) -> str:
    """Put together by hand, in a third of the time: what is not quoted here has no character that would have to be."""
    more = f',"caller":{quoted(trail.caller)}' if trail.caller else ""
    if about := trail.about:
        name = about.name[:LONGEST_NAME]
        more += f',"kind":"{about.kind}","operation":"{name}","document":"{about.document}"'
    if trail.code:
        more += f',"code":"{trail.code}"'
    return (
        f'{{"time":"{moment(time.time())}","level":"INFO","logger":"{log.name}","message":"{method} {path} {status}",'
        f'"request_id":"{trail.id}","method":"{method}","path":"{path}","status":{status},"ms":{milliseconds:.1f}{more}}}'
    )


def _plain(trail: Trail, method: str, path: str, status: int, milliseconds: float) -> str:
    what = f" {trail.about.kind} {trail.about.name[:LONGEST_NAME]}".rstrip() if trail.about else ""
    code = f" {trail.code}" if trail.code else ""
    text = f"{method} {path} {status or '-'} in {milliseconds:.1f} ms{what}{code} ({trail.id})"
    return f"{moment(time.time())} INFO    {log.name}  {text}"
