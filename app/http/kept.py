"""Answers kept, to be given again for as long as all that they rest on stands."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.http.answer import Answer
from app.http.body import encode_json
from app.http.engine import Operation
from app.registry.manifests import Memory

ROOM = 64 * 1024 * 1024
"""Bytes of answers that are kept, each counted as 2 000 at least. Those not asked for longest go first."""
LARGEST = 1024 * 1024
"""Bytes of an answer, or of the variables it was asked for with, that is worth keeping."""


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


@dataclass(frozen=True, slots=True)
class Asked:
    """All that an answer depends on, besides what it rests on: two that are equal have one answer."""

    text: str
    operation: str | None
    variables: bytes
    who: Hashable
    media_type: str
    by_get: bool


class KeptAnswers:
    """The answers to operations that are `lasting`. Nothing else is to be kept here."""

    def __init__(self, room: int = ROOM) -> None:
        self._memory: Memory[tuple[Answer, Footing]] = Memory(room)

    def find(self, asked: Asked) -> Answer | None:
        """The answer that would be computed now, if it is kept."""
        answer, footing = self._memory.get(asked) or (None, None)
        return answer if footing and footing.stands() else None

    def keep(self, asked: Asked, answer: Answer, footing: Footing) -> None:
        """Keep an answer without errors, if what it rests on is known."""
        size = len(answer.body) + len(asked.variables)
        if footing.firm and size <= LARGEST:
            self._memory.put(asked, size, (answer, footing))


def asked_for(
    operation: Operation, variables: Mapping[str, Any], asker: Asker, media_type: str, *, by_get: bool
) -> Asked:
    """How the answer to an operation is found again."""
    given = encode_json(variables) if variables else b""
    return Asked(operation.text, operation.name, given, asker.who, media_type, by_get)
