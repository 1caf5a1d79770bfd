"""A cache server that is gone, stopped, flushed, damaged or lying; and a registry that is killed beside its own."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import redis.asyncio

from app.stores.cache.redis import RedisCache
from app.stores.cache.valkey import PrivateValkey
from app.stores.errors import CacheUnavailableError

ROOT = Path(__file__).parents[2]


def server_pid(directory: Path) -> int:
    return int((directory / "valkey.pid").read_text())


def runs(pid: int) -> bool:
    """Whether there is such a process; the remains of one that nobody waited for are none."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


async def seconds_until(condition: Callable[[], Awaitable[bool]], limit: float = 10) -> float:
    started = time.monotonic()
    async with asyncio.timeout(limit):
        while not await condition():  # noqa: ASYNC110 - other processes set no events
            await asyncio.sleep(0.02)
    return time.monotonic() - started


async def refusal(call: Awaitable[object]) -> float:
    """Seconds until the call failed as it should."""
    started = time.monotonic()
    with pytest.raises(CacheUnavailableError):
        await call
    return time.monotonic() - started


async def test_a_closed_port_fails_every_method_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    cache = RedisCache(f"redis://127.0.0.1:{port}")
    for call in (
        cache.ticket(),
        cache.move("p", 1, {"main": b""}),
        cache.pointers("p"),
        cache.pointer("p", "main"),
        cache.derived(["a"]),
        cache.put_derived({"a": b""}),
    ):
        assert await refusal(call) < 0.2
    await cache.close()


async def test_no_socket_at_all_fails_at_once(tmp_path: Path) -> None:
    cache = RedisCache(f"unix://{tmp_path / 'nothing.sock'}")
    assert await refusal(cache.ticket()) < 0.2
    await cache.close()


async def test_a_stopped_server_costs_one_timeout_and_is_used_again_when_it_goes_on(
    valkey: PrivateValkey, cache: RedisCache
) -> None:
    await cache.put_derived({"a": b"one"})
    pid = server_pid(valkey.socket.parent)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert 0.25 < await refusal(cache.ticket()) < 0.6
        assert await refusal(cache.ticket()) < 0.02
        assert await refusal(cache.pointers("p")) < 0.02
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(0.35)
    assert await cache.derived(["a"]) == {"a": b"one"}


async def test_many_callers_of_a_stopped_server_wait_no_longer_than_one(
    valkey: PrivateValkey, cache: RedisCache
) -> None:
    pid = server_pid(valkey.socket.parent)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert max(await asyncio.gather(*(refusal(cache.ticket()) for _ in range(100)))) < 0.8
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_while_the_server_is_away_one_caller_at_a_time_asks_again(
    valkey: PrivateValkey, cache: RedisCache
) -> None:
    pid = server_pid(valkey.socket.parent)
    os.kill(pid, signal.SIGSTOP)
    try:
        await refusal(cache.ticket())
        await asyncio.sleep(0.35)
        waits = await asyncio.gather(*(refusal(cache.ticket()) for _ in range(20)))
        assert sum(wait > 0.2 for wait in waits) == 1
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b":many\r\n",
        b"$5\r\nab",
        b"+OK\r\n",
        b"*2\r\n:7\r\n:8\r\n",
        b"-OOM no\r\n",
        b"",
    ],
    ids=str,
)
async def test_an_answer_that_makes_no_sense_is_a_cache_that_is_not_there(answer: bytes) -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer and await reader.read(65536):
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(lie, "127.0.0.1", 0)
    cache = RedisCache(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.2, pause=0)
    await refusal(cache.derived(["a", "b"]))
    await refusal(cache.pointers("p"))
    await refusal(cache.pointer("p", "main"))
    await cache.close()
    server.close()
    await server.wait_closed()


async def test_a_server_that_was_started_anew_is_used_at_once(valkey: PrivateValkey, cache: RedisCache) -> None:
    await cache.put_derived({"a": b"one"})
    await valkey.stop()
    await valkey.start()
    assert await cache.derived(["a"]) == {}


async def test_a_private_server_that_dies_comes_back(valkey: PrivateValkey, cache: RedisCache) -> None:
    await asyncio.sleep(1.1)  # one that dies within its first second is not started again
    os.kill(server_pid(valkey.socket.parent), signal.SIGKILL)

    async def answers() -> bool:
        try:
            return await cache.ticket() > 0
        except CacheUnavailableError:
            return False

    await refusal(cache.ticket())
    assert await seconds_until(answers) < 3


async def test_a_private_server_has_no_port_and_a_private_socket(
    valkey: PrivateValkey, raw: redis.asyncio.Redis
) -> None:
    settings = await raw.config_get("*")
    assert settings["port"] == "0"
    assert (settings["save"], settings["appendonly"]) == ("", "no")
    assert (settings["maxmemory"], settings["maxmemory-policy"]) == (str(256 * 1024**2), "allkeys-lru")
    assert valkey.socket.stat().st_mode & 0o077 == 0


async def test_a_stopped_private_server_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    server = PrivateValkey(tmp_path)
    await server.start()
    pid = server_pid(tmp_path)
    await server.stop()
    await server.stop()
    assert not runs(pid)
    assert not server.socket.exists()


async def test_a_private_server_that_hangs_is_ended_all_the_same(tmp_path: Path) -> None:
    server = PrivateValkey(tmp_path)
    await server.start()
    pid = server_pid(tmp_path)
    os.kill(pid, signal.SIGSTOP)
    await server.stop()
    assert not runs(pid)


async def test_a_directory_too_deep_for_a_socket_gets_one_elsewhere(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100) / 'with "quotes" and spaces'
    server = PrivateValkey(directory)
    await server.start()
    cache = RedisCache(server.url)
    assert server.socket == PrivateValkey(directory).socket
    assert directory not in server.socket.parents
    assert server.socket.parent.stat().st_mode & 0o777 == 0o700
    assert await cache.ticket() > 0
    await cache.close()
    await server.stop()
    assert not server.socket.parent.exists()


async def test_a_temporary_folder_others_can_enter_is_not_used(tmp_path: Path) -> None:
    server = PrivateValkey(tmp_path / ("d" * 100))
    server.socket.parent.mkdir(mode=0o755)
    try:
        with pytest.raises(CacheUnavailableError, match="not ours alone"):
            await server.start()
    finally:
        server.socket.parent.rmdir()


async def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.stores.cache.valkey.server_binary", lambda: "/usr/bin/false")
    with pytest.raises(CacheUnavailableError, match=r"valkey\.log says why"):
        await PrivateValkey(tmp_path).start()


HOLDER = """
    import asyncio, sys, time
    from pathlib import Path
    from app.stores.cache.valkey import PrivateValkey

    server = PrivateValkey(Path(sys.argv[1]))
    asyncio.run(server.start())
    print(server._process.pid, flush=True)
    time.sleep(60)
"""


def holder(directory: Path) -> "subprocess.Popen[str]":
    """A process with a private server in `directory`; prints its supervisor's id when it runs."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(directory)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_a_killed_registry_takes_its_private_server_with_it(tmp_path: Path) -> None:
    with holder(tmp_path) as registry:
        assert registry.stdout
        supervisor = int(registry.stdout.readline())
        pid = server_pid(tmp_path)
        assert runs(pid)
        registry.kill()

    async def gone() -> bool:
        return not runs(pid) and not runs(supervisor)

    assert await seconds_until(gone) < 2


async def test_a_registry_starts_at_once_where_another_was_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as registry:
        assert registry.stdout
        registry.stdout.readline()
        before = server_pid(tmp_path)
        registry.kill()
    server = PrivateValkey(tmp_path)
    await server.start()
    cache = RedisCache(server.url)
    await asyncio.sleep(1)  # what was left of the first is gone by now, and took nothing of the second with it
    assert await cache.ticket() > 0
    assert not runs(before)
    assert server_pid(tmp_path) != before
    await cache.close()
    await server.stop()


@pytest.mark.parametrize("hanging", [False, True], ids=["running", "hanging"])
async def test_a_server_whose_supervisor_was_killed_too_is_ended_at_the_next_start(
    tmp_path: Path, *, hanging: bool
) -> None:
    with holder(tmp_path) as registry:
        assert registry.stdout
        supervisor = int(registry.stdout.readline())
        before = server_pid(tmp_path)
        os.kill(supervisor, signal.SIGKILL)
        registry.kill()
    assert runs(before)
    if hanging:
        os.kill(before, signal.SIGSTOP)
    server = PrivateValkey(tmp_path)
    await server.start()
    assert not runs(before)
    assert runs(server_pid(tmp_path))
    await server.stop()


async def test_a_pid_file_that_names_a_stranger_harms_nobody(tmp_path: Path) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "valkey.pid").write_text(f"{stranger.pid}\n")
    server = PrivateValkey(tmp_path)
    await server.start()
    await server.stop()
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()
