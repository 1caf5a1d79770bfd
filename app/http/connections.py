"""The sockets and streams that are open right now, so that a shutdown can end them instead of waiting for them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.http.errors import Code, Refusal
from app.resolvers.limits import LIMITS

CLOSING_SECONDS = 5.0
MOST = LIMITS.sockets
MOST_OF_ONE = LIMITS.caller_sockets


@dataclass(frozen=True, slots=True)
class Held:
    """One that is open: what asks it to end, and what ends it if its caller may not go on."""

    stop: Callable[[], object]
    judge: Callable[[], Awaitable[None]]


class Connections:
    """Every long-lived connection of one server. Belongs to one event loop."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Future[None], Held] = {}
        self._closing = False
        self._callers: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def holding(self, stop: Callable[[], object], judge: Callable[[], Awaitable[None]]) -> Iterator[None]:
        """Counts a connection as open for the time of the block.

        `stop` asks it to end, without waiting; `judge` looks once more at what its caller has shown.
        """
        ended = asyncio.get_running_loop().create_future()
        self._open[ended] = Held(stop, judge)
        if self._closing:
            stop()
        try:
            yield
        finally:
            del self._open[ended]
            ended.set_result(None)

    @contextmanager
    def counting(self, who: Hashable) -> Iterator[None]:
        """Counts one for a caller for the time of the block. Raises Refusal when they, or all together, have enough."""
        if self._callers.total() >= MOST:
            raise _too_many(f"The server has {MOST} sockets and streams open already. Try again later.")
        if self._callers[who] >= MOST_OF_ONE:
            raise _too_many(f"You have {MOST_OF_ONE} sockets and streams open already. Close some, or share them.")
        self._callers[who] += 1
        try:
            yield
        finally:
            self._callers[who] -= 1
            if not self._callers[who]:
                del self._callers[who]

    async def judge_all(self) -> None:
        """End those whose callers may not go on, as it is now."""
        for held in tuple(self._open.values()):
            await held.judge()
            await asyncio.sleep(0)  # others are waiting, too

    async def close_all(self) -> None:
        """Ask everything open, and whatever still opens, to end; waits for it at most CLOSING_SECONDS."""
        self._closing = True
        for held in tuple(self._open.values()):
            held.stop()
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=CLOSING_SECONDS)


def _too_many(message: str) -> Refusal:
    return Refusal(Code.TOO_MANY_SOCKETS, message, headers={"retry-after": "10"})


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until each has cleaned up. What they raised was theirs to handle, and is dropped."""
    pending = list(tasks)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
