"""Segments answer what the plain matcher answers, and share what has not changed."""

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.registry.facts import METADATA, facts, values
from app.registry.manifest import Entry, entry_from
from app.registry.model import ObjectState
from app.registry.search import ArtifactFilter, Between, MetadataFilter, conditions, glob, matcher
from app.registry.segment import LENGTH, Run, Segment, bits, segment

words = st.sampled_from(["a", "b", "A", "ab", "ß", "", "1"])
scalars = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from([0.5, 1.0, -0.0, 1e300, 2**70]) | words
keys = st.sampled_from(["a", "b", "c.d"])
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)
pins = st.fixed_dictionaries(
    {"sha256": st.sampled_from(["0" * 64, "1" * 64]), "size": st.integers(0, 2)}, optional={"state": st.just("pending")}
)
reserved = st.fixed_dictionaries(
    {},
    optional={
        "dataObjectId": st.sampled_from(["7", "007", 7]),
        "type": words,
        "description": st.text("aAß\n\0 ", max_size=4),
        "labels": st.dictionaries(st.sampled_from(["a", "b"]), st.none() | words, max_size=2),
        "object": pins,
    },
)
metadata = st.dictionaries(keys, json_values, max_size=3)
manifests = st.dictionaries(
    st.text("abA/", min_size=1, max_size=3).filter(lambda name: "" not in name.split("/")),
    st.builds(lambda one, other: one | other, metadata, reserved),
    max_size=6,
)
bounds = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])
paths = st.sampled_from(["a", "b", "a.a", "a.b", "b.a.b", "/c.d", "/a/c.d", "type"])
asked: dict[str, st.SearchStrategy[Any]] = {
    "eq": json_values,
    "among": st.lists(json_values, max_size=4),
    "gt": bounds,
    "gte": bounds,
    "lt": bounds,
    "lte": bounds,
    "contains": json_values,
    "exists": st.booleans(),
}
alone = st.one_of(*(st.builds(MetadataFilter, paths, **{name: one}) for name, one in asked.items()))
together = st.builds(
    lambda path, given_: MetadataFilter(path, **given_), paths, st.fixed_dictionaries({}, optional=asked)
)
metadata_filters = alone | together
filters = st.builds(
    ArtifactFilter,
    name=st.none() | st.sampled_from(["a", "a*", "[!a]*", "?", "*/*", ""]),
    types=st.none() | st.lists(words, max_size=2),
    label=st.none() | st.tuples(st.sampled_from(["a", "b"]), st.none() | words),
    object_states=st.none() | st.lists(st.sampled_from(ObjectState), max_size=3),
    metadata=st.lists(metadata_filters, max_size=2).map(tuple),
    text=st.none() | st.text("aAsS\n\0", max_size=3),
    data_object_id=st.none() | st.sampled_from(["7", "007"]),
)


def found(held: Segment, wanted: ArtifactFilter) -> list[str]:
    every = conditions(wanted)
    return [run.entries[number].name for run in held for number in bits(run.matching(every))]


@given(manifests, filters)
def test_a_segment_finds_what_the_matcher_lets_through(manifest: dict[str, Any], wanted: ArtifactFilter) -> None:
    entries = [entry_from(name, value) for name, value in manifest.items()]
    passing = filter(matcher(wanted), entries)
    assert found(segment(entries), wanted) == sorted(entry.name for entry in passing)


@settings(max_examples=400)
@given(manifests, metadata_filters)
def test_one_condition_finds_what_the_matcher_lets_through(manifest: dict[str, Any], wanted: MetadataFilter) -> None:
    entries = [entry_from(name, value) for name, value in manifest.items()]
    by_it = ArtifactFilter(metadata=(wanted,))
    assert found(segment(entries), by_it) == sorted(entry.name for entry in filter(matcher(by_it), entries))


@given(metadata)
def test_the_values_at_a_path_are_the_facts_of_its_column(given_metadata: dict[str, Any]) -> None:
    entry = entry_from("e", given_metadata)
    noted = list(facts(entry, {}))
    for column in {column for column, _ in noted} | {(METADATA, "missing")}:
        assert set(values(entry, column)) == {value for one, value in noted if one == column}


numbers = st.lists(st.integers(-2, 3) | st.sampled_from([0.5, 2.0, 1e300, 2**70]), max_size=8, unique=True).map(sorted)


@given(numbers, *[st.just(-inf) | bounds] * 2, *[st.just(inf) | bounds] * 2)
def test_a_range_of_sorted_numbers_is_what_it_chooses(
    held: list[float], above: float, least: float, below: float, most: float
) -> None:
    between = Between(above, least, below, most)
    assert held[between.part_of(held)] == list(between(held))


@given(st.text(st.characters(codec=None), max_size=12), st.text(max_size=5))
def test_any_text_is_a_glob(pattern: str, name: str) -> None:
    assert glob(pattern)(name) in {True, False}


@pytest.mark.parametrize("pattern", ["*a" * 500, "*?" * 499 + "b", "*[a]*[!b]" * 99 + "b"])
def test_no_glob_makes_a_name_slow(pattern: str) -> None:
    fits = glob(pattern)
    for _ in range(1000):  # a matcher that tries again and again would not end in a lifetime
        assert not fits("a" * 200)


# ── Runs ─────────────────────────────────────────────────────────────────────────────────────


def many(count: int) -> list[Entry]:
    return [entry_from(f"entry-{number:05}", {"rows": number}) for number in range(count)]


class Kept:
    """Makes runs, and uses those again whose entries are the same objects."""

    def __init__(self) -> None:
        self.made = 0
        self.runs: dict[tuple[int, ...], Run] = {}

    def __call__(self, entries: tuple[Entry, ...]) -> Run:
        key = tuple(map(id, entries))
        if key not in self.runs:
            self.made += 1
            self.runs[key] = Run.of(entries)
        return self.runs[key]


def test_a_segment_is_every_entry_by_name_in_runs() -> None:
    entries = many(10 * LENGTH)
    held = segment(entries[::-1])
    assert [entry for run in held for entry in run.entries] == entries
    assert 3 < len(held) < 30


def replaced(entries: list[Entry]) -> list[Entry]:
    return [*entries[:99], entry_from("entry-00099", {"rows": "new"}), *entries[100:]]


def removed(entries: list[Entry]) -> list[Entry]:
    return [*entries[:99], *entries[100:]]


def added(entries: list[Entry]) -> list[Entry]:
    return [entry_from("a-new-one", {}), *entries]


@pytest.mark.parametrize("changed", [replaced, removed, added])
def test_a_change_of_one_entry_leaves_all_runs_but_its_own(changed: Callable[[list[Entry]], list[Entry]]) -> None:
    entries, run_of = many(10 * LENGTH), Kept()
    before = segment(entries, run_of)
    made = run_of.made
    after = segment(changed(entries), run_of)
    assert run_of.made - made <= 2
    assert len(set(after) & set(before)) >= len(before) - 2
