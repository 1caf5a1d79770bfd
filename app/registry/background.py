"""Work that goes on when whoever waits for it has waited long enough."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Tasks that nobody may be waiting for any more."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()  # the event loop alone would forget them

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def wait(self, work: Coroutine[Any, Any, T], seconds: float) -> T | None:
        """What it answers, or raise what it raises; None when it takes longer, and then it goes on."""
        task = self.begin(work)
        await asyncio.wait([task], timeout=seconds)
        return task.result() if task.done() else None

    async def finish(self, seconds: float) -> None:
        """Wait until all of it is done, but no longer than this."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
