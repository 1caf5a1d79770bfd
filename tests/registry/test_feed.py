"""The events of this process: in order, resumable, and never held up by a slow listener."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest

from app.registry.errors import TooSlowError
from app.registry.feed import EventFilter, Feed, Told
from app.registry.manifest import entry_from
from app.registry.model import Artifact, Change, ChangeKind, Event, EventKind, ObjectState, Project

PROJECT = Project("search/ranker")


def event(number: int, **other: Any) -> Event:
    given: dict[str, Any] = {
        "id": str(number),
        "kind": EventKind.BRANCH_CREATED,
        "project": PROJECT,
        "branch": "main",
        "commit": f"{number:040}",
        "sequence": 0,
        "occurred_at": datetime.now(UTC),
        "actor": None,
    }
    return Event(**{**given, **other})


def changed(before: dict[str, Any] | None, after: dict[str, Any] | None) -> Event:
    sides = [
        Artifact(PROJECT, "0" * 40, entry_from("a/b", side)) if side is not None else None for side in (before, after)
    ]
    return event(1, kind=EventKind.ARTIFACT_MODIFIED, change=Change(ChangeKind.MODIFIED, "a/b", "0" * 40, *sides))


def everything(_: Event) -> bool:
    return True


def told(*numbers: int, record: str = "r") -> list[Told]:
    return [Told((record, 0, number), event(number)) for number in numbers]


async def take(stream: AsyncGenerator[Told, None], count: int) -> list[str]:
    return [(await anext(stream)).event.id for _ in range(count)]


async def test_a_subscriber_hears_what_comes_after_it_began() -> None:
    feed = Feed()
    feed.publish("a", told(1))
    heard = asyncio.create_task(take(feed.follow(feed.now, None, everything), 2))
    await asyncio.sleep(0)
    feed.publish("b", told(2, 3))
    assert await heard == ["2", "3"]


async def test_a_subscriber_goes_on_just_behind_an_event() -> None:
    feed = Feed()
    feed.publish("r", told(*range(5)))
    behind = feed.behind(("r", 0, 2))
    assert behind is not None
    assert await take(feed.follow(behind, ("r", 0, 2), everything), 2) == ["3", "4"]


async def test_a_subscriber_goes_on_behind_a_record_that_told_nothing() -> None:
    feed = Feed()
    feed.publish("a", told(1, record="a"))
    feed.publish("b", [])
    feed.publish("c", told(2, record="c"))
    end = feed.end("b")
    assert end is not None
    assert await take(feed.follow(end, None, everything), 1) == ["2"]


def test_what_the_buffer_does_not_hold_any_more_has_no_place_in_it() -> None:
    feed = Feed(3)
    for number in range(5):
        feed.publish(f"r{number}", told(number, record=f"r{number}"))
    assert [feed.behind((f"r{number}", 0, number)) for number in range(5)] == [None, None, 3, 4, 5]
    assert [feed.end(f"r{number}") for number in range(5)] == [None, 2, 3, 4, 5]
    assert (feed.behind(("never", 0, 0)), feed.end("never")) == (None, None)


def test_records_that_told_nothing_are_let_go_too() -> None:
    feed = Feed(3)
    for number in range(10):
        feed.publish(f"r{number}", [])
    assert [feed.end(f"r{number}") for number in range(10)] == [None] * 6 + [0] * 4
    assert feed.newest == "r9"


async def test_a_slow_subscriber_is_cut_off_and_delays_nobody() -> None:
    feed = Feed(3)
    slow, fast = feed.follow(feed.now, None, everything), feed.follow(feed.now, None, everything)
    first = [asyncio.create_task(take(stream, 1)) for stream in (slow, fast)]
    await asyncio.sleep(0)
    feed.publish("r", told(0))
    assert await asyncio.gather(*first) == [["0"], ["0"]]
    for number in range(1, 6):
        feed.publish("r", told(number))
        assert await take(fast, 1) == [str(number)]
    with pytest.raises(TooSlowError) as cut_off:
        await anext(slow)
    assert cut_off.value.place == ("r", 0, 0)


async def test_more_events_than_are_kept_at_once_cut_off_even_the_fast() -> None:
    feed = Feed(3)
    waiting = asyncio.create_task(take(feed.follow(feed.now, ("q", 0, 0), everything), 1))
    await asyncio.sleep(0)
    feed.publish("r", told(*range(4)))
    with pytest.raises(TooSlowError) as cut_off:
        await waiting
    assert cut_off.value.place == ("q", 0, 0)


async def test_closing_ends_every_stream() -> None:
    feed = Feed()

    async def listen() -> list[str]:
        return [one.event.id async for one in feed.follow(feed.now, None, everything)]

    listening = [asyncio.create_task(listen()) for _ in range(3)]
    await asyncio.sleep(0)
    feed.close()
    assert await asyncio.gather(*listening) == [[], [], []]


MODEL = {"type": "model", "object": {"sha256": "ab" * 32, "size": 1}}
PENDING = {"type": "dataset", "object": {"sha256": "ab" * 32, "size": 1, "state": "pending"}}


@pytest.mark.parametrize(
    ("wanted", "one", "heard"),
    [
        ({}, event(1), True),
        ({"project": "search/*"}, event(1), True),
        ({"project": "other"}, event(1), False),
        ({"branch": "ma?n"}, event(1), True),
        ({"branch": "dev"}, event(1), False),
        ({"kinds": [EventKind.BRANCH_CREATED]}, event(1), True),
        ({"kinds": []}, event(1), False),
        ({"artifact": "a/*"}, changed({}, {}), True),
        ({"artifact": "b"}, changed({}, {}), False),
        ({"artifact": "*"}, event(1), False),
        ({"types": ["model"]}, changed(None, MODEL), True),
        ({"types": ["dataset"]}, changed(PENDING, MODEL), True),
        ({"types": ["other"]}, changed(PENDING, MODEL), False),
        ({"types": ["model"]}, event(1), False),
        ({"object_states": [ObjectState.READY]}, changed(PENDING, MODEL), True),
        ({"object_states": [ObjectState.READY]}, changed(MODEL, PENDING), False),
        ({"object_states": [ObjectState.PENDING]}, changed(MODEL, PENDING), True),
        ({"object_states": [ObjectState.READY]}, changed(MODEL, None), False),
        ({"project": "search/*", "branch": "dev"}, event(1), False),
    ],
)
def test_a_filter_lets_through_what_fits_all_of_it(wanted: dict[str, Any], one: Event, heard: bool) -> None:  # noqa: FBT001 - a column
    assert EventFilter(**wanted).test()(one) is heard
