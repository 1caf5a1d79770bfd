"""Two servers on one data directory: what is written through one is served and told by both, whatever dies."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from app.stores.cache.valkey import PrivateValkey
from tests.support.api import Work, announce, eventually, new_project
from tests.support.git import PERSON, clone, git, push_file
from tests.support.listen import socket, stream
from tests.support.server import Server, free_port, running, spawn, start

pytestmark = pytest.mark.slow

SOON = 1.0
"""Seconds within which the other server has heard."""
FOUND = """query($p: String!) { artifacts(first: 100, filter: {project: $p}) { nodes { name } } }"""
Edge = dict[str, Any]


@pytest.fixture
def servers(tmp_path: Path, valkey: PrivateValkey) -> Iterator[tuple[Server, Server]]:
    """Both look at Git so seldom that what they know of each other they know by waking each other."""
    options = {"REGISTRY_REDIS_URL": valkey.url, "REGISTRY_SYNC_SECONDS": "60"}
    with (
        running(tmp_path / "var", "--no-demo", **options) as one,
        running(tmp_path / "var", "--no-demo", **options) as two,
    ):
        yield one, two


def flush(valkey: PrivateValkey) -> None:
    """Empty the cache."""
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        client.flushall()


def ids(edges: list[Edge]) -> list[tuple[str, str]]:
    """What makes edges the same: cursor and id."""
    return [(edge["cursor"], edge["node"]["id"]) for edge in edges]


def test_a_commit_through_one_reaches_the_subscribers_of_both_within_a_second(
    servers: tuple[Server, Server],
) -> None:
    one, two = servers
    work = new_project(one)
    with socket(one) as here, socket(two) as there, stream(two) as streamed:
        for number in range(5):
            started = time.monotonic()
            work.put(f"entry-{number}", type="m")
            heard = here.next()
            assert there.next(SOON) == heard
            assert time.monotonic() - started < SOON
            assert next(streamed)["data"]["events"] == heard


def test_what_one_writes_the_other_serves_and_finds_at_once(servers: tuple[Server, Server]) -> None:
    one, two = servers
    work = new_project(one)
    there = Work(two, work.name)
    eventually(lambda: two.ask("query($p: String!) { project(name: $p) { name } }", p=work.name)["project"], SOON)
    for number in range(3):
        work.put(f"entry-{number}", type="m")
        assert f"entry-{number}" in there.names()
        eventually(
            lambda name=f"entry-{number}": (
                name in [found["name"] for found in two.ask(FOUND, p=work.name)["artifacts"]["nodes"]]
            ),
            SOON,
        )
    assert there.put("from-there", type="m")
    assert work.names()[-1] == "from-there"


def test_writers_through_both_lose_nothing_and_all_hear_the_same_in_the_same_order(
    servers: tuple[Server, Server],
) -> None:
    one, two = servers
    works = [new_project(one, f"work/{letter}") for letter in "ab"]
    eventually(lambda: two.ask("{ projects(first: 10) { totalCount } }")["projects"]["totalCount"] == 2, SOON)

    def write(server: Server, writer: str) -> None:
        for number in range(10):
            for work in works:
                Work(server, work.name).put(f"{writer}-{number}", type="m")

    with socket(one) as here, socket(two) as there:
        writers = [threading.Thread(target=write, args=(server, name)) for server, name in ((one, "x"), (two, "y"))]
        for writer in writers:
            writer.start()
        heard = [here.next() for _ in range(40)]
        assert ids([there.next() for _ in range(40)]) == ids(heard)
        for writer in writers:
            writer.join()
    for work in works:
        said = [edge["node"] for edge in heard if edge["node"]["projectName"] == work.name]
        assert sorted(node["artifactName"] for node in said) == sorted(f"{w}-{n}" for w in "xy" for n in range(10))


def test_whoever_loses_its_server_goes_on_at_the_other_without_a_gap_even_after_a_flush(
    tmp_path: Path, valkey: PrivateValkey
) -> None:
    options = {"REGISTRY_REDIS_URL": valkey.url}
    with ExitStack() as stack:
        two = stack.enter_context(running(tmp_path / "var", "--no-demo", **options))
        one = start(tmp_path / "var", "--no-demo", **options)
        work = new_project(two)
        there = stack.enter_context(socket(two))
        heard: list[Edge] = []
        with socket(one) as here:
            for number in range(5):
                work.put(f"before-{number}", type="m")
            heard += [here.next() for _ in range(3)]
            one.stop(signal.SIGKILL)
            one.client.close()
        flush(valkey)
        for number in range(5):
            work.put(f"after-{number}", type="m")
        push_file(clone(work.repository, tmp_path / "clone"), "artifacts.yml", b"pushed: {}\n")
        everything = [there.next() for _ in range(10 + 11)]
        with socket(two, after=heard[-1]["cursor"]) as here:
            heard += [here.next() for _ in range(len(everything) - len(heard))]
        assert ids(heard) == ids(everything)
        again = stack.enter_context(running(tmp_path / "var", "--no-demo", **options))
        with socket(again, after=everything[4]["cursor"]) as resumed:
            assert ids([resumed.next() for _ in everything[5:]]) == ids(everything[5:])
            work.put("last", type="m")
            assert ids([resumed.next()]) == ids([there.next()])


def test_without_the_cache_the_timer_still_brings_everything_to_both(tmp_path: Path) -> None:
    options = {"REGISTRY_REDIS_URL": f"redis://127.0.0.1:{free_port()}", "REGISTRY_SYNC_SECONDS": "0.2"}
    with (
        running(tmp_path / "var", "--no-demo", **options) as one,
        running(tmp_path / "var", "--no-demo", **options) as two,
        socket(two) as there,
    ):
        work = new_project(one)
        work.put("one", type="m")
        heard = [there.next(), there.next()]
        assert [edge["node"]["kind"] for edge in heard] == ["BRANCH_CREATED", "ARTIFACT_ADDED"]


def test_a_start_beside_a_running_server_takes_no_half_sent_upload_away(servers: tuple[Server, Server]) -> None:
    one, _ = servers
    content = os.urandom(3_000_000)
    work = new_project(one)
    (upload,) = work.mutate("createUploads", project=work.name, objects=[announce(content)])["uploads"]
    begun, started = threading.Event(), threading.Event()

    def halves() -> Iterator[bytes]:
        yield content[:2_000_000]
        begun.set()
        started.wait(20)
        yield content[2_000_000:]

    answers: list[int] = []
    (part,) = upload["parts"]
    given = {header["name"]: header["value"] for header in part["headers"]}
    given["content-length"] = str(len(content))
    sending = threading.Thread(
        target=lambda: answers.append(one.client.put(part["url"], headers=given, content=halves()).status_code)
    )
    sending.start()
    assert begun.wait(10)
    eventually(lambda: any((one.data_dir / "objects" / ".incoming").iterdir()))
    with running(one.data_dir, "--no-demo", REGISTRY_REDIS_URL=f"redis://127.0.0.1:{free_port()}"):
        started.set()
        sending.join(20)
    assert answers == [200]


def test_a_server_with_a_cache_of_its_own_lets_in_nobody_and_enters_nowhere(
    servers: tuple[Server, Server], tmp_path: Path
) -> None:
    process, log = spawn(servers[0].data_dir, "--no-demo", port=free_port())
    assert process.wait(20) == 2
    assert "when all have the same REGISTRY_REDIS_URL" in log.read_text()
    with running(tmp_path / "private", "--no-demo"):
        named = {"REGISTRY_REDIS_URL": f"redis://127.0.0.1:{free_port()}"}
        process, log = spawn(tmp_path / "private", "--no-demo", port=free_port(), **named)
        assert process.wait(20) == 2
        assert "Another server runs on" in log.read_text()


def test_pushes_through_one_and_writes_through_the_other_lose_nothing(
    servers: tuple[Server, Server], tmp_path: Path
) -> None:
    one, two = servers
    work = new_project(one)
    there = Work(two, work.name)
    tree = tmp_path / "tree"
    git("clone", "--quiet", f"{one.url}/git/{work.name}", tree)

    def write() -> None:
        for number in range(30):
            there.put(f"entry-{number}", type="m")

    writing = threading.Thread(target=write)
    writing.start()
    for number in range(10):
        (tree / f"file-{number}").write_text("x")
        git("add", "--all", at=tree)
        git("commit", "--quiet", "--message", "By hand", at=tree)
        while not pushed(tree):
            git("pull", "--quiet", "--rebase", at=tree)
    writing.join()
    assert len(work.names()) == 30
    assert git("rev-list", "--count", "main", at=work.repository) == "41"


def pushed(tree: Path) -> bool:
    """Whether a push was taken; if not, somebody else was first."""
    command = ["git", "-C", str(tree), "push", "--quiet", "origin", "HEAD:main"]
    done = subprocess.run(command, env={**os.environ, **PERSON}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "first" in done.stderr, done.stderr
    return done.returncode == 0
