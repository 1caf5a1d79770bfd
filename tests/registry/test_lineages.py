"""Histories are read from Git once, by one reader a project, and by nobody who finds them known."""

import asyncio
import threading
from collections.abc import Collection, Container, Iterator
from typing import Any

import pytest

from app.registry import lineages
from app.registry.lineage import Reading
from app.registry.lineages import Lineages
from app.registry.stored_lineage import from_bytes
from app.stores.cache.memory import MemoryCache
from app.stores.errors import CacheUnavailableError, StoreError
from app.stores.git.memory import MemoryRepository
from app.stores.ports import Trace
from tests.support.domain import ADA, Desk


class Watched(MemoryRepository):
    """A repository that counts what is read of it, and reads on only while it is `open`."""

    traced: list[str]
    blobs: int
    open: threading.Event

    def trace(self, path: str, head: str, known: Container[str], tips: Collection[str]) -> Iterator[Trace]:
        for part in super().trace(path, head, known, tips):
            self.traced += part.oids
            while not self.open.wait(0.01):
                yield Trace((), (), (), {})
            yield part

    def blob(self, oid: str, limit: int) -> bytes:
        self.blobs += 1
        return super().blob(oid, limit)


@pytest.fixture
def watched(desk: Desk) -> Watched:
    repository = desk.repository
    repository.__class__ = Watched
    assert isinstance(repository, Watched)
    repository.traced, repository.blobs, repository.open = [], 0, threading.Event()
    repository.open.set()
    return repository


async def history(desk: Desk) -> list[str]:
    branch = await desk.branch()
    return [one.oid for one in await desk.registry.history.of_branch(branch, None, 100)]


async def changes(desk: Desk, name: str) -> list[str]:
    head = desk.head()
    return await desk.registry.lineages.ask(desk.project, head, lambda reading: list(reading.of_entry(head, name)))


async def test_a_commit_is_read_once(desk: Desk, watched: Watched) -> None:
    for number in range(3):
        await desk.put("a", x=number)
        assert await history(desk) == desk.log()
        assert await history(desk) == desk.log()
    assert len(watched.traced) == len(set(watched.traced)) == 4


async def test_those_who_ask_at_once_have_it_read_once(desk: Desk, watched: Watched) -> None:
    for number in range(5):
        await desk.put("a", x=number)
    answers = await asyncio.gather(*(history(desk) for _ in range(20)))
    assert answers == [desk.log()] * 20
    assert len(watched.traced) == 6


async def test_an_entry_s_history_that_is_known_reads_nothing(desk: Desk, watched: Watched) -> None:
    for number in range(5):
        await desk.put("a", x=number)
        await desk.put("b", x=number)
    first = await changes(desk, "a")
    watched.blobs = 0
    assert await changes(desk, "a") == first == desk.log()[1::2]
    assert await changes(desk, "b") == desk.log()[::2]
    assert watched.blobs == 0


async def test_nobody_else_waits_for_a_history_that_is_being_read(desk: Desk, watched: Watched) -> None:
    await desk.put("a", x=1)
    watched.open.clear()
    waiting = [asyncio.ensure_future(history(desk)) for _ in range(20)]
    await asyncio.sleep(0.05)
    assert await desk.entries() == {"a": {"x": 1}}
    assert await desk.put("b")
    assert not any(one.done() for one in waiting)
    watched.open.set()
    assert all(await asyncio.gather(*waiting))


async def test_whoever_leaves_does_not_let_another_reader_in_before_the_first_is_done(
    desk: Desk, watched: Watched
) -> None:
    await desk.put("a", x=1)
    watched.open.clear()
    left = asyncio.ensure_future(history(desk))
    await asyncio.sleep(0.05)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    oid = desk.push("b: {}\n", branch="other")
    head = desk.head()
    asked = [
        asyncio.ensure_future(
            desk.registry.lineages.ask(desk.project, one, lambda reading, one=one: [*reading.of_manifest(one)])
        )
        for one in (oid, head)
    ]
    await asyncio.sleep(0.05)
    assert len(watched.traced) == len(set(watched.traced)) == 2
    watched.open.set()
    other, main = await asyncio.gather(*asked)
    assert main == desk.log()
    assert other == [oid]
    assert len(watched.traced) == len(set(watched.traced))


async def test_a_server_that_stops_does_not_wait_for_a_history(desk: Desk, watched: Watched) -> None:
    await desk.put("a")
    watched.open.clear()
    waiting = asyncio.ensure_future(history(desk))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        await desk.registry.lineages.close()
    with pytest.raises(StoreError):
        await waiting


async def test_what_is_known_outlives_the_process_in_the_cache(
    desk: Desk, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineages, "WORTH_STORING", 1)
    for number in range(5):
        await desk.put("a", x=number)
    expected = await changes(desk, "a")
    fresh = beside(desk)
    await stored(desk)
    watched.traced.clear()
    watched.blobs = 0
    head = desk.head()
    assert await fresh.ask(desk.project, head, lambda reading: list(reading.of_entry(head, "a"))) == expected
    assert (watched.traced, watched.blobs) == ([], 0)
    await fresh.close()


async def stored(desk: Desk) -> bytes:
    """What the cache holds of the project's history, once it does."""
    cache = desk.registry._stores.cache  # noqa: SLF001 - what the server keeps there
    name = f"lineage:{desk.project.name}:artifacts.yml"
    async with asyncio.timeout(5):
        while not (held := await cache.derived([name])):  # noqa: ASYNC110 - the cache tells nobody
            await asyncio.sleep(0.01)
    return held[name]


def beside(desk: Desk) -> Lineages:
    """The lineages of another process."""
    stores, registry = desk.registry._stores, desk.registry  # noqa: SLF001 - what two processes share
    return Lineages(stores.git, stores.cache, registry.manifests, registry.offload)


@pytest.mark.parametrize("at", [0, 12, 60, 90, 200, -1])
async def test_damaged_bytes_of_a_history_are_not_believed(
    desk: Desk, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineages, "WORTH_STORING", 1)
    for number in range(5):
        await desk.put("a", x=number)
    await history(desk)
    data = bytearray(await stored(desk))
    data[at] ^= 1
    with pytest.raises(ValueError, match="not a stored history"):
        from_bytes(bytes(data))


async def test_a_cache_that_is_away_makes_no_difference(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> Any:
        raise CacheUnavailableError("away")

    monkeypatch.setattr(lineages, "WORTH_STORING", 1)
    monkeypatch.setattr(MemoryCache, "derived", away)
    monkeypatch.setattr(MemoryCache, "put_derived", away)
    await desk.put("a")
    assert await history(desk) == desk.log()


async def test_histories_beyond_what_memory_holds_are_let_go_and_read_again(
    desk: Desk, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineages, "MOST_FACTS", 1)
    await desk.put("a")
    await history(desk)
    other = await desk.registry.create_project(type(desk.project)("other"), "main", ADA)
    branch = await desk.registry.branches.default(other)
    assert branch
    await desk.registry.history.of_branch(branch, None, 10)
    watched.traced.clear()
    assert await history(desk) == desk.log()
    assert len(watched.traced) == 2


async def test_a_question_that_fails_is_not_asked_again(desk: Desk) -> None:
    await desk.put("a")
    asked = []

    def question(_: Reading) -> None:
        asked.append(1)
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await desk.registry.lineages.ask(desk.project, desk.head(), question)
    assert len(asked) == 2
