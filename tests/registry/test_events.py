"""Events: a pure function of branches having moved."""

import random
from itertools import pairwise

import pytest

from app.registry.events import Move, derive
from app.registry.model import Event, EventKind
from tests.support.domain import Desk, force, graft

PATH = "artifacts.yml"


def told(desk: Desk, before: str | None, after: str | None, branch: str = "main") -> list[Event]:
    git = desk.registry._stores.git  # noqa: SLF001 - a derivation of one's own, as another process makes it
    return derive(git, desk.registry.manifests, Move(desk.project, branch, before, after))


def said(events: list[Event]) -> list[str]:
    return [f"{one.kind.value} {one.change.name}" if one.change else one.kind.value for one in events]


def line(desk: Desk, *texts: str | None) -> list[str]:
    """Commits one after the other with these manifests."""
    oids: list[str] = []
    for at, text in enumerate(texts):
        oids.append(graft(desk.repository, oids[-1:], {} if text is None else {PATH: text}, at))
    return oids


async def test_each_commit_gives_its_changes_by_name_oldest_first(desk: Desk) -> None:
    oids = line(desk, "x: {}\n", "x: {}\nb: {}\na: {}\n", "b: {y: 1}\na: {}\n")
    events = told(desk, oids[0], oids[2])
    assert said(events) == ["ARTIFACT_ADDED a", "ARTIFACT_ADDED b", "ARTIFACT_MODIFIED b", "ARTIFACT_REMOVED x"]
    assert [(one.commit, one.sequence) for one in events] == [(oids[1], 0), (oids[1], 1), (oids[2], 0), (oids[2], 1)]


async def test_an_event_carries_who_and_when_from_git(desk: Desk) -> None:
    before, after = line(desk, None, "a: {}\n")
    (event,) = told(desk, before, after)
    assert event.actor
    assert event.actor.name == "Grace"
    assert event.occurred_at == desk.repository.commit(after).committer.at


async def test_a_commit_that_changes_no_entry_gives_nothing(desk: Desk) -> None:
    before, after = line(desk, "a: {x: 1}\n", "# said again\na:\n  x: 1\n")
    assert told(desk, before, after) == []


async def test_no_move_gives_nothing(desk: Desk) -> None:
    (head,) = line(desk, "a: {}\n")
    assert told(desk, head, head) == []


async def test_a_merge_is_its_difference_from_its_first_parent(desk: Desk) -> None:
    (base,) = line(desk, "a: {x: 1}\n")
    ours = graft(desk.repository, [base], {PATH: "a: {x: 2}\n"}, 1)
    side = graft(desk.repository, [base], {PATH: "a: {x: 1}\nb: {x: 1}\n"}, 2)
    side = graft(desk.repository, [side], {PATH: "a: {x: 1}\nb: {x: 2}\n"}, 3)
    merge = graft(desk.repository, [ours, side], {PATH: "a: {x: 2}\nb: {x: 2}\n"}, 4)
    events = told(desk, ours, merge)
    assert [(text, one.commit) for text, one in zip(said(events), events, strict=True)] == [("ARTIFACT_ADDED b", merge)]


async def test_an_old_head_merged_into_new_work_is_no_rewriting(desk: Desk) -> None:
    (base,) = line(desk, "a: {x: 1}\n")
    head = graft(desk.repository, [base], {PATH: "a: {x: 2}\n"}, 1)
    work = graft(desk.repository, [base], {PATH: "a: {x: 1}\nb: {}\n"}, 2)
    merge = graft(desk.repository, [work, head], {PATH: "a: {x: 2}\nb: {}\n"}, 3)
    events = told(desk, head, merge)
    assert said(events) == ["ARTIFACT_ADDED b"]
    assert (events[0].commit, events[0].sequence) == (merge, 0)


async def test_a_broken_manifest_is_one_event_with_its_problems(desk: Desk) -> None:
    good, broken = line(desk, "a: {}\n", "a: [\n")
    (event,) = told(desk, good, broken)
    assert event.kind is EventKind.MANIFEST_BROKEN
    assert event.problems[0].line


async def test_a_manifest_broken_in_the_same_way_is_not_told_again(desk: Desk) -> None:
    good, broken, other = line(desk, "a: {}\n", "a: [\n", "a: [\n")
    assert said(told(desk, good, broken)) == ["MANIFEST_BROKEN"]
    assert said(told(desk, broken, other)) == []


async def test_a_manifest_broken_in_another_way_is_told(desk: Desk) -> None:
    _, broken, other = line(desk, "a: {}\n", "a: [\n", "a: {\n")
    assert said(told(desk, broken, other)) == ["MANIFEST_BROKEN"]


async def test_a_repair_is_told_with_the_difference_from_the_last_good_one(desk: Desk) -> None:
    _, broken, repaired = line(desk, "a: {x: 1}\n", "a: [\n", "a: {x: 2}\nb: {}\n")
    events = told(desk, broken, repaired)
    assert said(events) == ["MANIFEST_REPAIRED", "ARTIFACT_MODIFIED a", "ARTIFACT_ADDED b"]
    assert [one.sequence for one in events] == [0, 1, 2]


async def test_a_removed_manifest_removes_every_artifact(desk: Desk) -> None:
    before, after = line(desk, "a: {}\nb: {}\n", None)
    assert said(told(desk, before, after)) == ["ARTIFACT_REMOVED a", "ARTIFACT_REMOVED b"]


async def test_a_forced_push_is_told_with_one_difference(desk: Desk) -> None:
    base, *old = line(desk, "a: {x: 1}\n", "a: {x: 2}\n", "a: {x: 3}\n")
    between = graft(desk.repository, [base], {PATH: "a: {x: 4}\n"}, 5)
    new = graft(desk.repository, [between], {PATH: "a: {x: 5}\nb: {}\n"}, 6)
    events = told(desk, old[-1], new)
    assert said(events) == ["BRANCH_REWRITTEN", "ARTIFACT_MODIFIED a", "ARTIFACT_ADDED b"]
    assert {one.commit for one in events} == {new}
    assert [one.sequence for one in events] == [0, 1, 2]
    assert events[0].previous_head == old[-1]


async def test_a_forced_push_away_from_what_git_has_lost_is_told_with_the_same_id_and_without_the_difference(
    desk: Desk,
) -> None:
    (old,) = line(desk, "a: {x: 1}\n")
    new = graft(desk.repository, [], {PATH: "a: {x: 2}\n"}, 1)
    whole, (lost,) = told(desk, old, new), told(desk, "0" * 40, new)
    assert said([lost]) == ["BRANCH_REWRITTEN"]
    assert (lost.id, lost.sequence, lost.previous_head) == (whole[0].id, 0, "0" * 40)


async def test_a_branch_reset_to_an_older_commit_is_rewritten(desk: Desk) -> None:
    base, new = line(desk, "a: {}\n", "a: {}\nb: {}\n")
    assert said(told(desk, new, base)) == ["BRANCH_REWRITTEN", "ARTIFACT_REMOVED b"]


async def test_a_forced_push_to_a_broken_file_still_tells_what_is_served_instead(desk: Desk) -> None:
    (old,) = line(desk, "a: {x: 1}\n")
    other = graft(desk.repository, [], {PATH: "b: {}\n"}, 1)
    broken = graft(desk.repository, [other], {PATH: "b: [\n"}, 2)
    assert said(told(desk, old, broken)) == [
        "BRANCH_REWRITTEN",
        "MANIFEST_BROKEN",
        "ARTIFACT_REMOVED a",
        "ARTIFACT_ADDED b",
    ]


async def test_a_branch_that_comes_is_one_event(desk: Desk) -> None:
    (head,) = line(desk, "a: {}\nb: {}\n")
    (event,) = told(desk, None, head)
    assert (event.kind, event.commit, event.change) == (EventKind.BRANCH_CREATED, head, None)


async def test_a_branch_that_goes_is_one_event_that_names_where_it_was(desk: Desk) -> None:
    (head,) = line(desk, "a: {}\n")
    (event,) = told(desk, head, None)
    assert (event.kind, event.previous_head) == (EventKind.BRANCH_DELETED, head)


async def test_ids_are_the_same_from_two_derivations_and_differ_between_branches(desk: Desk) -> None:
    oids = line(desk, None, "a: {}\n", "a: [\n", "b: {}\n")
    once, again, other = (told(desk, oids[0], oids[-1], branch) for branch in ("main", "main", "dev"))
    assert once == again
    ids = {one.id for one in once}
    assert len(ids) == len(once)
    assert ids.isdisjoint(one.id for one in other)


@pytest.mark.parametrize("seed", range(8))
async def test_a_move_in_two_steps_is_told_as_the_move_in_one(desk: Desk, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - the same history every time
    texts = [None, "a: {}\n", "a: [\n", "a: {\n", "a: {x: 1}\nb: {}\n", "b: {y: 2}\n", "[]\n", ""]
    oids = line(desk, *dice.choices(texts, k=12))
    whole = told(desk, oids[0], oids[-1])
    assert whole == [event for pair in pairwise(oids) for event in told(desk, *pair)]
    middle = dice.choice(oids)
    assert whole == told(desk, oids[0], middle) + told(desk, middle, oids[-1])


async def test_a_thousand_broken_commits_are_told_in_seconds(desk: Desk) -> None:
    oids = line(desk, "a: {}\n", *(f"a: [ # {number}\n" for number in range(1000)), "a: {x: 1}\n")
    force(desk.repository, "main", oids[0])
    assert said(told(desk, oids[0], oids[-1]))[-2:] == ["MANIFEST_REPAIRED", "ARTIFACT_MODIFIED a"]
