"""Telling: whoever resumes, anywhere and at any time, hears exactly what comes behind its place."""

import asyncio

import pytest

from app.registry import telling
from app.registry.errors import CursorExpiredError
from app.registry.feed import Feed, Place, Told
from app.registry.journal import Journal, Record
from app.registry.model import Event
from app.registry.registry import Registry
from app.registry.telling import Derivation
from app.stores.errors import RepositoryBusyError
from tests.support.domain import Desk, force, graft


def everything(_: Event) -> bool:
    return True


async def past(desk: Desk) -> list[Told]:
    """All that happened to the project."""
    await desk.registry.lanes.finish()
    await desk.registry.telling.finish()
    return await desk.registry.telling.page(desk.project, None, 10_000)


async def rest(registry: Registry, after: Place | None, count: int) -> list[Told]:
    """The next events behind a place, as a subscriber hears them."""
    stream = registry.telling.follow(after, everything)
    found = [await anext(stream) for _ in range(count)]
    await stream.aclose()
    return found


@pytest.fixture
async def busy(desk: Desk) -> Desk:
    """A project with a past of every kind."""
    for number in range(4):
        await desk.put("a", x=number)
    await desk.rename("a", "b")
    desk.push("b: {x: 1}\nc: {y: 2}\n")
    desk.push("b: [\n")
    await desk.follow()
    await desk.registry.branching.create(desk.project, "next", "main~1")
    desk.push("d: {}\n")
    await desk.follow()
    force(desk.repository, "main", graft(desk.repository, [], {"artifacts.yml": "e: {}\n"}))
    await desk.follow()
    return desk


async def another(desk: Desk) -> Registry:
    """A server that starts on the same stores, when all this has happened."""
    made = Registry(desk.registry._stores, b"s" * 32, max_changes=100, max_size=2**40)  # noqa: SLF001 - a new process
    await made.follow()
    return made


async def test_a_subscriber_goes_on_behind_any_event_as_if_it_had_never_been_away(busy: Desk) -> None:
    told = await past(busy)
    assert len({one.event.id for one in told}) == len(told) > 10
    for number, one in enumerate(told[:-1]):
        assert await rest(busy.registry, one.place, len(told) - number - 1) == told[number + 1 :]


async def test_a_server_that_started_later_tells_the_same(busy: Desk) -> None:
    told = await past(busy)
    other = await another(busy)
    for number in range(0, len(told) - 1, 3):
        assert await rest(other, told[number].place, len(told) - number - 1) == told[number + 1 :]
    assert await other.telling.page(busy.project, None, 1000) == told
    await other.lineages.close()


async def test_who_reads_the_past_hears_what_comes_next_without_a_gap(busy: Desk) -> None:
    told = await past(busy)
    stream = busy.registry.telling.follow(told[0].place, everything)
    heard = [await anext(stream)]
    for number in range(3):
        await busy.put("new", x=number)
        heard.append(await anext(stream))
    while len(heard) < len(told) + 2:
        heard.append(await anext(stream))
    assert heard == (await past(busy))[1:]
    await stream.aclose()


async def test_while_nobody_listens_nothing_is_derived_and_who_comes_later_hears_of_it_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[Record] = []
    told = Derivation.told

    def counting(self: Derivation, record: Record, project: str | None = None) -> list[Told]:
        derived.append(record)
        return told(self, record, project)

    monkeypatch.setattr(Derivation, "told", counting)
    before = desk.registry.telling.now
    for number in range(3):
        desk.push(f"a: {{x: {number}}}\n")
        await desk.follow()
    assert derived == []
    late = desk.registry.telling.follow(before, everything)
    assert [(await anext(late)).event.kind.name for _ in range(3)] == ["ARTIFACT_ADDED", *["ARTIFACT_MODIFIED"] * 2]
    desk.push("{}\n")
    await desk.follow()
    assert (await anext(late)).event.kind.name == "ARTIFACT_REMOVED"
    await late.aclose()
    desk.push("b: {}\n")
    derived.clear()
    await desk.follow()
    assert derived == []


async def test_whoever_was_the_last_to_listen_and_comes_back_hears_what_nobody_listened_to(desk: Desk) -> None:
    listening = desk.registry.telling.follow(desk.registry.telling.now, everything)
    first = asyncio.create_task(anext(listening))
    await asyncio.sleep(0)
    desk.push("a: {}\n")
    await desk.follow()
    heard = await first
    await listening.aclose()
    for text in ("b: {}\n", "c: {}\n"):
        desk.push(text)
        await desk.follow()
    async with asyncio.timeout(5):
        missed = await rest(desk.registry, heard.place, 4)
    assert [one.event.change.name for one in missed if one.event.change] == ["a", "b", "b", "c"]
    async with asyncio.timeout(5):
        assert await rest(desk.registry, missed[1].place, 2) == missed[2:]


async def test_what_the_buffer_has_let_go_is_read_from_the_journal(desk: Desk) -> None:
    desk.registry.telling._feed = Feed(2)  # noqa: SLF001 - a very small one
    for number in range(6):
        await desk.put("a", x=number)
        await desk.registry.telling.finish()
    told = await past(desk)
    assert await rest(desk.registry, told[0].place, 6) == told[1:]


async def test_what_another_server_wrote_is_told_here_at_the_next_look(desk: Desk) -> None:
    await desk.put("a")
    other = await another(desk)
    told = await past(desk)
    await desk.put("b")
    await past(desk)
    stream = other.telling.follow(told[-1].place, everything)
    await other.follow()
    assert (await anext(stream)).event.change.name == "b"  # type: ignore[union-attr]
    await stream.aclose()
    await other.lineages.close()


async def test_an_acknowledged_change_is_told_of_also_when_it_was_forced_away_at_once(desk: Desk) -> None:
    await desk.put("a")
    force(desk.repository, "main", graft(desk.repository, [], {"artifacts.yml": "b: {}\n"}))
    await desk.follow()
    assert await desk.events() == ["ARTIFACT_ADDED a", "BRANCH_REWRITTEN", "ARTIFACT_REMOVED a", "ARTIFACT_ADDED b"]


async def test_writers_in_a_hurry_share_a_record_and_every_commit_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "PAUSE", 0.2)
    for number in range(20):
        await desk.put("a", x=number)
    told = (await past(desk))[1:]
    assert [one.event.commit for one in told] == desk.log()[::-1]
    assert len({one.place[0] for one in told}) < 10


@pytest.mark.parametrize("place", [("0" * 40, 0, 0), ("no id", 0, 0)])
async def test_a_place_of_another_registry_has_expired(desk: Desk, place: Place) -> None:
    with pytest.raises(CursorExpiredError):
        await rest(desk.registry, place, 1)


async def test_what_waits_to_be_told_stays_little_and_is_told_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> list[Record]:
        raise RepositoryBusyError("The catalogue is away.")

    before = len(await past(desk))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "record", away)
        for number in range(6):
            await desk.put("a", x=number)
            await desk.registry.telling.tell()
        assert len(desk.registry.telling._own) == 1  # noqa: SLF001 - what a server keeps meanwhile is the point
    await desk.registry.telling.tell()
    assert len(await past(desk)) - before == 6
