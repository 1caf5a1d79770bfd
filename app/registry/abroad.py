"""Blocking work that waits for other machines: in threads of its own, for which nobody waits when the server stops."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 32


class Abroad:
    """So many at a time, and no more: callers beyond them wait their turn.

    What a stop interrupts has to survive it, as it would a power cut.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._room = asyncio.Semaphore(threads)

    async def __call__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread and answer what it answers, or raise what it raises."""
        loop = asyncio.get_running_loop()
        await self._room.acquire()
        answer: asyncio.Future[T] = loop.create_future()
        here = copy_context()  # whoever asks has the same trail there

        def settle(outcome: T | None, error: BaseException | None) -> None:
            self._room.release()
            if answer.done():
                return  # nobody waits for it any more
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(outcome)  # type: ignore[arg-type]  # without an error it is what `work` answered

        def run() -> None:
            outcome, failed = None, None
            try:
                outcome = here.run(work, *args, **kwargs)
            except BaseException as error:  # noqa: BLE001 (whatever it was, the caller is told)
                failed = error
            with suppress(RuntimeError):  # the server has stopped
                loop.call_soon_threadsafe(settle, outcome, failed)

        try:
            Thread(target=run, name="abroad", daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            self._room.release()
            raise
        return await answer
