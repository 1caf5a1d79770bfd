"""Servers that are stopped, killed, started twice, started wrongly, and left without their cache."""

import os
import shutil
import signal
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest
import redis

from app.stores.cache.valkey import PrivateValkey
from tests.support.api import Work, announce, document, eventually, new_project, send
from tests.support.git import git, push_file
from tests.support.listen import socket, stream
from tests.support.server import ROOT, Server, free_port, running, runs, spawn, start

pytestmark = pytest.mark.slow

USAGE = 2
GOING_AWAY = 1001


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of one test's own."""
    with running(tmp_path / "var", "--no-demo") as server:
        yield server


def cache_socket(server: Server) -> Path:
    """Where its private cache listens."""
    return PrivateValkey(server.data_dir / "cache").socket


def write_until(stopped: Event, work: Work, writer: int) -> list[str]:
    """Commits one after the other until the server is gone; answers those that were acknowledged."""
    acknowledged: list[str] = []
    while not stopped.is_set():
        try:
            acknowledged.append(work.put(f"writer-{writer}/{time.time_ns()}", type="m"))
        except httpx.TransportError:
            break
    return acknowledged


def in_git(work: Work) -> set[str]:
    """The ids of all commits of `main`."""
    return set(git("rev-list", "main", at=work.repository).split())


def slow_body(content: bytes, begun: Event, stopped: Event) -> Iterator[bytes]:
    """Half of the bytes, and nothing more until the test is over."""
    yield content[: len(content) // 2]
    begun.set()
    stopped.wait(20)
    yield content[len(content) // 2 :]


# ── Stopped ──────────────────────────────────────────────────────────────────────────────────


def test_a_server_asked_to_stop_in_the_middle_of_everything_keeps_what_it_acknowledged_and_ends_cleanly(
    server: Server,
) -> None:
    work = new_project(server)
    content = os.urandom(100_000)
    (upload,) = work.mutate("createUploads", project=work.name, objects=[announce(content)])["uploads"]
    (part,) = upload["parts"]
    headers = {header["name"]: header["value"] for header in part["headers"]}
    headers["content-length"] = str(len(content))
    begun, stopped = Event(), Event()

    def upload_slowly() -> str:
        try:
            body = slow_body(content, begun, stopped)
            return str(httpx.put(part["url"], headers=headers, content=body, trust_env=False, timeout=20).status_code)
        except httpx.TransportError:
            return "cut off"

    valkey = server.valkey()
    with ThreadPoolExecutor(6) as pool, socket(server) as listening, stream(server) as results:
        writing = [pool.submit(write_until, stopped, work, writer) for writer in range(4)]
        uploading = pool.submit(upload_slowly)
        assert begun.wait(5)
        listening.next()
        next(results)
        time.sleep(0.3)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10
        stopped.set()
        acknowledged = [oid for one in writing for oid in one.result()]
        assert uploading.result() in {"503", "cut off"}
        for _ in results:
            pass  # the stream was ended, not cut off
        for _ in listening.connection:
            pass  # so was the socket
        assert listening.connection.close_code == GOING_AWAY
    assert acknowledged
    assert set(acknowledged) <= in_git(work)
    assert not runs(valkey)
    assert not cache_socket(server).exists()
    assert "Traceback" not in server.log.read_text()
    left = [path for path in (server.data_dir / "objects").rglob("*") if path.is_file()]
    assert left == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_with_nothing_to_do_stops_within_two_seconds_with_status_0(tmp_path: Path, number: int) -> None:
    with running(tmp_path / "var") as server:
        began = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - began < 2
        assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_a_server_killed_amid_eight_writers_has_all_it_acknowledged_and_writes_on_at_once_round_after_round(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "var"
    name, acknowledged = "", set[str]()
    for round_ in range(4):
        server = start(data_dir, "--no-demo")
        work = Work(server, name) if name else new_project(server)
        name = work.name
        began = time.monotonic()
        acknowledged.add(work.put(f"round-{round_}", type="m"))
        assert time.monotonic() - began < 1, "a stale lock was waited for"
        stopped = Event()
        with ThreadPoolExecutor(8) as pool:
            writing = [pool.submit(write_until, stopped, work, writer) for writer in range(8)]
            time.sleep(0.5 + 0.17 * round_)
            valkey = server.valkey()
            server.stop(signal.SIGKILL)
            stopped.set()
            acknowledged |= {oid for one in writing for oid in one.result()}
        eventually(lambda pid=valkey: not runs(pid))  # type: ignore[misc]
        assert acknowledged <= in_git(work)
    with running(data_dir, "--no-demo") as server:
        work = Work(server, name)
        eventually(lambda: work.artifact("round-3"))
        assert git("fsck", "--strict", "--no-dangling", at=work.repository) == ""
        assert len(in_git(work)) >= len(acknowledged)


def test_deleting_the_cache_between_two_runs_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "var") as server:
        work = new_project(server)
        commit = work.put("kept", type="m", metadata={"a": [1, {"b": None}]})
        before = work.artifact("kept")
    shutil.rmtree(server.data_dir / "cache")
    with running(tmp_path / "var") as again:
        work = Work(again, work.name)
        assert work.artifact("kept") == before
        assert work.head() == commit
        assert Work(again, "demo").names() == ["classification-output", "topic-training-data"]


def test_a_stop_and_a_start_hand_out_links_that_work_across_them(tmp_path: Path) -> None:
    content = b"kept across"
    port = free_port()
    with running(tmp_path / "var", "--no-demo", port=port) as server:
        work = new_project(server)
        (upload,) = work.commit({"put": {"name": "model", "object": announce(content)}})["uploads"]
    with running(tmp_path / "var", "--no-demo", port=port) as server:
        assert send(upload, content).status_code == 200
        done = Work(server, work.name).mutate("completeUpload", upload=upload["id"])
        assert [one["name"] for one in done["artifacts"]] == ["model"]


# ── Without the cache ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_cache_that_is_gone_or_stands_still_costs_no_right_answer_and_no_write_and_heals(
    server: Server, number: int
) -> None:
    work = new_project(server)
    work.put("before", type="m")
    time.sleep(1)  # one that dies in its first second is taken for one that cannot live, and left alone
    valkey = server.valkey()
    os.kill(valkey, number)
    try:
        for turn in range(3):
            began = time.monotonic()
            work.put(f"during-{turn}", type="m")
            assert f"during-{turn}" in work.names()
            assert time.monotonic() - began < 3
        work.mutate("createBranch", project=work.name, name="next")
        assert work.names("next") == ["before", "during-0", "during-1", "during-2"]
    finally:
        if number == signal.SIGSTOP:
            os.kill(valkey, signal.SIGCONT)
    with redis.Redis(unix_socket_path=str(cache_socket(server)), socket_timeout=1) as client:

        def healed() -> bool:
            try:
                return any(work.name.encode() in key for key in client.keys("*"))
            except redis.RedisError:
                return False

        eventually(healed, 10)
    work.put("after", type="m")
    assert work.names() == ["after", "before", "during-0", "during-1", "during-2"]


def test_a_cache_that_lies_is_not_believed(server: Server) -> None:
    work = new_project(server)
    work.put("true", type="m")
    with redis.Redis(unix_socket_path=str(cache_socket(server))) as client:
        for key in client.keys("*"):
            kind = client.type(key)
            if kind == b"hash":
                for field in client.hkeys(key):
                    client.hset(key, field, b"99999999999999999=\xff\x00rubbish")
            else:
                client.set(key, b"\xff\x00rubbish")
    assert work.names() == ["true"]
    work.put("truer", type="m")
    assert work.names() == ["true", "truer"]


def test_a_redis_that_is_named_is_used_and_no_private_one_is_started(tmp_path: Path) -> None:
    port = free_port()
    binary = next(iter(sorted(Path(sys.prefix).rglob("valkey-server"))), None) or shutil.which("redis-server")
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as named:
        try:
            with redis.Redis(port=port) as client:
                eventually(lambda: answers(client))
                with running(tmp_path / "var", REGISTRY_REDIS_URL=f"redis://127.0.0.1:{port}") as server:
                    assert Work(server, "demo").names() == ["classification-output", "topic-training-data"]
                    assert any(b"demo" in key for key in client.keys("*"))
                    assert not (server.data_dir / "cache").exists()
                assert answers(client)
        finally:
            named.terminate()


def answers(client: redis.Redis) -> bool:
    """Whether the cache server is up."""
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_a_redis_that_is_not_there_keeps_nobody_from_reading_and_writing(tmp_path: Path) -> None:
    with running(tmp_path / "var", REGISTRY_REDIS_URL=f"redis://127.0.0.1:{free_port()}") as server:
        work = Work(server, "demo")
        work.put("written", type="m")
        assert work.names() == ["classification-output", "topic-training-data", "written"]


# ── Started wrongly ──────────────────────────────────────────────────────────────────────────


def said(data_dir: Path, *options: str, port: int = 0, **environment: str) -> tuple[int, str]:
    """The status and the words of a server that does not start."""
    process, log = spawn(data_dir, *options, port=port, **environment)
    try:
        status = process.wait(15)
    finally:
        process.kill()
    words = log.read_text()
    assert "Traceback" not in words, words
    return status, words.strip()


def test_a_second_server_on_the_same_data_is_refused_in_words(server: Server) -> None:
    status, words = said(server.data_dir)
    assert status == USAGE
    assert words.startswith(f"Another server runs on {server.data_dir}. Stop it, or choose another --data-dir.")
    assert runs(server.valkey())
    new_project(server)


def test_a_port_in_use_is_said_with_the_option_that_helps(tmp_path: Path) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, words = said(tmp_path / "var", port=port)
    assert status == USAGE
    assert words == f"Cannot listen on 127.0.0.1:{port}: Address already in use. Try another --port."
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"REGISTRY_REDIS_ULR": "x"}, "There is no setting REGISTRY_REDIS_ULR. Did you mean REGISTRY_REDIS_URL?"),
        ({"REGISTRY_PORTT": "1"}, "There is no setting REGISTRY_PORTT. Did you mean REGISTRY_PORT?"),
        ({"REGISTRY_SYNC_SECONDS": "soon"}, "sync_seconds: Input should be a valid number"),
        ({"REGISTRY_SYNC_SECONDS": "0"}, "sync_seconds: Input should be greater than 0"),
        ({"REGISTRY_REDIS_URL": "http://localhost"}, "REGISTRY_REDIS_URL cannot be used"),
        ({"REGISTRY_PUBLIC_URL": "registry.example.org"}, "public_url"),
        ({"REGISTRY_ACTOR_NAME": "A <b>\nc"}, "actor_name"),
        ({"REGISTRY_ACTOR_EMAIL": ""}, "actor_email"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, environment: dict[str, str], words: str) -> None:
    status, heard = said(tmp_path / "var", **environment)
    assert status == USAGE
    assert words in heard
    assert len(heard.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("REGISTRY_REDIS_URL", "redis://:hunter2/abc@127.0.0.1:6379/0"),
        ("REGISTRY_REDIS_URL", "redis://:[hunter2@127.0.0.1:6379/0"),
        ("REGISTRY_QUEUE_URL", "sqs://key:hunter2@events?region=x"),
        ("REGISTRY_QUEUE_URL", "sqs://key:[hunter2@events.fifo"),
        ("REGISTRY_QUEUE_URL", "sqs://events.fifo?hunter2"),
        ("REGISTRY_OBJECTS_URL", "s3://key:hun[ter2@bytes"),
        ("REGISTRY_OBJECTS_URL", "s3://bytes?hunter2"),
        ("REGISTRY_OBJECTS_URL", "s3://bytes?endpoint=http://key:[hunter2@127.0.0.1"),
        ("REGISTRY_CATALOG_URL", "https://ada:hunter2/abc@git.example.org/catalog.git"),
    ],
)
def test_a_secret_in_an_address_that_cannot_be_used_is_not_repeated(tmp_path: Path, name: str, url: str) -> None:
    status, heard = said(tmp_path / "var", REGISTRY_SECRET="s" * 32, **{name: url})
    assert status == USAGE
    assert f"{name} cannot be used" in heard
    assert "hun" not in heard


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "nothing.invalid"])  # noqa: S104 (that these are refused is the point)
def test_an_address_that_others_can_reach_is_refused_with_the_way_out(tmp_path: Path, host: str) -> None:
    status, words = said(tmp_path / "var", "--host", host)
    assert status == USAGE
    assert "REGISTRY_SIGN_IN=true" in words
    assert not (tmp_path / "var").exists()


def test_a_data_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    status, words = said(tmp_path / "file")
    assert status == USAGE
    assert words.startswith(f"{tmp_path / 'file'} cannot hold the data: File exists.")


def test_a_damaged_secret_is_said_with_what_to_do(tmp_path: Path) -> None:
    with running(tmp_path / "var"):
        pass
    (tmp_path / "var" / "secret").write_bytes(b"short")
    status, words = said(tmp_path / "var")
    assert status == USAGE
    assert "Restore it from a backup" in words


def test_a_catalogue_broken_by_hand_is_warned_of_and_the_last_good_one_is_served(tmp_path: Path) -> None:
    with running(tmp_path / "var") as server:
        catalogue = server.data_dir / "catalog.git"
    git("clone", "--quiet", catalogue, tmp_path / "tree")
    broken = (tmp_path / "tree" / "projects.yml").read_bytes() + b"broken: [\n"
    push_file(tmp_path / "tree", "projects.yml", broken)
    with running(tmp_path / "var") as server:
        assert "projects.yml, line" in server.log.read_text()
        assert Work(server, "demo").names() == ["classification-output", "topic-training-data"]
        refused = Work(server, "demo").server.post(document("createProject"), input={"name": "new"})
        assert "INTERNAL" not in refused.text
        assert git("show", "main:projects.yml", at=catalogue).encode() + b"\n" == broken


def test_the_command_line_works_outside_of_the_checkout(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli", "version"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip()


def test_the_schema_the_command_line_prints_is_the_one_in_the_checkout(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli", "schema"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "schema.graphql").read_text()
