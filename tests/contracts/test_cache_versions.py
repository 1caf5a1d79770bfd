"""Whether pointers may have moved, as every cache tells without being asked."""

import asyncio
import threading
import time

import pytest
import redis.asyncio

from app.stores.cache import moves
from app.stores.cache.memory import MemoryCache
from app.stores.cache.redis import PREFIX, RedisCache
from app.stores.cache.valkey import PrivateValkey
from app.stores.ports import Cache
from tests.support.versions import NOTICED, known, noticed, settled


async def move(cache: Cache, project: str, value: bytes = b"x") -> None:
    assert await cache.move(project, await cache.ticket(), {"main": value})


async def test_a_version_is_known_soon_and_stays_while_nothing_moves(cache: Cache) -> None:
    await move(cache, "p")
    version = await settled(cache, "p")
    seen = []
    for _ in range(100):
        seen.append(cache.version("p"))
        await asyncio.sleep(0.005)
    assert set(seen) <= {version, None}  # the latter on a machine so busy that the loop stands still
    assert seen.count(version) > 50


async def test_a_version_is_another_one_when_a_move_returns(cache: Cache) -> None:
    seen = {await settled(cache, "p")}
    for number in range(20):
        await move(cache, "p", b"%d" % number)
        seen.add(await known(cache, "p"))
    assert len(seen) == 21


async def test_a_version_is_another_one_soon_after_somebody_else_moved(cache: Cache, other: Cache) -> None:
    before = await settled(other, "p")
    for number in range(5):
        await move(cache, "p", b"%d" % number)
        moved = time.monotonic()
        while (now := other.version("p")) in (before, None):
            assert now is None or time.monotonic() < moved + NOTICED
            await asyncio.sleep(0.001)
        before = await settled(other, "p")


async def test_a_pointer_that_was_forgotten_has_moved(cache: Cache, other: Cache) -> None:
    await move(cache, "p")
    before = await settled(other, "p")
    await cache.move("p", await cache.ticket(), {"main": None})
    assert await noticed(other, "p") != before


async def test_what_moves_in_one_project_is_nothing_to_another(cache: Cache, other: Cache) -> None:
    before = [await settled(one, "p") for one in (cache, other)]
    await move(cache, "p/q")
    await move(cache, "P")
    await asyncio.sleep(NOTICED)
    assert [await known(one, "p") for one in (cache, other)] == before


async def test_a_move_that_was_refused_is_none(cache: Cache, other: Cache) -> None:
    await move(cache, "p", b"theirs")
    before = [await settled(one, "p") for one in (cache, other)]
    assert not await cache.move("p", await cache.ticket(), {"main": b"mine"}, {"main": b"old"})
    await asyncio.sleep(NOTICED)
    assert [await known(one, "p") for one in (cache, other)] == before


async def test_who_remembers_by_the_version_is_never_further_behind_than_it_says(cache: Cache, other: Cache) -> None:
    """A reader as the registry is one: it asks for the pointer only when the version is another one."""
    written = [(0.0, 0)]
    done = time.monotonic() + 2

    async def write() -> None:
        number = 0
        while time.monotonic() < done:
            number += 1
            await move(cache, "p", b"%d" % number)
            written.append((time.monotonic(), number))
            await asyncio.sleep(number % 7 * 0.01)

    async def read() -> int:
        asked, remembered = 0, (None, 0)
        while time.monotonic() < done:
            version, now = other.version("p"), time.monotonic()
            if version is None or version != remembered[0]:
                asked += 1
                remembered = (version, int(await other.pointer("p", "main") or 0))
            assert remembered[1] >= max(number for at, number in written if at < now - NOTICED)
            await asyncio.sleep(0.001)
        return asked

    _, asked = await asyncio.gather(write(), read())
    assert asked < 3 * len(written)


async def test_a_memory_of_its_own_always_knows_the_version() -> None:
    assert MemoryCache().version("p") is not None


async def test_who_asks_first_after_a_while_is_not_told_and_asks_the_cache(
    valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "QUIET_SECONDS", 0.1)
    cache = RedisCache(valkey.url)
    assert cache.version("p") is None
    before = await settled(cache, "p")
    await asyncio.sleep(0.4)
    assert cache.version("p") is None
    assert await known(cache, "p") == before
    await cache.close()


async def test_nobody_is_asked_anything_while_nobody_asks(
    valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "QUIET_SECONDS", 0.1)
    cache, client = RedisCache(valkey.url), redis.asyncio.Redis.from_url(valkey.url)

    async def commands() -> dict[str, int]:
        await asyncio.sleep(0.3)
        stats = await client.info("commandstats")
        return {name: one["calls"] for name, one in stats.items() if not name.startswith("cmdstat_info")}

    never = await commands()
    assert await commands() == never
    await known(cache, "p")
    asked = await commands()
    assert asked["cmdstat_ping"] > never.get("cmdstat_ping", 0)
    assert await commands() == asked
    await cache.close()
    await client.aclose()


async def test_asking_for_the_version_takes_no_time(valkey: PrivateValkey) -> None:
    cache = RedisCache(valkey.url)
    await known(cache, "p")

    def microseconds() -> float:
        began = time.process_time()
        for _ in range(10_000):
            cache.version("p")
        return (time.process_time() - began) * 100

    assert min(microseconds() for _ in range(10)) < 1
    await cache.close()


async def test_a_closed_cache_leaves_no_thread(valkey: PrivateValkey) -> None:
    before = asyncio.all_tasks()
    for wait in (0.0, 0.001, 0.05):
        cache = RedisCache(valkey.url)
        cache.version("p")
        await asyncio.sleep(wait)
        await cache.close()
        assert asyncio.all_tasks() == before
        assert not [thread for thread in threading.enumerate() if thread.name == "moves"]


async def test_more_projects_than_are_kept_all_have_a_new_version(
    valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "PROJECTS", 3)
    cache = RedisCache(valkey.url)
    await known(cache, "p")
    seen = set()
    for number in range(10):
        await move(cache, "p" if number % 2 else f"p{number}")
        if number % 2:
            seen.add(await settled(cache, "p"))
    assert len(seen) == 5
    await cache.close()


async def test_a_loop_that_stands_still_misses_nothing(valkey: PrivateValkey) -> None:
    cache, client = RedisCache(valkey.url), redis.Redis.from_url(valkey.url)
    before = {project: await known(cache, project) for project in ("p", "q")}
    client.publish(f"{PREFIX}moved", "p")
    time.sleep(3 * NOTICED)  # noqa: ASYNC251 - the loop that stands still is the case
    assert cache.version("q") == before["q"]
    assert cache.version("p") not in (None, before["p"])
    client.close()
    await cache.close()


async def test_the_channel_names_the_project_and_nothing_else(valkey: PrivateValkey) -> None:
    cache, client = RedisCache(valkey.url), redis.asyncio.Redis.from_url(valkey.url)
    async with client.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(f"{PREFIX}moved")
        await channel.get_message(timeout=1)
        await move(cache, "größe/x")
        heard = await channel.get_message(timeout=1)
        assert heard
        assert heard["data"].decode() == "größe/x"
    await cache.close()
    await client.aclose()
