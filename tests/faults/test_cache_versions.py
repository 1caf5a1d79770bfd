"""A version is not known, or another one, wherever a move may have been missed."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
import redis.asyncio

from app.stores.cache.redis import PREFIX, RedisCache
from app.stores.cache.valkey import PrivateValkey
from app.stores.errors import CacheUnavailableError
from tests.support.redis import Redis
from tests.support.versions import NOTICED, known, noticed, settled


@pytest.fixture
async def cache(valkey: PrivateValkey) -> AsyncIterator[RedisCache]:
    """One that is patient with a busy machine."""
    cache = RedisCache(valkey.url, timeout=2)
    yield cache
    await cache.close()


@pytest.fixture
async def other(valkey: PrivateValkey) -> AsyncIterator[RedisCache]:
    """The cache as another server has it."""
    other = RedisCache(valkey.url, pause=0.05)
    yield other
    await other.close()


@contextmanager
def stopped(valkey: PrivateValkey) -> Iterator[None]:
    pid = int((valkey.socket.parent / "valkey.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def move(cache: RedisCache) -> None:
    assert await cache.move("p", await cache.ticket(), {"main": b"x"})


async def unknown(cache: RedisCache) -> None:
    """For a little longer than a version may be believed, and then it is not known."""
    await asyncio.sleep(NOTICED)
    assert cache.version("p") is None


@pytest.mark.parametrize("seconds", [0.3, 1.5], ids=["for a moment", "for longer than a connection is believed in"])
async def test_nothing_is_known_of_a_stopped_server_and_everything_when_it_goes_on(
    valkey: PrivateValkey, cache: RedisCache, other: RedisCache, seconds: float
) -> None:
    await settled(other, "p")
    with stopped(valkey):
        await unknown(other)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert other.version("p") is None
            await asyncio.sleep(0.01)
    before = await known(other, "p")
    await asyncio.sleep(0.3)
    await move(cache)
    assert await noticed(other, "p") != before


async def test_what_moved_while_a_server_stood_still_is_not_missed(
    valkey: PrivateValkey, cache: RedisCache, other: RedisCache, raw: redis.asyncio.Redis
) -> None:
    before, ticket = await settled(other, "p"), await cache.ticket()
    with stopped(valkey):
        moving = asyncio.create_task(cache.move("p", ticket, {"main": b"x"}))
        await unknown(other)
    with suppress(CacheUnavailableError):  # it is done all the same, or nothing is: nobody waits that long for it
        await moving
    assert (await noticed(other, "p") != before) == (await raw.hexists(f"{PREFIX}pointers:p", "main"))


async def test_nothing_is_known_of_a_killed_server_and_all_is_new_when_it_is_back(
    valkey: PrivateValkey, other: RedisCache
) -> None:
    before = await settled(other, "p")
    await valkey.stop()
    await unknown(other)
    await valkey.start()
    assert await known(other, "p") != before


async def test_moves_are_noticed_after_a_flush(cache: RedisCache, other: RedisCache, raw: redis.asyncio.Redis) -> None:
    before = await settled(other, "p")
    await raw.flushall()
    await raw.script_flush()
    await move(cache)
    assert await noticed(other, "p") != before


async def test_a_move_under_a_ticket_from_before_a_flush_is_noticed_though_nothing_is_stored(
    cache: RedisCache, other: RedisCache, raw: redis.asyncio.Redis
) -> None:
    before, ticket = await settled(other, "p"), await cache.ticket()
    await raw.flushall()
    assert not await cache.move("p", ticket, {"main": b"x"})
    assert await noticed(other, "p") != before
    assert await other.pointer("p", "main") is None


async def test_what_moves_while_a_connection_is_lost_is_not_missed(
    cache: RedisCache, other: RedisCache, raw: redis.asyncio.Redis
) -> None:
    for _ in range(5):
        await move(cache)
        before = await settled(other, "p")
        await raw.client_kill_filter(_type="pubsub")
        await move(cache)
        assert await noticed(other, "p") != before


async def test_who_does_not_listen_fast_enough_and_is_cut_off_knows_that_it_missed_something(
    valkey: PrivateValkey, other: RedisCache, raw: redis.asyncio.Redis
) -> None:
    before = await settled(other, "p")
    await raw.config_set("client-output-buffer-limit", "pubsub 1000000 0 0")
    with redis.Redis.from_url(valkey.url) as shouting:
        shout = "for _ = 1, 600 do redis.call('PUBLISH', KEYS[1], ARGV[1]) end"
        shouting.eval(shout, 1, f"{PREFIX}moved", "elsewhere" * 500)  # in one step: nobody hears so fast
        shouting.publish(f"{PREFIX}moved", "p")
        assert shouting.info("stats")["client_output_buffer_limit_disconnections"] == 1
    assert await noticed(other, "p") != before


async def test_a_connection_that_is_dead_and_does_not_know_is_replaced(tmp_path: Path) -> None:
    server = Redis(tmp_path)
    cache, other = RedisCache(f"redis://127.0.0.1:{server.port}"), RedisCache(server.url, pause=0.05)
    before = await settled(other, "p")
    server.way.alive = False
    await unknown(other)
    await move(cache)
    await asyncio.sleep(1)
    assert other.version("p") is None
    server.way.alive = True
    assert await known(other, "p") != before
    for one in (cache, other):
        await one.close()
    server.stop()


@pytest.mark.parametrize(
    "answer", [b":7\r\n", b"+OK\r\n", b"-NO\r\n", b"*3\r\n$7\r\nmessage\r\n:1\r\n:1\r\n", b"$5\r\nab"], ids=str
)
async def test_a_server_that_answers_nonsense_makes_nothing_known(answer: bytes) -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(answer * data.count(b"*"))  # one for each command
        writer.close()

    server = await asyncio.start_server(lie, "127.0.0.1", 0)
    cache = RedisCache(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", pause=0.05)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        assert cache.version("p") is None
        await asyncio.sleep(0.01)
    await cache.close()
    server.close()
    await server.wait_closed()


async def test_who_was_told_what_no_program_expects_goes_on_listening(valkey: PrivateValkey) -> None:
    lies = 2

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lies
        lies -= 1
        if lies >= 0:
            writer.write(b"$99999999999999999999\r\n")
            writer.close()
            return
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(valkey.socket))
        await asyncio.gather(_pipe(reader, inner_writer), _pipe(inner_reader, writer))

    server = await asyncio.start_server(lie, "127.0.0.1", 0)
    cache = RedisCache(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", pause=0.05)
    await known(cache, "p")
    await cache.close()
    server.close()
    await server.wait_closed()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize("wait", [0.0, 0.05], ids=["while it is asked for the first time", "between two times"])
async def test_a_cache_that_is_away_can_be_closed(tmp_path: Path, wait: float) -> None:
    before = asyncio.all_tasks()
    cache = RedisCache(f"unix://{tmp_path / 'nothing.sock'}")
    cache.version("p")
    await asyncio.sleep(wait)
    await cache.close()
    assert asyncio.all_tasks() == before


async def test_a_cache_that_is_away_is_not_knocked_at_while_nobody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.cache.moves.QUIET_SECONDS", 0.1)
    valkey = PrivateValkey(tmp_path)
    cache = RedisCache(valkey.url, pause=0.01)
    cache.version("p")
    await asyncio.sleep(0.3)
    began = time.process_time()
    await asyncio.sleep(0.5)
    assert time.process_time() - began < 0.02
    await cache.close()
