"""Pointers that are looked up at once."""

import asyncio
import time
from collections.abc import Collection, Mapping

import pytest
import redis.asyncio

from app.stores.cache.batches import PATIENCE_SECONDS, Batches
from app.stores.cache.redis import PREFIX, RedisCache
from app.stores.cache.valkey import PrivateValkey
from app.stores.errors import CacheUnavailableError
from app.stores.ports import Cache


class Asked:
    """Somebody who answers each batch when it is let go, and remembers which there were."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.let_go = asyncio.Event()

    async def __call__(self, keys: Collection[int]) -> Mapping[int, int]:
        self.batches.append(list(keys))
        await self.let_go.wait()
        return {key: key * 10 for key in keys}


async def test_who_is_alone_waits_for_nobody() -> None:
    asked = Asked()
    asked.let_go.set()
    batches = Batches(asked)
    for number in range(5):
        assert await batches.get(number) == number * 10
    assert asked.batches == [[0], [1], [2], [3], [4]]


async def test_what_is_asked_meanwhile_goes_out_together_and_nothing_twice() -> None:
    asked = Asked()
    batches = Batches(asked)
    first = asyncio.create_task(batches.get(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asked.batches == [[1]]
    others = [asyncio.create_task(batches.get(key)) for key in (2, 3, 2, 1)]
    await asyncio.sleep(0)
    asked.let_go.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 20, 10]
    assert asked.batches == [[1], [2, 3, 1]]


async def test_a_batch_that_takes_long_holds_nobody_up() -> None:
    asked = Asked()
    batches = Batches(asked)
    waiting = []
    for key in range(3):
        waiting.append(asyncio.create_task(batches.get(key)))
        await asyncio.sleep(PATIENCE_SECONDS * 2)
        assert asked.batches[-1] == [key]
    asked.let_go.set()
    assert await asyncio.gather(*waiting) == [0, 10, 20]


async def test_whoever_gives_up_takes_nothing_from_the_others() -> None:
    asked = Asked()
    batches = Batches(asked)
    calls = [asyncio.create_task(batches.get(1)) for _ in range(3)]
    await asyncio.sleep(0.001)
    later = [asyncio.create_task(batches.get(2)) for _ in range(3)]
    await asyncio.sleep(0.001)
    for one in (calls[0], later[0]):
        one.cancel()
    asked.let_go.set()
    assert await asyncio.gather(*calls[1:], *later[1:]) == [10, 10, 20, 20]


async def test_everybody_who_asks_at_once_gets_what_was_asked_for(cache: Cache) -> None:
    for number in range(20):
        await cache.move(f"p{number % 5}", await cache.ticket(), {f"b{number}": b"%d" % number})
    asked = [(f"p{number % 5}", f"b{number}") for number in range(25)] * 8
    found = await asyncio.gather(*(cache.pointer(*one) for one in asked))
    assert found == [b"%d" % number if number < 20 else None for number in range(25)] * 8


async def test_a_pointer_is_read_after_it_was_asked_for(cache: Cache, other: Cache) -> None:
    async def bother() -> None:
        while True:
            await asyncio.gather(*(other.pointer("p", "main") for _ in range(5)))

    bothering = [asyncio.create_task(bother()) for _ in range(3)]
    for number in range(100):
        await cache.move("p", await cache.ticket(), {"main": b"%d" % number})
        assert await other.pointer("p", "main") == b"%d" % number
    for one in bothering:
        one.cancel()
    await asyncio.gather(*bothering, return_exceptions=True)


async def test_a_damaged_hash_is_the_trouble_of_those_who_ask_for_it(valkey: PrivateValkey) -> None:
    cache, client = RedisCache(valkey.url), redis.asyncio.Redis.from_url(valkey.url)
    await cache.move("p", await cache.ticket(), {"main": b"x"})
    await client.set(f"{PREFIX}pointers:list", "a string")
    await client.hset(f"{PREFIX}pointers:damaged", "main", "damaged")
    for _ in range(3):
        found = await asyncio.gather(
            *(cache.pointer(project, "main") for project in ("list", "p", "damaged", "p", "none", "list")),
            return_exceptions=True,
        )
        assert [type(one) for one in found] == [
            *(CacheUnavailableError, bytes, CacheUnavailableError, bytes, type(None), CacheUnavailableError)
        ]
    assert "refused" in str(found[0])
    await cache.close()
    await client.aclose()


async def test_calls_given_up_in_any_moment_confuse_nobody(valkey: PrivateValkey) -> None:
    cache = RedisCache(valkey.url)
    for number in range(10):
        await cache.move("p", await cache.ticket(), {f"b{number}": b"%d" % number})
    for steps in range(40):
        calls = [asyncio.create_task(cache.pointer("p", f"b{number % 10}")) for number in range(20)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert found[1::2] == [b"%d" % (number % 10) for number in range(1, 20, 2)]
    await cache.close()


async def test_many_lookups_of_a_server_that_does_not_answer_wait_no_longer_than_one() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    cache = RedisCache(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.2)

    async def refused(number: int) -> float:
        await asyncio.sleep(number * 0.005)
        began = time.monotonic()
        with pytest.raises(CacheUnavailableError):
            await cache.pointer("p", "main")
        return time.monotonic() - began

    assert max(await asyncio.gather(*(refused(number) for number in range(60)))) < 0.2 + PATIENCE_SECONDS + 0.2
    await cache.close()
    server.close()
    await server.wait_closed()
