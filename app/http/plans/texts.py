"""The JSON of pages whose nodes never change, by what is selected of them: made once, as long as there is room."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from app.http.body import Encoded, encode_json
from app.registry.memory import Memory
from app.resolvers.paging import Page

ROOM = 64 * 1024 * 1024
"""Bytes of JSON."""


class Texts:
    """What was made for any plan. It outlives the plan, of which it knows a number and holds nothing."""

    def __init__(self, room: int = ROOM) -> None:
        self._memory: Memory[Encoded] = Memory(room)
        self._numbers = count()

    def number(self) -> int:
        """A number for a selection that no other has."""
        return next(self._numbers)

    def of(self, number: int, select: Callable[[Sequence[Any], Any], Any], page: Page[Any], run: Any) -> Any:
        """What `select`, which has that number, makes of the nodes. It has to follow from them alone."""
        if page.token is None:
            return select(page.nodes, run)
        key = number, page.token
        text = self._memory.get(key)
        if text is None:
            text = Encoded(encode_json(select(page.nodes, run)))
            self._memory.put(key, len(text.json), text)
        return text
