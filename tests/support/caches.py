"""Caches that do not answer when they are told so."""

from collections.abc import Mapping, Sequence

from app.stores.cache.memory import MemoryCache
from app.stores.errors import CacheUnavailableError


class SwitchedCache(MemoryCache):
    """A cache that may be `away` for a while, and keeps what it had."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False

    async def ticket(self) -> int:
        self._answer()
        return await super().ticket()

    async def begun(self) -> int:
        self._answer()
        return await super().begun()

    async def move(
        self, project: str, ticket: int, pointers: Mapping[str, bytes | None], held: Mapping[str, bytes] | None = None
    ) -> bool:
        self._answer()
        return await super().move(project, ticket, pointers, held)

    async def pointers(self, project: str) -> Mapping[str, bytes]:
        self._answer()
        return await super().pointers(project)

    async def pointer(self, project: str, field: str) -> bytes | None:
        self._answer()
        return await super().pointer(project, field)

    async def derived(self, names: Sequence[str]) -> Mapping[str, bytes]:
        self._answer()
        return await super().derived(names)

    async def put_derived(self, values: Mapping[str, bytes]) -> None:
        self._answer()
        await super().put_derived(values)

    def _answer(self) -> None:
        if self.away:
            raise CacheUnavailableError("away")
