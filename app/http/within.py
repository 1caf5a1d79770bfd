"""A deadline for what may wait, that costs nothing as long as it does not."""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` answers. Raises TimeoutError when it waits for too long, and then it is cancelled.

    There is no timer before it waits, and most work here never does.
    """
    try:
        waited = work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    async with asyncio.timeout(seconds):
        return await going_on(work, waited)


@coroutine
def going_on(one: Coroutine[Any, Any, T], waited: Any) -> Generator[Any, Any, T]:
    """The rest of a coroutine that has begun to wait for `waited`."""
    step: Any
    try:
        while True:
            try:
                given, step = (yield waited), one.send
            except BaseException as error:  # noqa: BLE001  handed on: it is the coroutine's to handle
                given, step = error, one.throw
            waited = step(given)
    except StopIteration as done:
        answer: T = done.value
        return answer
