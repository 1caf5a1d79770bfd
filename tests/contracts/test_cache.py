"""What every cache does."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
import redis.asyncio

from app.stores.cache.redis import PREFIX, RedisCache
from app.stores.cache.valkey import PrivateValkey
from app.stores.ports import Cache


async def test_the_pointers_of_several_projects_come_in_the_order_they_were_asked_for(cache: Cache) -> None:
    await cache.move("a", await cache.ticket(), {"main": b"1", "gone": None})
    await cache.move("b", await cache.ticket(), {"main": b"2", "dev": b"3"})
    assert await cache.pointers_of(["b", "none", "a"]) == [{"main": b"2", "dev": b"3"}, {}, {"main": b"1"}]
    assert await cache.pointers_of([]) == []


async def test_an_empty_cache_knows_nothing(cache: Cache) -> None:
    assert await cache.pointers("p") == {}
    assert await cache.pointer("p", "main") is None
    assert await cache.derived(["a" * 40]) == {}


async def test_every_ticket_is_greater_than_those_before(cache: Cache) -> None:
    tickets = [await cache.ticket() for _ in range(100)]
    assert tickets == sorted(set(tickets))


async def test_tickets_taken_at_once_are_all_different(cache: Cache) -> None:
    tickets = await asyncio.gather(*(cache.ticket() for _ in range(100)))
    assert len(set(tickets)) == 100


async def test_a_pointer_is_read_as_it_was_stored(cache: Cache) -> None:
    await cache.move("p", await cache.ticket(), {"main": b"1=\0-\r\n\xff", "größe/x": b""})
    assert await cache.pointer("p", "main") == b"1=\0-\r\n\xff"
    assert await cache.pointers("p") == {"main": b"1=\0-\r\n\xff", "größe/x": b""}


async def test_a_later_ticket_replaces(cache: Cache) -> None:
    await cache.move("p", await cache.ticket(), {"main": b"old"})
    await cache.move("p", await cache.ticket(), {"main": b"new"})
    assert await cache.pointer("p", "main") == b"new"


async def test_an_earlier_ticket_changes_nothing(cache: Cache) -> None:
    earlier, later = await cache.ticket(), await cache.ticket()
    await cache.move("p", later, {"main": b"new"})
    await cache.move("p", earlier, {"main": b"old"})
    await cache.move("p", earlier, {"main": None})
    assert await cache.pointer("p", "main") == b"new"


async def test_the_same_ticket_may_store_again(cache: Cache) -> None:
    ticket = await cache.ticket()
    await cache.move("p", ticket, {"main": b"once"})
    await cache.move("p", ticket, {"main": b"twice"})
    assert await cache.pointer("p", "main") == b"twice"


async def test_fields_are_weighed_one_by_one(cache: Cache) -> None:
    earlier, later = await cache.ticket(), await cache.ticket()
    await cache.move("p", later, {"main": b"new"})
    await cache.move("p", earlier, {"main": b"old", "dev": b"old"})
    assert await cache.pointers("p") == {"main": b"new", "dev": b"old"}


async def test_a_pointer_moved_to_none_is_not_known(cache: Cache) -> None:
    await cache.move("p", await cache.ticket(), {"main": b"x", "dev": b"y"})
    await cache.move("p", await cache.ticket(), {"main": None})
    assert await cache.pointers("p") == {"dev": b"y"}
    assert await cache.pointer("p", "main") is None


async def test_an_earlier_ticket_does_not_bring_back_a_forgotten_pointer(cache: Cache) -> None:
    earlier, later = await cache.ticket(), await cache.ticket()
    await cache.move("p", later, {"main": None})
    await cache.move("p", earlier, {"main": b"ghost"})
    assert await cache.pointer("p", "main") is None


async def test_a_later_ticket_brings_a_forgotten_pointer_back(cache: Cache) -> None:
    await cache.move("p", await cache.ticket(), {"main": None})
    await cache.move("p", await cache.ticket(), {"main": b"again"})
    assert await cache.pointers("p") == {"main": b"again"}


async def test_pointers_move_where_the_cache_still_holds_what_one_knew(cache: Cache) -> None:
    await cache.move("p", await cache.ticket(), {"main": b"old=\0", "dev": b"1"})
    assert await cache.move("p", await cache.ticket(), {"main": b"new"}, {"main": b"old=\0"})
    assert await cache.pointer("p", "main") == b"new"


async def test_pointers_stay_where_somebody_else_moved_on(cache: Cache) -> None:
    await cache.move("p", await cache.ticket(), {"main": b"theirs", "gone": None})
    for held in ({"main": b"old"}, {"gone": b"old"}, {"never": b"old"}):
        assert not await cache.move("p", await cache.ticket(), {"main": b"mine", "dev": b"mine"}, held)
    assert await cache.pointers("p") == {"main": b"theirs"}


async def test_moving_nothing_is_allowed(cache: Cache) -> None:
    await cache.move("p", await cache.ticket(), {})
    assert await cache.pointers("p") == {}


async def test_many_pointers_move_at_once(cache: Cache) -> None:
    pointers = {f"branch-{number}": str(number).encode() for number in range(5000)}
    await cache.move("p", await cache.ticket(), pointers)
    assert await cache.pointers("p") == pointers


async def test_projects_are_kept_apart(cache: Cache) -> None:
    await cache.move("a", await cache.ticket(), {"b:main": b"1"})
    await cache.move("a/b", await cache.ticket(), {"main": b"2"})
    await cache.move("a", await cache.ticket(), {"b:main": None})
    assert await cache.pointers("a") == {}
    assert await cache.pointers("a/b") == {"main": b"2"}


async def test_what_is_derived_from_git_comes_back_by_name(cache: Cache) -> None:
    await cache.put_derived({"a" * 40: b"\0one", "b" * 40: b""})
    assert await cache.derived(["b" * 40, "c" * 40, "a" * 40, "a" * 40]) == {"a" * 40: b"\0one", "b" * 40: b""}


async def test_asking_for_no_names_gives_nothing(cache: Cache) -> None:
    await cache.put_derived({})
    assert await cache.derived([]) == {}


async def test_a_lease_is_held_by_whoever_asks_first_for_as_long_as_it_asks_in_time(cache: Cache) -> None:
    assert await cache.lease("publish", "one", 0.2)
    for _ in range(3):
        await asyncio.sleep(0.1)
        assert await cache.lease("publish", "one", 0.2)
        assert not await cache.lease("publish", "two", 0.2)
    await asyncio.sleep(0.3)
    assert await cache.lease("publish", "two", 0.2)
    assert not await cache.lease("publish", "one", 0.2)


async def test_leases_of_different_names_have_nothing_to_do_with_each_other(cache: Cache) -> None:
    assert await cache.lease("publish", "one", 60)
    assert await cache.lease("repack", "two", 60)


async def test_of_many_who_ask_at_once_one_gets_the_lease(cache: Cache) -> None:
    asked = await asyncio.gather(*(cache.lease("publish", str(holder), 60) for holder in range(50)))
    assert asked.count(True) == 1


async def heard(wakes: AsyncGenerator[None, None], seconds: float = 2) -> bool:
    """Whether a wake comes in time; the generator goes on only if one does."""
    try:
        await asyncio.wait_for(anext(wakes), seconds)
    except TimeoutError:
        return False
    return True


async def test_a_wake_is_heard_by_others_and_those_that_come_meanwhile_are_not_lost(cache: Cache, other: Cache) -> None:
    async with aclosing(other.wakes()) as wakes:
        assert await heard(wakes)
        for _ in range(3):
            await cache.wake()
            assert await heard(wakes)
        await cache.wake()
        await cache.wake()
        await asyncio.sleep(0.05)
        assert await heard(wakes)


async def test_without_a_wake_nothing_is_heard(cache: Cache) -> None:
    async with aclosing(cache.wakes()) as wakes:
        assert await heard(wakes)
        assert not await heard(wakes, 0.2)


async def test_everybody_hears_a_wake(cache: Cache, other: Cache) -> None:
    async with aclosing(other.wakes()) as one, aclosing(other.wakes()) as two:
        assert await heard(one)
        assert await heard(two)
        await cache.wake()
        assert await heard(one)
        assert await heard(two)


async def test_a_server_does_not_hear_itself(valkey: PrivateValkey) -> None:
    cache = RedisCache(valkey.url)
    async with aclosing(cache.wakes()) as wakes:
        assert await heard(wakes)
        await cache.wake()
        assert not await heard(wakes, 0.2)
    await cache.close()


async def test_a_listener_whose_connection_is_lost_listens_again_and_says_so(valkey: PrivateValkey) -> None:
    cache, other = RedisCache(valkey.url), RedisCache(valkey.url, pause=0.05)
    client = redis.asyncio.Redis.from_url(valkey.url)
    async with aclosing(other.wakes()) as wakes:
        assert await heard(wakes)
        await client.client_kill_filter(_type="pubsub")
        assert await heard(wakes)
        await cache.wake()
        assert await heard(wakes)
    for one in (client, cache, other):
        await (one.aclose() if one is client else one.close())


async def test_a_listener_to_a_cache_that_is_away_waits_and_does_not_spin(tmp_path: Path) -> None:
    valkey = PrivateValkey(tmp_path)
    cache = RedisCache(valkey.url, pause=0.2)
    async with aclosing(cache.wakes()) as wakes:
        waiting = asyncio.create_task(heard(wakes, 10))
        started = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - started < 0.2
        await valkey.start()
        assert await waiting
    await cache.close()
    await valkey.stop()


async def test_a_listener_that_hears_nothing_for_long_makes_sure_it_still_listens(
    valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.cache.redis.LISTEN_SECONDS", 0.1)
    cache = RedisCache(valkey.url)
    async with aclosing(cache.wakes()) as wakes:
        assert await heard(wakes)
        assert await heard(wakes)
    await cache.close()


async def test_a_call_given_up_does_not_confuse_the_next(cache: Cache) -> None:
    await cache.put_derived({"a" * 40: b"one"})
    for _ in range(50):
        call = asyncio.ensure_future(cache.derived(["a" * 40]))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await cache.pointer("p", "main") is None


async def test_more_callers_than_connections_all_get_their_answer(valkey: PrivateValkey) -> None:
    cache = RedisCache(valkey.url, timeout=10)
    await cache.put_derived({"a" * 40: b"one"})
    answers = await asyncio.gather(*(cache.derived(["a" * 40]) for _ in range(200)))
    assert all(answer == {"a" * 40: b"one"} for answer in answers)
    await cache.close()


async def test_a_lease_that_would_never_end_is_none(valkey: PrivateValkey) -> None:
    cache = RedisCache(valkey.url)
    client = redis.asyncio.Redis.from_url(valkey.url)
    await client.set(f"{PREFIX}lease:publish", b"\xff rubbish")
    assert await cache.lease("publish", "one", 5)
    await client.aclose()
    await cache.close()
