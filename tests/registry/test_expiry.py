"""Who takes away what uploads left behind, when, and what the log hears of it."""

import asyncio
import logging

import pytest

from app.registry.expiry import EVERY_SECONDS, LEFT_SECONDS, Expiry
from app.registry.uploads import MULTIPART_SECONDS
from app.stores.cache.memory import MemoryCache
from app.stores.errors import ObjectsUnavailableError
from app.workers import expire as worker
from app.workers.expire import expire
from tests.support.post import NoCache


class Asked:
    """The one thing that is asked of a store here; it fails as long as it is told to."""

    def __init__(self) -> None:
        self.rounds: list[int] = []
        self.failing: str | None = None
        self.done = asyncio.Event()
        self.until = 0

    async def expire_uploads(self, seconds: int) -> int:
        self.rounds.append(seconds)
        if len(self.rounds) == self.until:
            self.done.set()
        if self.failing:
            raise ObjectsUnavailableError(self.failing)
        return 3


async def rounds(store: Asked, number: int, expiry: Expiry) -> None:
    """The worker, for that many rounds."""
    working = asyncio.create_task(expire(expiry))
    store.until = len(store.rounds) + number
    store.done.clear()
    await store.done.wait()
    working.cancel()


async def test_one_of_two_servers_does_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store, cache = Asked(), MemoryCache()
    one, two = Expiry(store, cache), Expiry(store, cache)  # type: ignore[arg-type]
    await one.step()
    await two.step()
    assert store.rounds == [LEFT_SECONDS]
    assert [record.getMessage().split()[0] for record in caplog.records] == ["3"]


async def test_another_server_takes_over_when_the_lease_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.registry.expiry.EVERY_SECONDS", 0.05)
    store, cache = Asked(), MemoryCache()
    await Expiry(store, cache).step()  # type: ignore[arg-type]
    await asyncio.sleep(0.06)
    await Expiry(store, cache).step()  # type: ignore[arg-type]
    assert len(store.rounds) == 2


def test_nothing_goes_while_its_ticket_is_good_or_it_may_still_be_proven() -> None:
    assert LEFT_SECONDS - MULTIPART_SECONDS >= 24 * 3600 > EVERY_SECONDS


async def test_it_begins_at_the_start_and_a_failure_is_told_once_until_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "EVERY_SECONDS", 0)
    store = Asked()
    expiry = Expiry(store, MemoryCache())  # type: ignore[arg-type]
    store.failing = "the store refuses list_multipart_uploads: NotImplemented"
    await rounds(store, 4, expiry)
    assert [record.getMessage() for record in caplog.records] == [
        f"what uploads left behind stays for now: {store.failing}"
    ]
    store.failing = None
    await rounds(store, 4, expiry)
    assert len(caplog.records) == 1


async def test_without_a_cache_it_waits(caplog: pytest.LogCaptureFixture) -> None:
    store = Asked()
    working = asyncio.create_task(expire(Expiry(store, NoCache())))  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    working.cancel()
    assert store.rounds == []
    assert len(caplog.records) == 1
