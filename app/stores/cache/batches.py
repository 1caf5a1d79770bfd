"""Calls that are made at once, put together."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
PATIENCE_SECONDS = 0.01
"""For this long a batch waits for the one before it: an answer that is slow to come holds nobody up."""


class Batches(Generic[K, V]):
    """What is asked for while `ask` is under way is asked for together after that, and nothing twice.

    Whoever is alone waits for nobody. A question is always sent after the call, never found in one already sent.
    """

    def __init__(self, ask: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        """`ask` answers every key and raises nothing."""
        self._ask = ask
        self._gathering: dict[K, None] = {}
        self._batch: asyncio.Task[Mapping[K, V]] | None = None

    async def get(self, key: K) -> V:
        """What `ask` answers for a key. Who gives up takes nothing from the others."""
        batch = self._batch
        if batch is None or not self._gathering:
            batch = self._batch = asyncio.create_task(self._together(batch))
        self._gathering[key] = None
        return (await asyncio.shield(batch))[key]

    async def _together(self, before: asyncio.Task[Mapping[K, V]] | None) -> Mapping[K, V]:
        if before and not before.done():
            await asyncio.wait([before], timeout=PATIENCE_SECONDS)
        wanted, self._gathering = self._gathering, {}
        return await self._ask(wanted)
