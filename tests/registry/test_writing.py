"""Mutations become commits: one each, and none lost, however many write."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.registry import lanes, writing
from app.registry.artifacts import WriteRequest
from app.registry.changes import DeleteEntry, RenameEntry
from app.registry.errors import (
    ConflictError,
    ContentionError,
    InvalidInputError,
    ManifestBrokenError,
    NotFoundError,
)
from app.registry.model import Commit, Project
from app.registry.registry import Registry
from app.stores.errors import RefMovedError, RepositoryBusyError, RepositoryCorruptError
from app.stores.git.memory import MemoryRepository
from app.stores.ports import CommitRecord, NewCommit
from tests.support.domain import ADA, GRACE, Desk, patch, put

# ── One mutation, one commit ─────────────────────────────────────────────────────────────────


async def test_a_mutation_is_one_commit_with_its_author_and_the_registry_as_committer(desk: Desk) -> None:
    done = await desk.commit(put("a"), author=GRACE)
    record = desk.repository.commit(done.commit)
    assert desk.log() == [done.commit]
    assert (record.author.name, record.author.email) == ("Grace", "grace@example.org")
    assert record.committer.name == "ML Registry"


async def test_nobody_looks_up_the_commit_that_was_just_made(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    done = await desk.commit(put("a"))
    record = desk.repository.commit(done.commit)
    monkeypatch.setattr(desk.repository, "commit", unreadable)
    assert await desk.registry.history.commit(desk.project, done.commit) == Commit(desk.project, record)


async def test_what_is_on_the_branch_is_acknowledged_even_if_it_cannot_be_read_at_that_moment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as damaged:
        damaged.setattr(desk.repository, "commit", unreadable)
        done = await desk.commit(put("a"))
    assert desk.head() == done.commit
    assert await desk.registry.history.commit(desk.project, done.commit)


def unreadable(oid: str) -> CommitRecord:
    raise RepositoryCorruptError(f"{oid} cannot be read")


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


async def test_a_restore_brings_back_the_words_also_when_the_values_are_the_same(desk: Desk) -> None:
    before = desk.push("a:\n  x: 1  # as it was\nb: {}\n")
    desk.push("a: {x: 1}\nb: {}\n")
    await desk.follow()
    assert (await desk.restore("a", before)).changed
    assert desk.text() == "a:\n  x: 1  # as it was\nb: {}\n"
    assert not (await desk.restore("a", before)).changed


async def test_a_restore_from_a_broken_commit_brings_back_the_last_good_entry(desk: Desk) -> None:
    desk.push("a:\n  x: 1  # as it was\n")
    broken = desk.push("a: [\n")
    desk.push("a: {x: 2}\n")
    await desk.follow()
    await desk.restore("a", broken)
    assert desk.text() == "a:\n  x: 1  # as it was\n"


async def test_a_restore_meets_the_same_conflicts_as_any_change(desk: Desk) -> None:
    before = await desk.put("a", x=1)
    await desk.put("a", x=2)
    request = WriteRequest(desk.project.name, None, None, before, None)
    with pytest.raises(ConflictError) as refused:
        await desk.registry.artifacts.restore(desk.project, request, "a", before, ADA)
    assert [one.name for one in refused.value.changes] == ["a"]


async def test_a_restore_of_a_deleted_entry_adds_it_again(desk: Desk) -> None:
    before = await desk.put("a", x=1)
    await desk.delete("a")
    await desk.restore("a", before)
    assert await desk.entries() == {"a": {"x": 1}}


async def test_a_restore_of_the_only_entry_brings_back_the_file_as_it_was(desk: Desk) -> None:
    text = "# ours\nartifacts:\n    - name: a  # as it was\n      x: '1'\n"
    before = desk.push(text)
    await desk.follow()
    await desk.delete("a")
    await desk.restore("a", before)
    assert desk.text() == text


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
async def test_a_branch_that_never_holds_still_ends_in_contention(
    desk: Desk, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "SECONDS", 0)

    def fail() -> None:
        raise error

    meddler = Meddler(desk.repository, fail, times=1000)
    with pytest.raises(ContentionError):
        await desk.commit(put("a"))
    assert meddler.seen == (writing.TRIES if isinstance(error, RefMovedError) else 1)
    assert desk.log() == []


async def test_a_branch_deleted_meanwhile_is_not_found(desk: Desk) -> None:
    await desk.registry.branching.create(desk.project, "dev", "HEAD")
    desk.repository.delete_branch("dev", desk.head("dev"))
    with pytest.raises(NotFoundError):
        await desk.commit(put("a"), branch="dev")


@pytest.mark.parametrize("error", [RepositoryCorruptError("another branch is damaged"), KeyError("nobody expected it")])
async def test_what_is_committed_is_answered_even_when_serving_it_fails(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(desk.registry.sync, "wrote", fail)
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
