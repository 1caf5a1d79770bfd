"""Answers kept, to be given again for as long as all that they rest on stands."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Scope

from app.http.answer import Answer
from app.http.headers import Headers, named
from app.registry.memory import Memory

DECISIVE = frozenset({b"accept", b"content-type", b"content-encoding"})
"""The headers on which an answer depends, besides those that say who asks."""

ROOM = 64 * 1024 * 1024
"""Bytes of answers that are kept, each counted as 2 000 at least. Those not asked for longest go first."""
LARGEST = 1024 * 1024
"""Bytes of a request and its answer that are worth keeping."""
REMEMBERED = 10_000
"""Requests of which is remembered that they came."""


class Footing(Protocol):
    """What an answer rests on. It is not firm when not all of that is known."""

    firm: bool

    def stands(self) -> bool:
        """Whether nothing of it has moved since."""


class Asker(Protocol):
    """A context whose answers may be kept."""

    @property
    def who(self) -> Hashable:
        """Equal only for callers who get the same answers."""

    @property
    def strong(self) -> bool:
        """Whether no kept answer will do."""

    @property
    def footing(self) -> Footing:
        """What the answer rests on, once it is made."""


@dataclass(slots=True, unsafe_hash=True)  # nobody changes one; to freeze it would take longer than to make it
class Asked:
    """A request, as far as its answer depends on it: requests that are equal have one answer, as long as it stands.

    `content` is the query of the URL, or the body of a request that is not `safe`.
    """

    safe: bool
    content: bytes
    headers: Headers
    who: Hashable

    @classmethod
    def of(cls, scope: Scope, content: bytes, who: Hashable, *, safe: bool) -> "Asked":
        """The request of a scope."""
        return cls(safe, content, named(scope, DECISIVE), who)


class KeptAnswers:
    """Answers without errors to operations that are `lasting`. Nothing else is to be kept here.

    One is kept once it was asked for again: most are not, and would only use up room, and the processor's caches.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._memory: Memory[tuple[Answer, Footing]] = Memory(room)
        self._once: set[int] = set()
        self.hits = 0
        self.misses = 0

    def find(self, asked: Asked) -> Answer | None:
        """The answer that would be computed now, if it is kept."""
        answer, footing = self._memory.get(asked) or (None, None)
        if footing and footing.stands():
            self.hits += 1
            return answer
        self.misses += 1
        return None

    def keep(self, asked: Asked, answer: Answer, footing: Footing) -> None:
        """Keep an answer that was asked for before, if what it rests on is known."""
        if not self._again(hash(asked)):
            return
        size = len(answer.body) + len(asked.content) + sum(len(value) for _, value in asked.headers)
        if footing.firm and size <= LARGEST:
            self._memory.put(asked, size, (answer, footing))

    def _again(self, digest: int) -> bool:
        if digest in self._once:
            return True
        if len(self._once) >= REMEMBERED:
            self._once.clear()
        self._once.add(digest)
        return False
