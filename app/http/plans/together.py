"""Coroutines side by side, at no cost as long as none of them waits."""

from asyncio import TaskGroup
from collections.abc import Coroutine, Generator, Iterable
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them answer, in their order. They run one after another until the first that waits.

    Only then the others become tasks, which is what most of the time of `asyncio.gather` goes into. When one of them
    raises, none runs on: that is raised as it is before something waits, and in an ExceptionGroup later.
    """
    coming = iter(coroutines)
    answers: list[T] = []
    for one in coming:
        try:
            waited = one.send(None)
        except StopIteration as done:
            answers.append(done.value)
        else:
            return answers + await _side_by_side(_going_on(one, waited), coming)
    return answers


async def _side_by_side(first: Any, coming: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    async with TaskGroup() as group:
        others = [group.create_task(one) for one in coming]
        answer: T = await first
    return [answer, *(one.result() for one in others)]


@coroutine
def _going_on(one: Coroutine[Any, Any, T], waited: Any) -> Generator[Any, Any, T]:
    """What a coroutine answers that has begun to wait."""
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
