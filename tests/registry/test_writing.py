"""Mutations become commits: one each, none lost, none twice, and never over what a person wrote."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.registry import lanes, writing
from app.registry.artifacts import PendingPolicy
from app.registry.changes import DeleteEntry, RenameEntry
from app.registry.errors import (
    ConflictError,
    ContentionError,
    IdempotencyKeyReusedError,
    InvalidInputError,
    ManifestBrokenError,
    NotFoundError,
    RegistryError,
)
from app.registry.messages import Idempotency, with_trailers
from app.registry.model import Actor, Project
from app.registry.registry import Registry
from app.stores.errors import RefMovedError, RepositoryBusyError, RepositoryCorruptError
from app.stores.git.memory import MemoryRepository
from app.stores.ports import NewCommit, Signature
from tests.support.domain import ADA, GRACE, Desk, patch, put

# ── One mutation, one commit ─────────────────────────────────────────────────────────────────


async def test_a_mutation_is_one_commit_with_its_author_and_the_registry_as_committer(desk: Desk) -> None:
    done = await desk.commit(put("a"), author=GRACE)
    record = desk.repository.commit(done.commit)
    assert desk.log() == [done.commit]
    assert (record.author.name, record.author.email) == ("Grace", "grace@example.org")
    assert record.committer.name == "ML Registry"


async def test_the_trailers_name_who_really_did_it_and_the_key(desk: Desk) -> None:
    done = await desk.commit(put("a"), author=GRACE, key="k-1", message="Say so\n\nBecause.")
    lines = desk.repository.commit(done.commit).message.splitlines()
    assert lines[:3] == ["Say so", "", "Because."]
    assert lines[4:6] == ["Registry-Actor: Ada <ada@example.org>", "Registry-Idempotency-Key: k-1"]


async def test_several_changes_are_one_commit(desk: Desk) -> None:
    await desk.put("old", x=1)
    done = await desk.commit(put("a", x=1), patch("a", {"y": 2}), RenameEntry("old", "new"), put("b"), DeleteEntry("b"))
    assert desk.log()[0] == done.commit
    assert len(desk.log()) == 2
    assert await desk.entries() == {"new": {"x": 1}, "a": {"x": 1, "y": 2}}


async def test_a_put_replaces_the_whole_entry(desk: Desk) -> None:
    await desk.put("a", type="model", x=1)
    await desk.put("a", y=2)
    assert await desk.entries() == {"a": {"y": 2}}


async def test_a_patch_merges_and_null_removes(desk: Desk) -> None:
    await desk.put("a", type="model", x={"one": 1, "two": 2})
    await desk.commit(patch("a", {"type": None, "x": {"two": None, "three": 3}}))
    assert await desk.entries() == {"a": {"x": {"one": 1, "three": 3}}}


async def test_a_rename_keeps_the_entry_and_its_comments(desk: Desk) -> None:
    desk.push("a:\n  x: 1  # keep me\n")
    await desk.follow()
    await desk.rename("a", "b")
    assert desk.text() == "b:\n  x: 1  # keep me\n"


async def test_a_rename_to_a_name_that_is_taken_is_refused(desk: Desk) -> None:
    await desk.commit(put("a"), put("b"))
    with pytest.raises(InvalidInputError) as refused:
        await desk.rename("a", "b")
    assert refused.value.issues[0].path == ("changes", "0", "rename", "to")


async def test_a_delete_takes_the_entry_and_leaves_the_others_as_they_stand(desk: Desk) -> None:
    desk.push("# top\na:\n  x: 1\nb: {y: 2}   # mine\n")
    await desk.follow()
    await desk.delete("a")
    assert await desk.entries() == {"b": {"y": 2}}
    assert "b: {y: 2}   # mine\n" in desk.text()


async def test_a_restore_brings_back_the_very_text(desk: Desk) -> None:
    desk.push("a:\n  x: 1  # as it was\n")
    await desk.follow()
    before = desk.head()
    await desk.put("a", x=2)
    await desk.restore("a", before)
    assert desk.text() == "a:\n  x: 1  # as it was\n"


async def test_a_restore_of_a_deleted_entry_adds_it_again(desk: Desk) -> None:
    before = await desk.put("a", x=1)
    await desk.delete("a")
    await desk.restore("a", before)
    assert await desk.entries() == {"a": {"x": 1}}


@pytest.mark.parametrize("revision", ["nowhere", "0" * 40])
async def test_a_restore_from_what_is_no_commit_is_not_found(desk: Desk, revision: str) -> None:
    with pytest.raises(NotFoundError):
        await desk.restore("a", revision)


async def test_a_change_of_an_entry_that_is_not_there_is_not_found(desk: Desk) -> None:
    for change in (patch("a", {}), DeleteEntry("a"), RenameEntry("a", "b")):
        with pytest.raises(NotFoundError):
            await desk.commit(change)


async def test_the_answer_holds_the_artifacts_in_the_order_asked_for(desk: Desk) -> None:
    done = await desk.commit(put("b"), put("a"))
    assert [one.name for one in done.artifacts] == ["b", "a"]
    assert {one.commit for one in done.artifacts} == {done.commit}


async def test_a_write_is_served_as_soon_as_it_is_answered(desk: Desk) -> None:
    done = await desk.commit(put("a"))
    assert (await desk.branch()).head == done.commit == done.branch.head


@pytest.mark.parametrize("repeated", [put("a", x=1), patch("a", {"x": 1}), RenameEntry("a", "a")])
async def test_a_change_that_changes_nothing_answers_the_head_and_makes_no_commit(desk: Desk, repeated: Any) -> None:
    head = await desk.put("a", x=1)
    done = await desk.commit(repeated)
    assert (done.commit, done.changed) == (head, False)
    assert desk.log() == [head]


async def test_changes_that_undo_each_other_make_no_commit(desk: Desk) -> None:
    head = await desk.put("a", x=1)
    done = await desk.commit(RenameEntry("a", "b"), RenameEntry("b", "a"))
    assert (done.commit, done.changed) == (head, False)


# ── Many writers ─────────────────────────────────────────────────────────────────────────────


async def test_writers_of_different_entries_all_succeed_at_once(desk: Desk) -> None:
    done = await asyncio.gather(*(desk.commit(put(f"entry-{number}")) for number in range(40)))
    assert len({one.commit for one in done}) == 40
    assert len(desk.log()) == 40
    assert len(await desk.entries()) == 40


async def test_each_commit_of_a_shared_turn_holds_its_own_change(desk: Desk) -> None:
    done = await asyncio.gather(*(desk.commit(put(f"entry-{number}")) for number in range(10)))
    changes = [await desk.registry.history.changes(await commit_of(desk, one.commit)) for one in done]
    assert [[change.name for change in made] for made in changes] == [[f"entry-{number}"] for number in range(10)]


async def commit_of(desk: Desk, oid: str) -> Any:
    return await desk.registry.history.commit(desk.project, oid)


async def test_a_refused_change_does_not_harm_those_that_share_its_turn(desk: Desk) -> None:
    outcomes = await asyncio.gather(
        desk.commit(put("a")), desk.commit(DeleteEntry("gone")), desk.commit(put("b")), return_exceptions=True
    )
    assert isinstance(outcomes[1], NotFoundError)
    assert list(await desk.entries()) == ["a", "b"]


async def test_a_caller_who_goes_away_does_not_harm_the_others(desk: Desk) -> None:
    tasks = [asyncio.create_task(desk.commit(put(f"entry-{number}"))) for number in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert {"entry-0", "entry-2"} <= (await desk.entries()).keys()
    await desk.put("after")


async def test_the_same_change_by_two_at_once_is_one_commit(desk: Desk) -> None:
    one, other = await asyncio.gather(desk.commit(put("a", x=1)), desk.commit(put("a", x=1)))
    assert one.commit == other.commit
    assert (one.changed, other.changed) == (True, False)
    assert desk.log() == [one.commit]


async def test_a_queue_that_is_full_refuses_and_the_rest_is_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "WAITING", 8)
    waiting = [desk.commit(put(f"entry-{number}")) for number in range(30)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, ContentionError)]
    assert refused
    assert len(await desk.entries()) == 30 - len(refused)


def test_at_most_256_wait_for_a_branch() -> None:
    assert lanes.WAITING == 256


async def test_lanes_that_nobody_uses_are_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "IDLE_LANES", 2)
    for number in range(5):
        await desk.registry.branching.create(desk.project, f"b{number}", "HEAD")
        await desk.commit(put("a"), branch=f"b{number}")
    assert len(desk.registry.lanes._lanes) <= 3  # noqa: SLF001 - nothing else shows it


# ── Somebody else is faster ──────────────────────────────────────────────────────────────────


class Meddler:
    """Does something just before the registry moves the branch, a number of times."""

    def __init__(self, repository: MemoryRepository, act: Callable[[], object], times: int) -> None:
        self._write, self._act, self._times = repository.write_commits, act, times
        self._busy = False
        self.seen = 0
        repository.write_commits = self.write_commits  # type: ignore[method-assign]

    def write_commits(self, branch: str, expected: str | None, commits: Sequence[NewCommit]) -> tuple[str, ...]:
        if self.seen < self._times and not self._busy:
            self.seen += 1
            self._busy = True
            try:
                self._act()
            finally:
                self._busy = False
        return self._write(branch, expected, commits)


async def test_a_head_moved_by_somebody_else_is_built_upon(desk: Desk) -> None:
    meddler = Meddler(desk.repository, lambda: desk.push("theirs:\n  x: 1  # by hand\n"), times=1)
    done = await desk.commit(put("ours"))
    assert meddler.seen == 1
    assert list(await desk.entries()) == ["theirs", "ours"]
    assert "x: 1  # by hand" in desk.text()
    assert len(desk.log()) == 2
    assert desk.head() == done.commit


async def test_both_commits_of_a_race_are_told_in_order(desk: Desk) -> None:
    Meddler(desk.repository, lambda: desk.push("theirs: {x: 1}\n"), times=1)
    await desk.commit(put("ours"))
    assert await desk.events() == ["ARTIFACT_ADDED theirs", "ARTIFACT_ADDED ours"]


@pytest.mark.parametrize("error", [RefMovedError("moved"), RepositoryBusyError("held")])
async def test_a_branch_that_never_holds_still_ends_in_contention(desk: Desk, error: Exception) -> None:
    def fail() -> None:
        raise error

    meddler = Meddler(desk.repository, fail, times=1000)
    with pytest.raises(ContentionError):
        await desk.commit(put("a"))
    assert meddler.seen == writing.TRIES
    assert desk.log() == []


async def test_a_branch_deleted_meanwhile_is_not_found(desk: Desk) -> None:
    await desk.registry.branching.create(desk.project, "dev", "HEAD")
    desk.repository.delete_branch("dev", desk.head("dev"))
    with pytest.raises(NotFoundError):
        await desk.commit(put("a"), branch="dev")


@pytest.mark.parametrize("step", ["wrote", "tell"])
@pytest.mark.parametrize("error", [RepositoryCorruptError("another branch is damaged"), KeyError("nobody expected it")])
async def test_what_is_committed_is_answered_even_when_serving_it_fails(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    async def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(desk.registry.sync, step, fail)
        done = await asyncio.gather(*(desk.commit(put(f"entry-{number}")) for number in range(100)))
    assert desk.head() in {one.commit for one in done}
    await desk.follow()
    assert len(await desk.entries()) == 100


async def test_a_folder_where_the_manifest_should_be_is_refused_and_kept(registry: Registry, desk: Desk) -> None:
    desk.push("in the way", path="artifacts.yml/readme")
    await registry.sync.sync(desk.project)
    with pytest.raises(ManifestBrokenError):
        await desk.commit(put("a"))


async def test_a_file_where_the_manifest_s_folder_should_be_is_refused_and_kept(registry: Registry) -> None:
    project = await registry.create_project(Project("deep", manifest_path="ml/artifacts.yml"), "main", ADA)
    desk = Desk(registry, project, registry._stores.git.repository("deep"))  # type: ignore[arg-type] # noqa: SLF001
    desk.push("in the way", path="ml")
    with pytest.raises(ManifestBrokenError, match="ml"):
        await desk.commit(put("a"))


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


# ── What a person wrote ──────────────────────────────────────────────────────────────────────


async def test_a_broken_manifest_is_never_written_over(desk: Desk) -> None:
    await desk.put("a")
    head = desk.push("a: [\n")
    await desk.follow()
    with pytest.raises(ManifestBrokenError) as refused:
        await desk.commit(put("b"))
    assert refused.value.problems[0].line is not None
    assert (desk.head(), desk.text()) == (head, "a: [\n")


async def test_an_entry_shared_by_an_anchor_is_refused_by_name(desk: Desk) -> None:
    text = "a: &shared\n  x: 1\nb: *shared\n"
    desk.push(text)
    await desk.follow()
    with pytest.raises(InvalidInputError, match="'a'"):
        await desk.put("a", x=2)
    assert desk.text() == text


async def test_a_file_that_would_grow_beyond_a_mebibyte_is_refused(desk: Desk) -> None:
    filler = "".join(f"e{number}: {{x: {'y' * 1000}}}\n" for number in range(1020))
    desk.push(filler)
    await desk.follow()
    with pytest.raises(InvalidInputError, match="bytes"):
        await desk.put("more", x="y" * 20_000)
    assert desk.text() == filler


async def test_more_than_5000_entries_are_refused(desk: Desk) -> None:
    desk.push("".join(f"e{number}: {{}}\n" for number in range(5000)))
    await desk.follow()
    with pytest.raises(InvalidInputError, match="5000"):
        await desk.put("more")


async def test_an_entry_that_is_broken_can_be_put_whole(desk: Desk) -> None:
    desk.push("a: not a mapping\nb: {x: 1}\n")
    await desk.follow()
    await desk.put("a", x=2)
    assert await desk.entries() == {"a": {"x": 2}, "b": {"x": 1}}


# ── What is asked ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ([], ("changes",)),
        ([put("a")] * 101, ("changes",)),
        ([put("")], ("changes", "0", "put", "name")),
        ([patch("..", {})], ("changes", "0", "patch", "name")),
        ([patch("a", [])], ("changes", "0", "patch", "patch")),
        ([patch("a", {"object": {}})], ("changes", "0", "patch", "patch", "object")),
        ([RenameEntry("a", " b")], ("changes", "0", "rename", "to")),
        ([DeleteEntry("a\n")], ("changes", "0", "delete")),
        ([put("a"), put("b", x=float("nan"))], ("changes", "1", "put")),
    ],
)
async def test_a_rule_that_is_broken_is_named_by_its_place(
    desk: Desk, changes: list[Any], path: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await desk.commit(*changes)
    assert refused.value.issues[0].path == path


@pytest.mark.parametrize("key", ["dataObjectId", "type", "description", "labels", "object"])
async def test_metadata_cannot_stand_in_for_a_field(desk: Desk, key: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await desk.commit(replace(put("a"), metadata={key: "x"}))
    assert refused.value.issues[0].path == ("changes", "0", "put", "metadata", key)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"message": "  "}, "message"),
        ({"message": "x\nRegistry-Actor: Eve <eve@example.org>"}, "message"),
        ({"message": "a\x00b"}, "message"),
        ({"key": ""}, "idempotencyKey"),
        ({"key": "two\nlines"}, "idempotencyKey"),
        ({"author": Actor("<Eve>", "eve@example.org")}, "author"),
    ],
)
async def test_what_accompanies_a_change_is_checked_too(desk: Desk, given: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await desk.commit(put("a"), **given)
    assert refused.value.issues[0].path == (path,)


async def test_everything_wrong_is_said_at_once(desk: Desk) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await desk.commit(put(""), put("b"), put(".."), base="x", key="")
    assert len(refused.value.issues) == 4


async def test_a_label_given_twice_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidInputError):
        await desk.commit(put("a", labels=[("stage", "prod"), ("stage", "test")]))


async def test_labels_are_a_list_until_one_has_a_value(desk: Desk) -> None:
    await desk.commit(put("a", labels=[("x", None), ("y", None)]), put("b", labels=[("x", "1"), ("y", None)]))
    entries = await desk.entries()
    assert (entries["a"]["labels"], entries["b"]["labels"]) == (["x", "y"], {"x": "1", "y": None})


async def test_every_refusal_has_a_code_of_its_own() -> None:
    codes = [error.code for error in RegistryError.__subclasses__()]
    assert len(codes) == len(set(codes))
