"""Who may write to a branch, and in which order."""

import asyncio

from tests.support.domain import Desk


async def test_a_guest_has_the_lane_to_itself(desk: Desk) -> None:
    async with desk.registry.lanes.held(desk.project, ["main"]):
        before = desk.head()
        writing = asyncio.create_task(desk.put("a", type="m"))
        await asyncio.sleep(0.05)
        assert desk.head() == before
    assert await writing == desk.head()


async def test_a_guest_waits_its_turn_among_those_who_write_and_they_for_it(desk: Desk) -> None:
    order: list[str] = []

    async def write(name: str) -> None:
        await desk.put(name, type="m")
        order.append(name)

    async def visit() -> None:
        async with desk.registry.lanes.held(desk.project, ["main"]):
            order.append("guest")

    first = asyncio.create_task(write("a"))
    while not desk.registry.lanes._lanes:  # noqa: ASYNC110, SLF001 - nothing else shows that it began
        await asyncio.sleep(0)
    guest = asyncio.create_task(visit())
    await asyncio.sleep(0)
    late = asyncio.create_task(write("b"))
    await asyncio.gather(first, guest, late)
    assert order == ["a", "guest", "b"]


async def test_guests_of_the_same_lanes_never_wait_for_each_other_for_ever(desk: Desk) -> None:
    async def visit(*branches: str) -> None:
        async with desk.registry.lanes.held(desk.project, branches):
            await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await asyncio.gather(*(visit("a", "b") if turn % 2 else visit("b", "a") for turn in range(20)))


async def test_the_lane_of_a_waiting_guest_is_not_given_up(desk: Desk) -> None:
    lanes = desk.registry.lanes
    async with lanes.held(desk.project, ["main"]):
        for number in range(40):
            async with lanes.held(desk.project, [f"b{number}"]):
                pass
        writing = asyncio.create_task(desk.put("a", type="m"))
        await asyncio.sleep(0.05)
        assert not writing.done()
    await writing
