"""Coroutines side by side: at once where something waits, and without tasks where nothing does."""

import asyncio
from collections.abc import Iterator

import pytest

from app.http.plans.together import together


class Door:
    """What coroutines wait at; it opens when so many of them stand before it."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._open = asyncio.Event()

    async def passed(self, number: int) -> int:
        self._wanted -= 1
        if not self._wanted:
            self._open.set()
        await self._open.wait()
        return number


async def at_once(number: int) -> int:
    return number


async def refused(number: int) -> int:
    raise ValueError(number)


async def for_ever(ended: list[int], number: int) -> int:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        ended.append(number)
    return number


async def test_what_does_not_wait_makes_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.TaskGroup, "create_task", None)
    assert await together(at_once(number) for number in range(5)) == list(range(5))
    assert await together(iter(())) == []


async def test_those_that_wait_wait_at_the_same_time() -> None:
    door = Door(3)
    coming = (one for one in [at_once(0), door.passed(1), door.passed(2), at_once(3), door.passed(4)])
    async with asyncio.timeout(5):
        assert await together(coming) == [0, 1, 2, 3, 4]


async def test_the_first_that_fails_leaves_no_coroutine_behind() -> None:
    begun: list[int] = []

    def coming() -> Iterator[object]:
        for number in range(3):
            begun.append(number)
            yield refused(number)

    with pytest.raises(ValueError, match="0"):
        await together(coming())  # type: ignore[arg-type]
    assert begun == [0]


@pytest.mark.parametrize("first", [True, False])
async def test_the_others_end_when_one_fails(first: bool) -> None:  # noqa: FBT001 - what the test is about
    ended: list[int] = []

    async def fails_later() -> int:
        await asyncio.sleep(0)
        return await refused(9)

    waiting = [for_ever(ended, 1), for_ever(ended, 2)]
    with pytest.raises(ExceptionGroup):
        await together(iter([fails_later(), *waiting] if first else [*waiting, fails_later()]))
    assert sorted(ended) == [1, 2]


async def test_all_end_when_the_caller_goes() -> None:
    ended: list[int] = []
    asked = asyncio.ensure_future(together(for_ever(ended, number) for number in range(3)))
    await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert sorted(ended) == [0, 1, 2]


async def test_a_time_limit_inside_one_ends_that_one() -> None:
    async def limited(number: int) -> int:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return number
        return -1

    assert await together(limited(number) for number in range(3)) == [0, 1, 2]
