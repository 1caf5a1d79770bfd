"""Faults put into the road of the events on purpose: each turns a named test red, so that test can fail."""

# ruff: noqa: SLF001 - faults are put where the parts are
import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import pytest

from app.registry import publishing
from app.registry.backlog import Backlog
from app.registry.catalogue import Catalogue
from app.registry.events import _Derivation
from app.registry.journal import BRANCH as JOURNAL
from app.registry.model import Project
from app.registry.publishing import BRANCH, Publisher
from app.registry.registry import Registry
from app.stores.git.memory import MemoryGit, MemoryRepository
from app.stores.ports import BATCH_MESSAGES, CommitRecord, Message, NewCommit
from tests.registry import test_backlog, test_envelope, test_events, test_journal, test_publishing
from tests.support.domain import ADA, Desk

Patch = pytest.MonkeyPatch


def position_moved_before_the_send(patch: Patch) -> None:
    whole = Publisher.step

    async def step(self: Publisher) -> bool:
        if newest := self._filled().newest:
            self._catalogue.move_branch(BRANCH, self._position, newest)
            self._position = newest
        return await whole(self)

    patch.setattr(Publisher, "step", step)


def two_of_a_group_in_a_batch(patch: Patch) -> None:
    def batch(self: Backlog) -> list[Message]:
        return [message for group in self._groups.values() for _, message in list(group)[:2]][:BATCH_MESSAGES]

    patch.setattr(Backlog, "batch", batch)


def refusals_ignored(patch: Patch) -> None:
    whole = Backlog.settle

    def settle(self: Backlog, batch: Sequence[Message], _: Collection[str]) -> None:
        whole(self, batch, {message.id for message in batch})

    patch.setattr(Backlog, "settle", settle)


def ids_at_random(patch: Patch) -> None:
    patch.setattr("app.registry.events.event_id", lambda *_: secrets.token_hex(32))


def another_body_each_time(patch: Patch) -> None:
    from app.registry.envelope import data_of  # noqa: PLC0415 - as it is before the fault

    patch.setattr("app.registry.envelope.data_of", lambda event: {**data_of(event), "sentBy": secrets.token_hex(4)})


def refused_messages_put_behind_their_group(patch: Patch) -> None:
    whole = Backlog.settle

    def settle(self: Backlog, batch: Sequence[Message], accepted: Collection[str]) -> None:
        whole(self, batch, accepted)
        for message in batch:
            if message.id not in accepted:
                self._groups[message.group].rotate(-1)

    patch.setattr(Backlog, "settle", settle)


def refused_groups_put_behind_the_others(patch: Patch) -> None:
    whole = Backlog.settle

    def settle(self: Backlog, batch: Sequence[Message], accepted: Collection[str]) -> None:
        whole(self, batch, accepted)
        for message in batch:
            if message.id not in accepted:
                self._groups[message.group] = self._groups.pop(message.group)

    patch.setattr(Backlog, "settle", settle)


def position_moved_past_what_was_refused(patch: Patch) -> None:
    patch.setattr(Backlog, "done", lambda self: self.newest)
    patch.setattr(publishing, "MOVE_SECONDS", 0)


def lease_believed_for_ever(patch: Patch) -> None:
    whole = Publisher._elected
    elected: set[int] = set()

    async def ask(self: Publisher) -> bool:
        if id(self) in elected or await whole(self):
            elected.add(id(self))
            return True
        return False

    patch.setattr(Publisher, "_elected", ask)


def position_moved_without_comparing(patch: Patch) -> None:
    whole = MemoryRepository.move_branch

    def move_branch(self: MemoryRepository, branch: str, _: str | None, oid: str) -> None:
        whole(self, branch, self.head(branch), oid)

    patch.setattr(MemoryRepository, "move_branch", move_branch)
    patch.setattr(publishing, "MOVE_SECONDS", 0)  # at every step there is something to compare


def commits_of_a_push_skipped(patch: Patch) -> None:
    whole = _Derivation._first_parents

    def first_parents(self: _Derivation, before: str, after: str) -> Sequence[tuple[str, CommitRecord]] | None:
        path = whole(self, before, after)
        return path and path[-1:]

    patch.setattr(_Derivation, "_first_parents", first_parents)


def journal_written_without_comparing(patch: Patch) -> None:
    whole = MemoryRepository.write_commits

    def write(self: MemoryRepository, branch: str, expected: str | None, commits: Sequence[NewCommit]) -> Any:
        return whole(self, branch, self.head(branch) if branch == JOURNAL else expected, commits)

    patch.setattr(MemoryRepository, "write_commits", write)


def projects_of_other_servers_passed_over(patch: Patch) -> None:
    patch.setattr(Catalogue, "look_up", Catalogue.get)


SEEDED: dict[Callable[[Patch], None], Callable[[Registry, Patch], Any]] = {
    position_moved_before_the_send: lambda registry, _: (
        test_publishing.test_the_position_is_moved_after_the_queue_accepted_and_not_before(registry)
    ),
    two_of_a_group_in_a_batch: lambda registry, _: (
        test_publishing.test_everything_that_is_told_is_sent_once_in_the_order_of_each_branch(registry)
    ),
    refusals_ignored: lambda registry, _: test_publishing.test_refusals_and_lost_answers_cost_repeats_and_no_order(
        registry, 1
    ),
    ids_at_random: lambda registry, _: at_desk(test_envelope.test_another_process_makes_the_same_bytes, registry),
    another_body_each_time: lambda registry, _: at_desk(
        test_envelope.test_another_process_makes_the_same_bytes, registry
    ),
    refused_messages_put_behind_their_group: lambda registry, _: (
        test_publishing.test_refusals_and_lost_answers_cost_repeats_and_no_order(registry, 1)
    ),
    refused_groups_put_behind_the_others: lambda *_: plain(
        test_backlog.test_what_was_refused_comes_first_in_the_next_batch
    ),
    position_moved_past_what_was_refused: lambda registry, _: (
        test_publishing.test_a_process_that_dies_at_any_moment_loses_nothing(registry, 1)
    ),
    lease_believed_for_ever: test_publishing.test_one_that_lost_the_lease_sends_nothing_more,
    position_moved_without_comparing: lambda registry, _: (
        test_publishing.test_one_that_fell_behind_another_does_not_move_the_position_back(registry)
    ),
    commits_of_a_push_skipped: lambda registry, _: at_desk(
        test_events.test_each_commit_gives_its_changes_by_name_oldest_first, registry
    ),
    journal_written_without_comparing: lambda *_: plain(
        lambda: test_journal.test_a_race_that_is_lost_records_nothing_twice_and_nothing_backwards(test_journal.Desk())
    ),
    projects_of_other_servers_passed_over: lambda registry, _: (
        test_publishing.test_a_project_that_another_server_just_made_is_not_passed_over(registry)
    ),
}


async def plain(test: Callable[[], None]) -> None:
    """A test that waits for nothing."""
    test()


async def at_desk(test: Callable[[Desk], Awaitable[None]], registry: Registry) -> None:
    """A test of the domain, with a project as those have it."""
    project = await registry.create_project(Project("search/ranker"), "main", ADA)
    git = registry._stores.git
    assert isinstance(git, MemoryGit)
    await test(Desk(registry, project, git.repository(project.name)))


@pytest.mark.parametrize(("fault", "test"), SEEDED.items(), ids=[fault.__name__ for fault in SEEDED])
async def test_a_seeded_fault_turns_a_named_test_red(
    registry: Registry, monkeypatch: Patch, fault: Callable[[Patch], None], test: Callable[[Registry, Patch], Any]
) -> None:
    fault(monkeypatch)
    async with asyncio.timeout(20):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await test(registry, monkeypatch)
