"""What a mutation is made on: the base it was decided on, and its idempotency key."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from app.registry import writing
from app.registry.artifacts import PendingPolicy
from app.registry.changes import RenameEntry
from app.registry.errors import (
    ConflictError,
    IdempotencyKeyReusedError,
    InvalidInputError,
    NotFoundError,
)
from app.registry.messages import Idempotency, with_trailers
from app.registry.registry import Registry
from app.stores.git.memory import MemoryRepository
from app.stores.ports import NewCommit, Signature
from tests.support.domain import ADA, Desk, force, graft, put

# ── baseCommit ───────────────────────────────────────────────────────────────────────────────


async def test_an_entry_changed_since_the_base_is_a_conflict_that_shows_what_moved(desk: Desk) -> None:
    base = await desk.put("a", x=1)
    head = await desk.put("a", x=2)
    with pytest.raises(ConflictError) as refused:
        await desk.commit(put("a", x=3), base=base)
    assert refused.value.head == head
    (moved,) = refused.value.changes
    assert moved.before
    assert moved.after
    assert (moved.before.entry.entry, moved.after.entry.entry) == ({"x": 1}, {"x": 2})
    assert desk.head() == head


async def test_changes_of_other_entries_never_stand_in_the_way(desk: Desk) -> None:
    base = await desk.put("a", x=1)
    await desk.put("b")
    assert (await desk.commit(put("a", x=2), base=base)).changed


async def test_a_change_within_the_same_turn_is_a_conflict_too(desk: Desk) -> None:
    base = await desk.put("a", x=1)
    await desk.put("other")
    first, second = await asyncio.gather(
        desk.commit(put("a", x=2), base=base), desk.commit(put("a", x=3), base=base), return_exceptions=True
    )
    assert not isinstance(first, BaseException)
    assert isinstance(second, ConflictError)
    assert second.head == first.commit
    assert second.changes[0].commit == first.commit


async def test_an_entry_that_was_added_since_the_base_is_a_conflict_for_who_adds_it(desk: Desk) -> None:
    base = await desk.put("a")
    await desk.put("b", x=1)
    with pytest.raises(ConflictError):
        await desk.commit(put("b", x=2), base=base)


async def test_the_new_name_of_a_rename_counts_as_changed(desk: Desk) -> None:
    base = await desk.put("a")
    await desk.put("b", x=1)
    await desk.delete("b")
    await desk.put("b", x=1)
    with pytest.raises(ConflictError):
        await desk.commit(RenameEntry("a", "b"), base=base)


async def test_an_entry_that_came_back_to_what_it_was_is_no_conflict(desk: Desk) -> None:
    base = await desk.put("a", x=1)
    await desk.put("a", x=2)
    await desk.put("a", x=1)
    assert (await desk.commit(put("a", x=3), base=base)).changed


async def test_a_base_nobody_knows_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        await desk.commit(put("a"), base="0" * 40)


async def test_a_base_that_is_no_full_id_is_invalid(desk: Desk) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await desk.commit(put("a"), base="main")
    assert refused.value.issues[0].path == ("baseCommit",)


# ── Idempotency ──────────────────────────────────────────────────────────────────────────────


async def test_the_same_key_and_input_answer_the_same_commit(desk: Desk) -> None:
    first = await desk.commit(put("a", x=1), key="k")
    await desk.put("a", x=2)
    again = await desk.commit(put("a", x=1), key="k")
    assert (again.commit, again.changed) == (first.commit, True)
    assert [one.entry.entry for one in again.artifacts] == [{"x": 1}]
    assert len(desk.log()) == 2


async def test_a_key_is_known_after_a_restart(desk: Desk) -> None:
    first = await desk.commit(put("a"), key="k")
    fresh = Registry(desk.registry._stores, b"s" * 32, max_changes=100, max_size=2**40)  # noqa: SLF001 - a new process
    await fresh.follow()
    again = await Desk(fresh, desk.project, desk.repository).commit(put("a"), key="k")
    await fresh.lanes.finish()
    assert again.commit == first.commit


@pytest.mark.parametrize("other", [{"message": "Other"}, {"pending": PendingPolicy.REFUSE}])
async def test_the_same_key_with_another_input_is_refused(desk: Desk, other: dict[str, Any]) -> None:
    await desk.commit(put("a"), key="k")
    with pytest.raises(IdempotencyKeyReusedError):
        await desk.commit(put("a"), key="k", **other)


async def test_the_same_key_twice_at_once_is_one_commit(desk: Desk) -> None:
    one, other = await asyncio.gather(desk.commit(put("a"), key="k"), desk.commit(put("a"), key="k"))
    assert one.commit == other.commit
    assert desk.log() == [one.commit]


async def test_one_key_for_two_inputs_at_once_writes_the_first_and_refuses_the_second(desk: Desk) -> None:
    one, other = await asyncio.gather(
        desk.commit(put("a"), key="k"), desk.commit(put("b"), key="k"), return_exceptions=True
    )
    assert not isinstance(one, BaseException)
    assert isinstance(other, IdempotencyKeyReusedError)
    assert list(await desk.entries()) == ["a"]


async def test_a_key_is_found_again_though_the_manifest_is_broken_now(desk: Desk) -> None:
    first = await desk.commit(put("a"), key="k")
    desk.push("a: [")
    await desk.follow()
    assert (await desk.commit(put("a"), key="k")).commit == first.commit


async def test_a_key_may_be_used_on_another_branch(desk: Desk) -> None:
    await desk.registry.branching.create(desk.project, "dev", "HEAD")
    one = await desk.commit(put("a"), key="k")
    other = await desk.commit(put("b"), key="k", branch="dev")
    assert one.commit != other.commit


async def test_a_key_of_commits_that_a_forced_push_took_away_is_free_again(desk: Desk) -> None:
    base = await desk.put("a", x=1)
    gone = await desk.commit(put("a", x=2), key="k")
    desk.repository.delete_branch("main", desk.head())
    desk.repository.create_branch("main", base)
    await desk.follow()
    again = await desk.commit(put("a", x=3), key="k")
    assert again.commit != gone.commit
    assert again.changed


async def test_a_key_is_found_again_behind_a_merge_whichever_parent_it_became(desk: Desk) -> None:
    base = await desk.put("a", x=1)
    first = await desk.commit(put("a", x=2), key="k")
    own = graft(desk.repository, [base], {"other.txt": "hers"}, 1)
    force(desk.repository, "main", graft(desk.repository, [own, first.commit], {"artifacts.yml": "a: {x: 3}\n"}, 2))
    await desk.follow()
    again = await desk.commit(put("a", x=2), key="k")
    assert again.commit == first.commit
    assert await desk.entries() == {"a": {"x": 3}}


def test_after_a_merge_only_what_was_not_read_before_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    repository, keys = MemoryRepository("main"), writing.Keys()
    heads = [graft(repository, [], {}, 0)]
    for at in range(1, 50):
        heads.append(graft(repository, heads[-1:], {}, at))
    nothing = Idempotency("k", "digest")
    assert keys.find(repository, heads[-1], nothing) is None
    side = graft(repository, [heads[20]], {}, 60)
    merge = graft(repository, [side, heads[-1]], {}, 61)
    read, commit = [], repository.commit
    monkeypatch.setattr(repository, "commit", lambda oid: (read.append(oid), commit(oid))[1])
    assert keys.find(repository, merge, nothing) is None
    assert read == [merge, side]


def test_no_more_keys_are_kept_than_commits_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "REMEMBERED", 5)
    repository, keys = MemoryRepository("main"), writing.Keys()
    who = Signature("Ada", "ada@example.org", datetime.now(UTC))
    head = None
    for number in range(20):
        used = Idempotency(f"k{number}", "digest")
        (head,) = repository.write_commits("main", head, [NewCommit({}, with_trailers("x", ADA, used), who, who)])
        assert keys.find(repository, head, used) == head
    assert head
    assert keys.find(repository, head, Idempotency("k15", "digest"))
    assert keys.find(repository, head, Idempotency("k14", "digest")) is None
    assert len(keys._found) == 5  # noqa: SLF001 - nothing else shows it
