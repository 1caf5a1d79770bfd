"""The queue of a running server: what is sent to it, and what becomes of the server when it is away."""

import secrets
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Work, eventually, new_project
from tests.support.git import clone, push_file
from tests.support.queue import CREDENTIALS, Sqs, sqs
from tests.support.server import free_port, running, spawn, start

USAGE = 2
NAME = f"later-{secrets.token_hex(6)}.fifo"


@pytest.fixture
def queue() -> Iterator[Sqs]:
    with sqs() as endpoint:
        made = Sqs(endpoint)
        yield made
        made.client.close()


def environment(queue: Sqs, **more: str) -> dict[str, str]:
    return {**CREDENTIALS, "REGISTRY_QUEUE_URL": queue.url(), **more}


def test_what_the_api_and_git_do_arrives_soon_and_in_order(queue: Sqs, tmp_path: Path) -> None:
    with running(tmp_path / "var", "--no-demo", **environment(queue)) as server:
        work = new_project(server)
        for name in ("one", "two", "three"):
            work.put(name, type="m")
        push_file(clone(work.repository, tmp_path / "tree"), "artifacts.yml", b"one: {}\n")
        began = time.monotonic()
        heard: list[str | None] = []
        eventually(lambda: heard.extend(one["data"]["artifactName"] for one in queue.bodies()) or len(heard) == 7)
        assert time.monotonic() - began < 2.5  # git is looked at every second
        assert heard[:4] == [None, "one", "two", "three"]
        assert sorted(map(str, heard[4:])) == ["one", "three", "two"]


def test_a_restart_sends_what_the_last_run_did_not_and_nothing_twice(queue: Sqs, tmp_path: Path) -> None:
    with running(tmp_path / "var", "--no-demo") as server:
        work = new_project(server)
        work.put("before", type="m")
    sent: list[str | None] = []

    def heard() -> list[str | None]:
        sent.extend(one["data"]["artifactName"] for one in queue.bodies())
        return sent

    with running(tmp_path / "var", "--no-demo", **environment(queue)):
        eventually(lambda: len(heard()) == 2)
    with running(tmp_path / "var", "--no-demo", **environment(queue)) as server:
        Work(server, work.name).put("after", type="m")
        eventually(lambda: len(heard()) > 2)
    assert heard() == [None, "before", "after"]


def test_a_queue_that_is_away_stops_no_start_no_write_and_no_end_and_gets_all_once_it_is_there(tmp_path: Path) -> None:
    port = free_port()
    url = f"sqs://{NAME}?region=eu-west-1&endpoint=http://127.0.0.1:{port}"
    server = start(tmp_path / "var", "--no-demo", **CREDENTIALS, REGISTRY_QUEUE_URL=url)
    try:
        work = new_project(server)
        for number in range(20):
            work.put(f"model-{number}", type="m")
        eventually(lambda: "not published and wait in Git" in server.log.read_text(), 10)
        with sqs(port) as endpoint:
            queue = Sqs(endpoint, NAME)
            heard: list[str] = []
            eventually(
                lambda: heard.extend(str(one["data"]["artifactName"]) for one in queue.bodies()) or len(heard) == 21, 40
            )
            assert heard == ["None", *(f"model-{number}" for number in range(20))]
            queue.client.close()
        said = server.log.read_text()
        assert said.count("not published and wait in Git") == said.count("events are published again") == 1
        assert "Traceback" not in said
    finally:
        server.client.close()
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 3


def test_a_queue_that_never_answers_does_not_keep_the_server_from_ending(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"sqs://{NAME}?region=eu-west-1&endpoint=http://127.0.0.1:{silent.getsockname()[1]}"
        with running(tmp_path / "var", "--no-demo", **CREDENTIALS, REGISTRY_QUEUE_URL=url) as server:
            new_project(server).put("one", type="m")
            silent.accept()[0].close()
            silent.accept()[0].close()
            began = time.monotonic()
            assert server.stop(signal.SIGTERM) == 0
            assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqs://events", "REGISTRY_QUEUE_URL cannot be used: It names no FIFO queue"),
        ("amqp://events.fifo", "REGISTRY_QUEUE_URL cannot be used: It begins with sqs://"),
    ],
)
def test_a_queue_that_keeps_no_order_is_refused_at_the_start(tmp_path: Path, url: str, words: str) -> None:
    process, log = spawn(tmp_path / "var", port=0, REGISTRY_QUEUE_URL=url)
    assert process.wait(15) == USAGE
    assert log.read_text().startswith(words)
    assert len(log.read_text().splitlines()) == 1
