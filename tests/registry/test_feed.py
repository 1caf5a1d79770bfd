"""The events of this process: in order, resumable, and never held up by a slow listener."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from app.registry.errors import CursorExpiredError
from app.registry.feed import EventFilter, Feed, place_of
from app.registry.manifest import entry_from
from app.registry.model import Artifact, Change, ChangeKind, Event, EventKind, ObjectState, Project

PROJECT = Project("search/ranker")
Following = Callable[..., AsyncGenerator[Event, None]]


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


async def take(stream: AsyncGenerator[Event, None], count: int) -> list[str]:
    return [(await anext(stream)).id for _ in range(count)]


async def test_a_subscriber_hears_what_comes_after_it_began() -> None:
    feed = Feed()
    feed.publish([event(1)])
    heard = asyncio.create_task(take(feed.follow(None, everything), 2))
    await asyncio.sleep(0)
    feed.publish([event(2), event(3)])
    assert await heard == ["2", "3"]


async def test_a_subscriber_goes_on_just_after_a_place() -> None:
    feed = Feed()
    feed.publish([event(number) for number in range(5)])
    assert await take(feed.follow(place_of(event(2)), everything), 2) == ["3", "4"]


async def test_a_place_that_came_twice_is_resumed_after_the_first_time() -> None:
    feed = Feed()
    feed.publish([event(1), event(2), event(1), event(3)])
    assert await take(feed.follow(place_of(event(1)), everything), 3) == ["2", "1", "3"]


@pytest.mark.parametrize("place", [place_of(event(0)), ("search/ranker", "dev", "0" * 40, 0)])
async def test_a_place_that_is_gone_or_never_was_has_expired(place: Any) -> None:
    feed = Feed(3)
    feed.publish([event(number) for number in range(5)])
    with pytest.raises(CursorExpiredError):
        await anext(feed.follow(place, everything))
    with pytest.raises(CursorExpiredError):
        feed.since(place)


async def test_a_slow_subscriber_is_cut_off_and_delays_nobody() -> None:
    feed = Feed(3)
    slow, fast = feed.follow(None, everything), feed.follow(None, everything)
    first = [asyncio.create_task(take(stream, 1)) for stream in (slow, fast)]
    await asyncio.sleep(0)
    feed.publish([event(0)])
    assert await asyncio.gather(*first) == [["0"], ["0"]]
    for number in range(1, 6):
        feed.publish([event(number)])
        assert await take(fast, 1) == [str(number)]
    with pytest.raises(CursorExpiredError, match="too slow"):
        await anext(slow)


async def test_more_events_than_are_kept_at_once_cut_off_even_the_fast() -> None:
    feed = Feed(3)
    waiting = asyncio.create_task(take(feed.follow(None, everything), 1))
    await asyncio.sleep(0)
    feed.publish([event(number) for number in range(4)])
    with pytest.raises(CursorExpiredError):
        await waiting


async def test_closing_ends_every_stream() -> None:
    feed = Feed()

    async def listen() -> list[str]:
        return [one.id async for one in feed.follow(None, everything)]

    listening = [asyncio.create_task(listen()) for _ in range(3)]
    await asyncio.sleep(0)
    feed.close()
    assert await asyncio.gather(*listening) == [[], [], []]


def test_the_events_since_a_place_are_those_that_are_kept() -> None:
    feed = Feed(3)
    feed.publish([event(number) for number in range(5)])
    assert [one.id for one in feed.since(None)] == ["2", "3", "4"]
    assert [one.id for one in feed.since(place_of(event(3)))] == ["4"]


MODEL = {"type": "model", "object": {"sha256": "ab" * 32, "size": 1}}
PENDING = {"type": "dataset", "object": {"sha256": "ab" * 32, "size": 1, "state": "pending"}}


@pytest.mark.parametrize(
    ("wanted", "told", "heard"),
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
def test_a_filter_lets_through_what_fits_all_of_it(wanted: dict[str, Any], told: Event, heard: bool) -> None:  # noqa: FBT001 - a column
    assert EventFilter(**wanted).test()(told) is heard
