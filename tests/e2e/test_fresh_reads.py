"""How soon what one server acknowledged is read at another: at once by who asks anew, within 100 ms by who does not."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.stores.cache.valkey import PrivateValkey
from tests.support.api import Work, eventually, new_project
from tests.support.elsewhere import Elsewhere
from tests.support.redis import Redis, stopped
from tests.support.server import running

pytestmark = pytest.mark.slow

STALE_SECONDS = 0.1
COMMITS = 20
QUERY = 'query($p: String!) { artifact(project: $p, name: "count") { metadata } }'
NO_CACHE = {"cache-control": "no-cache"}


class Reader:
    """One client of a project, which asks the same again and again; by GET it says which answer it has."""

    def __init__(self, work: Work, *, by_get: bool = False) -> None:
        self._work = work
        self._by_get = by_get
        self._tag = ""
        self._last = -1

    def read(self, **headers: str) -> int:
        """What is counted, as the server says now."""
        client, variables = self._work.server.client, {"p": self._work.name}
        if not self._by_get:
            return count(client.post("/graphql", json={"query": QUERY, "variables": variables}, headers=headers).json())
        asked = {"query": QUERY, "variables": f'{{"p":"{self._work.name}"}}'}
        answer = client.get("/graphql", params=asked, headers={"if-none-match": self._tag, **headers})
        if answer.status_code != 304:
            self._tag, self._last = answer.headers["etag"], count(answer.json())
        return self._last


def count(answer: dict[str, Any]) -> int:
    found = answer["data"]["artifact"]
    return found["metadata"]["count"] if found else -1


@pytest.fixture(params=["on one folder", "with a Git host elsewhere"])
def both(request: pytest.FixtureRequest, there: Elsewhere, valkey: PrivateValkey) -> Iterator[tuple[Work, Work]]:
    """One project as two servers serve it; they look at Git so seldom that they know of each other by the cache."""
    told = {"REGISTRY_REDIS_URL": valkey.url, "REGISTRY_SYNC_SECONDS": "60", "REGISTRY_REMOTE_SECONDS": "3600"}
    with ExitStack() as stack:
        if request.param == "on one folder":
            one, two = (stack.enter_context(running(there.folder / "var", "--no-demo", **told)) for _ in range(2))
            work = new_project(one)
        else:
            there.repository()
            one, two = there.replicas(stack, 2, **told)
            work = there.project(one)
        eventually(lambda: two.ask("query($p: String!) { project(name: $p) { name } }", p=work.name)["project"])
        yield work, Work(two, work.name)


@pytest.mark.parametrize("by_get", [False, True], ids=["POST", "GET"])
def test_a_commit_at_one_is_read_at_the_other_within_100_ms(both: tuple[Work, Work], by_get: bool) -> None:  # noqa: FBT001  a table
    writer, reader = both[0], Reader(both[1], by_get=by_get)
    for number in range(COMMITS):
        for _ in range(10):  # what is read often is remembered
            assert reader.read() == number - 1
        writer.put("count", metadata={"count": number})
        acknowledged = began = time.monotonic()
        while reader.read() != number:
            began = time.monotonic()
            assert began - acknowledged <= STALE_SECONDS


def test_who_asks_anew_reads_a_commit_at_the_other_at_once(both: tuple[Work, Work]) -> None:
    readers = [Reader(both[1]), Reader(both[1], by_get=True)]
    for number in range(COMMITS):
        for reader in readers * 3:
            reader.read()
        both[0].put("count", metadata={"count": number})
        assert [reader.read(**NO_CACHE) for reader in readers] == [number, number]


def test_what_a_server_acknowledged_it_serves_whatever_becomes_of_the_cache(tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    acknowledged, done = -1, threading.Event()

    def write(work: Work, numbers: range) -> None:
        nonlocal acknowledged
        for number in numbers:
            work.put("count", metadata={"count": number})
            acknowledged = number
            time.sleep(0.05)

    def watch(reader: Reader) -> int:
        reads = 0
        while not done.is_set():
            at_least = acknowledged
            assert reader.read() >= at_least
            reads += 1
        return reads

    try:
        with running(tmp_path / "var", "--no-demo", REGISTRY_REDIS_URL=redis.url) as server:
            work = new_project(server)
            with ThreadPoolExecutor(2) as pool:
                watching = [pool.submit(watch, Reader(work, by_get=by_get)) for by_get in (False, True)]
                try:
                    write(work, range(10))
                    with stopped(redis):
                        write(work, range(10, 16))
                    write(work, range(16, 26))
                finally:
                    done.set()
                assert all(one.result() > 20 for one in watching)
    finally:
        redis.stop()
