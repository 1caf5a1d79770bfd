"""The JSON of pages whose nodes never change, by what is selected of them: made once, as long as there is room."""

from collections.abc import Callable, Sequence
from typing import Any

from app.http.body import Encoded, encode_json
from app.registry.manifests import Memory
from app.resolvers.paging import Page

ROOM = 64 * 1024 * 1024
"""Bytes of JSON."""


class Texts:
    """What was made for any plan. A plan's functions are its own, so none gets what another selected."""

    def __init__(self, room: int = ROOM) -> None:
        self._memory: Memory[Encoded] = Memory(room)

    def of(self, select: Callable[[Sequence[Any], Any], Any], page: Page[Any], run: Any) -> Any:
        """What `select` makes of the nodes, which has to follow from them alone."""
        if page.token is None:
            return select(page.nodes, run)
        key = select, page.token
        text = self._memory.get(key)
        if text is None:
            text = Encoded(encode_json(select(page.nodes, run)))
            self._memory.put(key, len(text.json), text)
        return text
