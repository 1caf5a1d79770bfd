"""Coroutines side by side, at no cost as long as none of them waits."""

from asyncio import TaskGroup
from collections.abc import Callable, Coroutine, Generator, Iterable
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them answer, in their order. They run one after another until the first that waits.

    Only then the others become tasks, which is what most of the time of `asyncio.gather` goes into. Raises an
    ExceptionGroup when one of them raises; none runs on then.
    """
    coming = iter(coroutines)
    async with TaskGroup() as group:
        others: list[Any] = []

        def begin_others() -> None:
            others.extend(map(group.create_task, coming))

        answers = [await _until_waiting(one, begin_others) for one in coming]
    return [*answers, *(other.result() for other in others)]


@coroutine
def _until_waiting(one: Coroutine[Any, Any, T], waits: Callable[[], None]) -> Generator[Any, Any, T]:
    """What a coroutine answers; calls `waits` before it waits for the first time."""
    step = one.send
    given: Any = None
    try:
        waited = step(given)
        waits()
        while True:
            try:
                given, step = (yield waited), one.send
            except BaseException as error:  # noqa: BLE001  handed on: it is the coroutine's to handle
                given, step = error, one.throw
            waited = step(given)
    except StopIteration as done:
        answer: T = done.value
        return answer
