"""What differs between two manifests."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry.diff import changes, equal, fields
from app.registry.manifest import Manifest, entry_from, from_json, to_json
from app.registry.model import ChangeKind, FieldChange, Project

PROJECT = Project("p")
BEFORE, AFTER = "1" * 40, "2" * 40
NAMES = st.sampled_from("abc")
ENTRIES = st.dictionaries(
    st.sampled_from(["x", "y", "labels"]), st.sampled_from([0, 0.0, -0.0, False, None]), max_size=3
).filter(lambda entry: entry.get("labels") is None)


def manifest(**entries: dict[str, Any]) -> Manifest:
    return Manifest({name: entry_from(name, entry) for name, entry in entries.items()})


def stored(one: Manifest) -> Manifest:
    return from_json(to_json(one))


def leaves(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[tuple[str, Any, Any]]:
    old = manifest(**({} if before is None else {"e": before}))
    new = manifest(**({} if after is None else {"e": after}))
    return [
        (leaf.path, leaf.before, leaf.after)
        for change in changes(PROJECT, (BEFORE, old), (AFTER, new))
        for leaf in fields(change)
    ]


def test_changes_are_by_name_with_both_sides_and_their_commits() -> None:
    old = manifest(gone={"x": 1}, kept={"x": 1}, new={"x": 1})
    new = manifest(added={"x": 1}, kept={"x": 1}, new={"x": 2})
    found = changes(PROJECT, (BEFORE, old), (AFTER, new))
    assert [(one.kind, one.name) for one in found] == [
        (ChangeKind.ADDED, "added"),
        (ChangeKind.REMOVED, "gone"),
        (ChangeKind.MODIFIED, "new"),
    ]
    assert [(bool(one.before), bool(one.after), one.commit) for one in found] == [
        (False, True, AFTER),
        (True, False, AFTER),
        (True, True, AFTER),
    ]
    assert found[1].before
    assert found[1].before.commit == BEFORE


def test_the_order_of_keys_and_entries_says_nothing() -> None:
    old = manifest(a={"x": 1, "y": 2}, b={})
    new = manifest(b={}, a={"y": 2, "x": 1})
    assert changes(PROJECT, (BEFORE, old), (AFTER, new)) == ()
    assert changes(PROJECT, (BEFORE, stored(old)), (AFTER, stored(new))) == ()


@given(st.dictionaries(NAMES, ENTRIES), st.dictionaries(NAMES, ENTRIES))
def test_manifests_that_were_stored_differ_as_they_did_before(one: dict[str, Any], two: dict[str, Any]) -> None:
    old, new = manifest(**one), manifest(**two)
    expected = changes(PROJECT, (BEFORE, old), (AFTER, new))
    for before, after in ((stored(old), stored(new)), (old, stored(new)), (stored(old), new)):
        assert changes(PROJECT, (BEFORE, before), (AFTER, after)) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"x": 1}, {"x": 2}, [("/x", 1, 2)]),
        ({"x": {"y": 1}}, {"x": {"y": 2, "z": 3}}, [("/x/y", 1, 2), ("/x/z", None, 3)]),
        ({"a/b": 1, "c~d": 1}, {"a/b": 2, "c~d": 2}, [("/a~1b", 1, 2), ("/c~0d", 1, 2)]),
        ({"": 1}, {"": 2}, [("/", 1, 2)]),
        ({"x": [1, 2]}, {"x": [1, 2, 3]}, [("/x/2", None, 3)]),
        ({"x": [1, 2, 3]}, {"x": [1]}, [("/x/1", 2, None), ("/x/2", 3, None)]),
        ({"x": 1}, {"x": 1.0}, [("/x", 1, 1.0)]),
        ({"x": 1}, {"x": True}, [("/x", 1, True)]),
        ({"x": "1"}, {"x": 1}, [("/x", "1", 1)]),
        ({"x": {}}, {"x": []}, [("/x", {}, [])]),
        ({"x": {}}, {"x": {"y": 1}}, [("/x/y", None, 1)]),
        ({"x": {"y": 1}}, {"x": {}}, [("/x/y", 1, None)]),
        ({"x": "text"}, {"x": {"y": 1}}, [("/x", "text", {"y": 1})]),
        ({"x": [1]}, {"x": {"0": 1}}, [("/x", [1], {"0": 1})]),
        ({}, {"x": {}}, [("/x", None, {})]),
        ({}, {"x": []}, [("/x", None, [])]),
        ({"x": None}, {}, [("/x", None, None)]),
        (None, {"x": {"y": 1}}, [("/x/y", None, 1)]),
        (None, {}, [("", None, {})]),
        ({"x": {"y": 1}}, None, [("/x/y", 1, None)]),
        ({}, None, [("", {}, None)]),
        ({"dataObjectId": 123}, {"dataObjectId": "123"}, []),
    ],
)
def test_the_leaves_that_differ(before: Any, after: Any, expected: list[tuple[str, Any, Any]]) -> None:
    assert [(path, repr(old), repr(new)) for path, old, new in leaves(before, after)] == [
        (path, repr(old), repr(new)) for path, old, new in expected
    ]


# Null is left out: in a leaf it stands for "nothing here", which is the one thing a leaf cannot tell apart.
json_values = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("ab~/", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab~/1", max_size=2), inner, max_size=3),
    max_leaves=8,
)
entries = st.dictionaries(st.text("ab~/1", max_size=2), json_values, max_size=4)


def scalars(path: str, value: Any) -> dict[str, Any]:
    """Every value that holds no others, by its pointer; empty collections hold nothing and are nothing."""
    if isinstance(value, dict):
        below = [(key.replace("~", "~0").replace("/", "~1"), item) for key, item in value.items()]
    elif isinstance(value, list):
        below = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {path: value}
    return {place: one for key, item in below for place, one in scalars(f"{path}/{key}", item).items()}


def applied(entry: dict[str, Any], changed: Sequence[FieldChange]) -> dict[str, Any]:
    found = scalars("", entry)
    for leaf in changed:
        found = {path: one for path, one in found.items() if not f"{path}/".startswith(f"{leaf.path}/")}
        found |= {} if leaf.after is None else scalars(leaf.path, leaf.after)
    return found


@given(entries, entries)
def test_the_leaves_applied_to_what_was_give_what_is(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = changes(PROJECT, (BEFORE, manifest(e=before)), (AFTER, manifest(e=after)))
    assert bool(found) is not equal(before, after)
    changed = fields(found[0]) if found else ()
    assert equal(applied(before, changed), scalars("", after))


@given(json_values, json_values)
def test_equality_is_that_of_the_written_form(one: Any, other: Any) -> None:
    def written(value: Any) -> Any:
        if isinstance(value, dict):
            return "object", sorted((key, written(item)) for key, item in value.items())
        if isinstance(value, list):
            return "list", [written(item) for item in value]
        return type(value).__name__, value

    assert equal(one, other) is (written(one) == written(other))
