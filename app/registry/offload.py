"""Blocking work off the event loop: Git, YAML and hashing run here, a bounded number at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from app.registry.abroad import Abroad
from app.registry.apart import Apart

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8


class Offload:
    """A small pool of threads. Callers beyond it wait their turn; nothing waits on the event loop.

    `apart` is for those threads: what would keep one of them busy for long. `abroad` is for what waits
    for other machines.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="registry")
        self.abroad = Abroad()
        self.apart = Apart()

    async def __call__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread and answer what it answers, or raise what it raises."""
        loop = asyncio.get_running_loop()
        here = copy_context()  # whoever asks has the same trail there
        return await loop.run_in_executor(self._pool, _tellable, lambda: here.run(work, *args, **kwargs))

    @property
    def waiting(self) -> int:
        """How much work waits for a thread."""
        return self._pool._work_queue.qsize()  # noqa: SLF001  the pool tells it in no other way

    def close(self) -> None:
        """Wait for what runs, then end the threads and the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.apart.close()


def _tellable(work: Callable[[], T]) -> T:
    """What `work` answers. Two faults would not reach who waits: a future takes neither for what it is."""
    try:
        return work()
    except (StopIteration, asyncio.CancelledError) as error:
        raise RuntimeError(f"{type(error).__name__} in a thread") from error
