"""The commit graph: what it takes in, and what it does not."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from app.registry.graph import NONE, CommitGraph
from app.stores.ports import Trace, TreeEntry


def oid(number: int) -> str:
    return f"{number:040x}"


def line(*numbers: int, parent: int | None = None, entries: dict[int, str] | None = None) -> Trace:
    """Commits in a line, the first of `numbers` on `parent`; children come first, as they are read."""
    parents = [oid(parent) if parent is not None else "", *map(oid, numbers[:-1])]
    said = {oid(number): TreeEntry(0o100644, text) for number, text in (entries or {}).items()}
    return Trace([*map(oid, numbers)][::-1], parents[::-1], [*numbers][::-1], said)


def add(graph: CommitGraph, traces: Iterable[Trace]) -> None:
    growth = graph.growth()
    for trace in traces:
        growth.take(trace)
    graph.add(growth)


def log(graph: CommitGraph, head: int) -> list[str]:
    return [graph.oids[number] for number in graph.walk(graph.number(oid(head)))]


def test_a_graph_grows_by_what_is_new() -> None:
    graph = CommitGraph()
    add(graph, [line(1, 2, 3, entries={1: "a", 3: "b"})])
    add(graph, [line(4, 5, parent=3, entries={5: "c"})])
    assert log(graph, 5) == [oid(5), oid(3), oid(1)]
    assert graph.tips == {oid(5)}
    assert len(graph) == 5


def test_a_branch_off_an_old_commit_is_a_second_tip() -> None:
    graph = CommitGraph()
    add(graph, [line(1, 2, 3)])
    add(graph, [line(8, 9, parent=1)])
    assert graph.tips == {oid(3), oid(9)}


def test_commits_that_are_read_again_are_not_taken_in_twice() -> None:
    graph = CommitGraph()
    add(graph, [line(1, 2, 3, entries={1: "a"})])
    add(graph, [line(1, 2, 3, 4, entries={1: "a", 4: "b"})])
    assert len(graph) == 4
    assert log(graph, 4) == [oid(4), oid(1)]


def test_a_commit_without_its_parent_is_refused_and_changes_nothing() -> None:
    graph = CommitGraph()
    add(graph, [line(1, 2, entries={1: "a"})])
    with pytest.raises(KeyError):
        add(graph, [line(5, 6, parent=4)])
    assert (len(graph), oid(6) in graph, graph.tips) == (2, False, {oid(2)})
    add(graph, [line(3, parent=2)])
    assert log(graph, 3) == [oid(1)]


def test_parents_may_be_told_after_their_children_or_before() -> None:
    graph = CommitGraph()
    told = [Trace([oid(new)], [oid(old)], [new], {}) for old, new in pairwise(range(1, 6))]
    add(graph, [*told[:2], Trace([oid(1)], [""], [1], {oid(1): TreeEntry(0o100644, "a")}), *told[2:]])
    assert log(graph, 5) == [oid(1)]
    assert graph.ancestor(graph.number(oid(5)), 4) == graph.number(oid(1))


def test_nothing_was_before_the_first_commit() -> None:
    graph = CommitGraph()
    add(graph, [line(1)])
    assert graph.ancestor(graph.number(oid(1)), 1) is None
    assert graph.version(NONE) == graph.version(graph.number(oid(1)))


def test_a_commit_is_listed_once_also_when_its_clock_was_ahead() -> None:
    graph = CommitGraph()
    entries = {oid(1): TreeEntry(0o100644, "a"), oid(3): TreeEntry(0o100644, "b"), oid(4): TreeEntry(0o100644, "c")}
    parents = [f"{oid(2)} {oid(3)}", oid(1), oid(1), ""]
    add(graph, [Trace([oid(4), oid(3), oid(2), oid(1)], parents, [30, 20, 10, 1000], entries)])
    assert log(graph, 4) == [oid(4), oid(3), oid(1)]  # what git log says of such a history
