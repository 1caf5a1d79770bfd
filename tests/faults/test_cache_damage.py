"""A cache that lost what it held, holds something else, or is an older copy of itself."""

import pytest
import redis.asyncio

from app.stores.cache.redis import PREFIX, RedisCache
from app.stores.errors import CacheUnavailableError


async def test_a_flushed_server_answers_that_it_knows_nothing(cache: RedisCache, raw: redis.asyncio.Redis) -> None:
    await cache.move("p", await cache.ticket(), {"main": b"x"})
    await cache.put_derived({"a": b"one"})
    await raw.flushall()
    assert await cache.pointers("p") == {}
    assert await cache.pointer("p", "main") is None
    assert await cache.derived(["a"]) == {}


async def test_tickets_go_on_growing_over_a_flush(cache: RedisCache, raw: redis.asyncio.Redis) -> None:
    before = await cache.ticket()
    await raw.flushall()
    assert await cache.ticket() > before


async def test_a_ticket_from_before_a_flush_stores_nothing_stale(cache: RedisCache, raw: redis.asyncio.Redis) -> None:
    before = await cache.ticket()
    await raw.flushall()
    await cache.move("p", before, {"main": b"stale"})
    assert await cache.pointers("p") == {}
    after = await cache.ticket()
    await cache.move("p", before, {"main": b"stale"})
    assert await cache.pointers("p") == {}
    await cache.move("p", after, {"main": b"fresh"})
    assert await cache.pointers("p") == {"main": b"fresh"}


async def test_tickets_grow_while_the_clock_stands_still(cache: RedisCache, raw: redis.asyncio.Redis) -> None:
    ahead = await cache.ticket() + 10**9
    await raw.hset(f"{PREFIX}tickets", "last", str(ahead))
    assert [await cache.ticket(), await cache.ticket()] == [ahead + 1, ahead + 2]


async def test_traces_of_forgotten_pointers_go_after_an_hour(cache: RedisCache, raw: redis.asyncio.Redis) -> None:
    ticket = await cache.ticket()
    await raw.hset(f"{PREFIX}pointers:p", mapping={"old": f"{ticket - 3601 * 10**6}-", "kept": f"{ticket - 10**6}-"})
    await cache.move("p", ticket, {"main": None})
    assert await raw.hkeys(f"{PREFIX}pointers:p") == [b"kept", b"main"]


async def test_a_ticket_older_than_an_hour_stores_nothing(cache: RedisCache, raw: redis.asyncio.Redis) -> None:
    ticket = await cache.ticket()
    await raw.hset(f"{PREFIX}tickets", "first", "1")
    await cache.move("p", ticket - 3601 * 10**6, {"main": b"x"})
    assert await cache.pointers("p") == {}


@pytest.mark.parametrize("place", range(0, 40, 3))
async def test_a_flipped_bit_anywhere_in_a_pointer_is_noticed_or_harms_nothing(
    cache: RedisCache, raw: redis.asyncio.Redis, place: int
) -> None:
    await cache.move("p", await cache.ticket(), {"main": b"0123456789"})
    stored = await raw.hget(f"{PREFIX}pointers:p", "main")
    assert stored
    damaged = bytes([*stored[:place], stored[place] ^ 1, *stored[place + 1 :]])
    await raw.hset(f"{PREFIX}pointers:p", "main", damaged)
    assert (await cache.pointers("p")).get("main", b"") in (b"", b"0123456789")
    await cache.move("p", await cache.ticket(), {"main": b"repaired"})
    assert await cache.pointers("p") == {"main": b"repaired"}


async def test_a_ticket_that_nobody_was_handed_is_in_nobody_s_way(cache: RedisCache, raw: redis.asyncio.Redis) -> None:
    await raw.hset(f"{PREFIX}pointers:p", "main", "99999999999999999=rubbish")
    await raw.hset(f"{PREFIX}tickets", "last", "99999999999999999")
    first = await cache.ticket()
    assert first < await cache.ticket() < 99999999999999999
    await cache.move("p", await cache.ticket(), {"main": b"repaired"})
    assert await cache.pointers("p") == {"main": b"repaired"}


async def test_an_older_copy_of_the_cache_is_not_believed(cache: RedisCache, raw: redis.asyncio.Redis) -> None:
    await cache.move("p", await cache.ticket(), {"main": b"old"})
    begun = await cache.begun()
    copies = {key: await raw.dump(key) for key in await raw.keys("*")}
    await cache.move("p", ticket := await cache.ticket(), {"main": b"new"})
    assert await cache.begun() == begun
    for key, copy in copies.items():
        await raw.restore(key, 0, copy, replace=True)
    assert await cache.begun() > ticket
    assert await cache.pointer("p", "main") is None
    await cache.move("p", await cache.ticket(), {"main": b"new"})
    assert await cache.pointer("p", "main") == b"new"


async def test_a_damaged_pointer_is_refused_until_it_is_moved(cache: RedisCache, raw: redis.asyncio.Redis) -> None:
    await raw.hset(f"{PREFIX}pointers:p", "main", "damaged")
    with pytest.raises(CacheUnavailableError):
        await cache.pointer("p", "main")
    assert await cache.pointers("p") == {"main": b""}
    assert await cache.pointers("other") == {}
    await cache.move("p", await cache.ticket(), {"main": b"repaired"})
    assert await cache.pointers("p") == {"main": b"repaired"}


async def test_keys_of_another_type_are_refused_and_replaced(cache: RedisCache, raw: redis.asyncio.Redis) -> None:
    await raw.set(f"{PREFIX}pointers:p", "a string")
    await raw.set(f"{PREFIX}tickets", "a string")
    with pytest.raises(CacheUnavailableError):
        await cache.pointers("p")
    await cache.move("p", await cache.ticket(), {"main": b"repaired"})
    assert await cache.pointers("p") == {"main": b"repaired"}
