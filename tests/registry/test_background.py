"""Work that goes on when nobody waits for it any more."""

import asyncio
import gc

import pytest

from app.registry.background import Background


async def test_what_is_done_in_time_is_answered() -> None:
    assert await Background().wait(asyncio.sleep(0, "done"), 5) == "done"


async def test_what_is_raised_in_time_is_raised() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await Background().wait(fail(), 5)


async def test_what_takes_longer_goes_on_though_nobody_keeps_it_and_can_be_waited_for_at_the_end() -> None:
    background, done = Background(), []

    async def slow() -> None:
        await asyncio.sleep(0.05)
        done.append(1)

    assert await background.wait(slow(), 0.01) is None
    gc.collect()
    await background.finish(5)
    assert done == [1]


async def test_the_end_does_not_wait_for_ever() -> None:
    background = Background()
    endless = background.begin(asyncio.sleep(3600))
    await background.finish(0.01)
    assert not endless.done()
    endless.cancel()
