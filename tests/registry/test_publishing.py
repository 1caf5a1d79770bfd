"""The publisher: everything arrives, in order, whatever the queue refuses and whoever dies or publishes too."""

import asyncio
import random

import pytest

from app.registry import backlog, publishing
from app.registry.publishing import BRANCH, LEASE, LONGEST_PAUSE, pause
from app.registry.registry import Registry
from app.stores.errors import QueueUnavailableError, RepositoryCorruptError
from app.stores.git.memory import MemoryRepository
from app.stores.ports import CommitRecord
from tests.support.domain import push
from tests.support.post import NoCache, Post, drain


async def test_everything_that_is_told_is_sent_once_in_the_order_of_each_branch(registry: Registry) -> None:
    post = await Post.of(registry)
    publisher, dice = post.publisher(), random.Random(1)  # noqa: S311 - the same moves every time
    for _ in range(40):
        await post.anything(dice)
        if dice.random() < 0.3:
            await drain(publisher)
    await drain(publisher)
    await post.everything_arrived()
    assert post.catalogue.head(BRANCH) == post.catalogue.head("journal")


async def test_all_that_the_journal_holds_is_sent_to_a_new_queue(registry: Registry) -> None:
    post = await Post.of(registry)
    await post.push("x: {n: 1}\n")
    await drain(post.publisher())
    await post.everything_arrived()


@pytest.mark.parametrize("seed", range(5))
async def test_refusals_and_lost_answers_cost_repeats_and_no_order(registry: Registry, seed: int) -> None:
    post = await Post.of(registry, moods=0.3, seed=seed)
    publisher, dice = post.publisher(), random.Random(seed)  # noqa: S311 - the same moves every time
    for _ in range(30):
        await post.anything(dice)
    await drain(publisher)
    await post.everything_arrived()


async def test_what_was_refused_is_sent_again_before_anything_else_of_its_branch(registry: Registry) -> None:
    post = await Post.of(registry)
    for number in range(3):
        await post.push(f"x: {{n: {number}}}\n")
    expected = [one for one in await post.told() if one.attributes["project"] == "a"]
    post.queue.away = True
    publisher = post.publisher()
    for _ in range(3):
        with pytest.raises(QueueUnavailableError):
            await publisher.step()
    post.queue.away = False
    await drain(publisher)
    asked = [batch for batch in post.queue.asked if expected[0].id in batch]
    assert len(asked) == 4
    await post.everything_arrived()


async def test_the_position_is_moved_after_the_queue_accepted_and_not_before(registry: Registry) -> None:
    post = await Post.of(registry)
    publisher = post.publisher()
    await drain(publisher)
    sent_before = len(post.queue.accepted)
    before = post.catalogue.head(BRANCH)
    await post.push("x: {n: 1}\n")
    seen = []
    post.queue.before_each = lambda: seen.append(post.catalogue.head(BRANCH))
    post.queue.away = True
    with pytest.raises(QueueUnavailableError):
        await publisher.step()
    post.queue.away = False
    await drain(publisher)
    assert seen == [before, before]
    assert len(post.queue.accepted) == sent_before + 1
    assert post.catalogue.head(BRANCH) == post.catalogue.head("journal") != before


@pytest.mark.parametrize("seed", range(5))
async def test_a_process_that_dies_at_any_moment_loses_nothing(registry: Registry, seed: int) -> None:
    post = await Post.of(registry, moods=0.2, seed=seed)
    dice = random.Random(seed)  # noqa: S311 - the same moves every time
    for _ in range(25):
        await post.anything(dice)
        publishing = asyncio.create_task(drain(post.publisher()))
        await asyncio.wait([publishing], timeout=dice.random() / 50)
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        post.cache.__init__()  # type: ignore[misc] # the lease ends with the process
    await drain(post.publisher())
    await post.everything_arrived()


@pytest.mark.parametrize("seed", range(5))
async def test_two_who_believe_they_are_elected_deliver_in_order_and_move_the_position_forward(
    registry: Registry, seed: int
) -> None:
    post = await Post.of(registry, moods=0.2, seed=seed)
    dice = random.Random(seed)  # noqa: S311 - the same moves every time
    positions = []
    post.queue.before_each = lambda: positions.append(post.position())
    both = [post.publisher(NoCache()) for _ in range(2)]
    for _ in range(25):
        await post.anything(dice)
        await asyncio.gather(*(drain(one) for one in both))
    await post.everything_arrived()
    assert positions == sorted(positions)
    assert len(post.queue.accepted) > len(await post.told()), "nothing was sent by both"


async def test_one_that_fell_behind_another_does_not_move_the_position_back(registry: Registry) -> None:
    post = await Post.of(registry)
    slow, fast = post.publisher(NoCache()), post.publisher(NoCache())
    await slow.step()
    for number in range(5):
        await post.push(f"x: {{n: {number}}}\n")
    await drain(fast)
    reached = post.position()
    positions = []
    post.queue.before_each = lambda: positions.append(post.position())
    await post.push("x: {n: 5}\n")
    await drain(slow)
    assert positions
    assert min(positions) >= reached
    await post.everything_arrived()


async def test_one_that_is_not_elected_sends_nothing_until_the_lease_ends(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "LEASE_SECONDS", 0.2)
    post = await Post.of(registry)
    assert await post.cache.lease(LEASE, "another", 0.2)
    publisher = post.publisher()
    assert not await publisher.step()
    assert post.queue.accepted == []
    await asyncio.sleep(0.3)
    await drain(publisher)
    await post.everything_arrived()


async def test_one_that_lost_the_lease_sends_nothing_more(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "LEASE_SECONDS", 0.05)
    post = await Post.of(registry)
    publisher = post.publisher()
    await publisher.step()
    await asyncio.sleep(0.1)
    assert await post.cache.lease(LEASE, "another", 60)
    await post.push("x: {n: 1}\n")
    sent = len(post.queue.accepted)
    assert not await publisher.step()
    assert len(post.queue.accepted) == sent


async def test_a_backlog_of_any_length_passes_through_a_bounded_memory(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "ENOUGH_RECORDS", 5)
    monkeypatch.setattr("app.registry.journal.EVERY", 7)
    post = await Post.of(registry)
    post.queue.away = True
    publisher = post.publisher()
    for number in range(60):
        await post.push(f"x: {{n: {number}}}\n")
        with pytest.raises(QueueUnavailableError):
            await publisher.step()
        assert publisher._backlog is not None  # noqa: SLF001 - what is in memory is the point
        assert len(publisher._backlog._waiting) <= 5  # noqa: SLF001
    post.queue.away = False
    await drain(publisher)
    await post.everything_arrived()


async def test_a_position_that_is_in_no_journal_begins_anew(registry: Registry) -> None:
    post = await Post.of(registry)
    post.catalogue.move_branch(BRANCH, None, post.catalogue.head("main") or "")
    await drain(post.publisher())
    await post.everything_arrived()
    assert post.catalogue.head(BRANCH) == post.catalogue.head("journal")


async def test_records_that_tell_nothing_are_passed(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "ENOUGH_RECORDS", 2)
    post = await Post.of(registry)
    publisher = post.publisher()
    for number in range(5):
        push(post.repository(), {"README": str(number).encode()})
        await registry.follow()
    await drain(publisher)
    await post.everything_arrived()
    assert post.catalogue.head(BRANCH) == post.catalogue.head("journal")


async def test_a_project_that_another_server_just_made_is_not_passed_over(registry: Registry) -> None:
    post = await Post.of(registry)
    publisher = post.publisher()
    registry.catalogue._projects = {}  # noqa: SLF001 - read before the projects were made
    registry.catalogue._head = None  # noqa: SLF001
    await drain(publisher)
    await post.everything_arrived()
    assert len(post.queue.accepted) == 2


async def test_what_cannot_be_read_is_waited_for_and_what_was_before_it_goes_out(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = await Post.of(registry)
    bad = await post.push("x: {n: 1}\n")
    publisher = post.publisher()

    def commit(self: MemoryRepository, oid: str) -> CommitRecord:
        if oid == bad:
            raise RepositoryCorruptError("garbled")
        return whole(self, oid)

    whole = MemoryRepository.commit
    with monkeypatch.context() as damage:
        damage.setattr(MemoryRepository, "commit", commit)
        await publisher.step()
        assert len(post.queue.accepted) == 2
        with pytest.raises(RepositoryCorruptError):
            await publisher.step()
    await drain(publisher)
    await post.everything_arrived()


def test_pauses_grow_to_half_a_minute_and_no_further() -> None:
    assert all(0.02 <= pause(1) <= 0.04 for _ in range(20))
    assert all(LONGEST_PAUSE / 2 <= pause(failures) <= LONGEST_PAUSE for failures in (11, 20, 100_000))
    assert len({pause(5) for _ in range(20)}) > 1
