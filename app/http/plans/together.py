"""Coroutines side by side, at no cost as long as none of them waits."""

from asyncio import TaskGroup
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from app.http.within import going_on

T = TypeVar("T")


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them answer, in their order. They run one after another until the first that waits.

    Only then the others become tasks, which is what most of the time of `asyncio.gather` goes into. When one of them
    raises, none runs on: that is raised as it is before something waits, and in an ExceptionGroup later.
    """
    coming = iter(coroutines)
    answers: list[T] = []
    turns = _in_turn(coming, answers)
    try:
        waited = turns.send(None)
    except StopIteration:
        return answers
    async with TaskGroup() as group:
        others = [group.create_task(one) for one in coming]
        await going_on(turns, waited)
    return answers + [one.result() for one in others]


async def _in_turn(coming: Iterable[Coroutine[Any, Any, T]], answers: list[T]) -> None:
    """Collect what those answer that are still coming."""
    for one in coming:
        answers.append(await one)  # noqa: PERF401  as far as they have come
