"""Pages of lists, by cursors that name an element and not a number: they survive whatever is written meanwhile."""

import base64
import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.registry.errors import InvalidInputError

T = TypeVar("T")
U = TypeVar("U")
Key = tuple[Any, ...]
DEFAULT_SIZE = 20
CHECK = 8
COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Cursors:
    """The cursors of one list. What names the list is made once, however many elements are named."""

    def __init__(self, scope: Key) -> None:
        self._named = hashlib.sha256(json.dumps(scope, ensure_ascii=True, default=str).encode() + b"\0")

    def of(self, key: Key) -> str:
        """The cursor of an element."""
        text = COMPACT(key).encode("utf-8", "surrogatepass")
        return base64.urlsafe_b64encode(self.check(text) + text).decode().rstrip("=")

    def check(self, text: bytes) -> bytes:
        """What only this list puts before a key."""
        named = self._named.copy()
        named.update(text)
        return named.digest()[:CHECK]


@dataclass(frozen=True, slots=True)
class Edge(Generic[T]):
    """An element of a list, and its key among those of the list."""

    node: T
    key: Key
    cursors: Cursors

    @property
    def cursor(self) -> str:
        """What names the element to callers."""
        return self.cursors.of(self.key)


@dataclass(slots=True)  # nobody changes one; to freeze it would take longer than to make it
class Page(Generic[T]):
    """A part of a list. `total` counts the whole list, and is None where counting would mean walking it.

    `key` is that of the n-th element in the list `scope`. Cursors are made of both, when somebody asks for one. Pages
    with the same `token` have the same nodes; without one nobody knows.
    """

    nodes: Sequence[T]
    has_next: bool
    has_previous: bool
    total: int | None
    scope: Key
    key: Callable[[int], Key]
    token: Hashable = None

    @property
    def edges(self) -> list[Edge[T]]:
        """The elements with what names them."""
        cursors = Cursors(self.scope)
        return [Edge(node, self.key(place), cursors) for place, node in enumerate(self.nodes)]

    @property
    def start(self) -> str | None:
        """The cursor of the first element; None on an empty page."""
        return encode(self.scope, self.key(0)) if self.nodes else None

    @property
    def end(self) -> str | None:
        """The cursor of the last element; None on an empty page."""
        return encode(self.scope, self.key(len(self.nodes) - 1)) if self.nodes else None

    def map(self, view: Callable[[T], U]) -> "Page[U]":
        """The same page of what each element is shown as."""
        nodes = [view(node) for node in self.nodes]
        return Page(nodes, self.has_next, self.has_previous, self.total, self.scope, self.key)


@dataclass(slots=True)  # as above
class Request:
    """Which part of which list: `scope` names the list with all that shapes it, so that no cursor fits another."""

    scope: Key
    first: int | None
    after: str | None
    limit: int

    def size(self) -> int:
        """How many elements are wanted. Raises InvalidInputError for a page that is too large."""
        first = DEFAULT_SIZE if self.first is None else self.first
        if not 0 <= first <= self.limit:
            raise InvalidInputError.of(
                "first", f"A page has 0 to {self.limit} elements, not {first}; ask for more pages."
            )
        return first

    def start(self) -> Key | None:
        """The key of the element the page comes after. Raises InvalidInputError for what is no cursor of this list."""
        return None if self.after is None else decode(self.scope, self.after)


def encode(scope: Key, key: Key) -> str:
    """The cursor of the element `key` in the list `scope`."""
    return Cursors(scope).of(key)


def decode(scope: Key, cursor: str) -> Key:
    """The key a cursor names. Raises InvalidInputError when it was altered or is of another list."""
    try:
        data = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        check, text = data[:CHECK], data[CHECK:]
        key = json.loads(text) if check == Cursors(scope).check(text) else None
    except (ValueError, RecursionError):
        raise _foreign() from None
    if not isinstance(key, list) or not all(isinstance(part, str | int) for part in key):
        raise _foreign()  # somebody made it up, and knew how
    return tuple(key)


def _foreign() -> InvalidInputError:
    return InvalidInputError.of("after", "This is no cursor of this list. Leave it out to begin at the start.")


def page(request: Request, items: Sequence[T], key: Callable[[T], Key], token: object = None) -> Page[T]:
    """A page of a list that is at hand, sorted by `key`. Lists with the same `token` are the same."""
    size, start = request.size(), request.start()
    if start is not None and items and [*map(type, start)] != [*map(type, key(items[0]))]:
        raise _foreign()  # somebody made it up, and knew how
    begin = bisect_right(items, start, key=key) if start is not None else 0
    shown, total = items[begin : begin + size], len(items)
    part = (token, begin, size) if token else None
    return Page(shown, begin + size < total, begin > 0, total, request.scope, lambda n: key(shown[n]), part)


def window(request: Request, found: Sequence[T], key: Callable[[T], Key]) -> Page[T]:
    """A page of a list that is walked: `found` begins at the page and has one element more if there is one."""
    size = request.size()
    shown, more = found[:size], len(found) > size
    return Page(shown, more, request.after is not None, None, request.scope, lambda n: key(shown[n]))
