"""Changes as operations: planned on whatever stands there now."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry.changes import (
    DeleteEntry,
    EntryChange,
    PatchEntry,
    PutEntry,
    RenameEntry,
    SettleObject,
    merge_patch,
    plan,
    touched,
)
from app.registry.errors import InvalidInputError, NotFoundError
from app.registry.manifest import Manifest, entry_from

SHA, OTHER = "ab" * 32, "cd" * 32


def pin(sha256: str = SHA, size: int = 5, *, pending: bool = True) -> dict[str, Any]:
    return {"sha256": sha256, "size": size, **({"state": "pending"} if pending else {})}


def manifest(**entries: dict[str, Any]) -> Manifest:
    return Manifest({name: entry_from(name, entry) for name, entry in entries.items()})


def acts(on: Manifest, *changes: EntryChange) -> list[tuple[str, str]]:
    return list(plan(changes, on).acts)


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": 1}, {"missing": None}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": "text"}, {"a": [1]}, {"a": [1]}),
        ({"a": {"b": 1}}, {"a": {"b": 2, "c": None}}, {"a": {"b": 2}}),
        ({"a": {"b": 1}}, {"a": "flat"}, {"a": "flat"}),
        ({"a": 1}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
        ({"a": [{"b": 1}]}, {"a": [{"b": None}]}, {"a": [{"b": None}]}),
        ({"a": None}, {"b": 1}, {"a": None, "b": 1}),
        ([1, 2], {"a": 1}, {"a": 1}),
        ({"a": 1}, [2], [2]),
        ({"a": 1}, None, None),
        ("text", {}, {}),
    ],
)
def test_a_merge_patch_replaces_merges_and_removes(target: Any, patch: Any, merged: Any) -> None:
    assert merge_patch(target, patch) == merged


objects = st.recursive(
    st.none() | st.integers() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=2),
    max_leaves=6,
)


@given(objects, objects)
def test_a_merge_patch_applied_twice_is_applied_once(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


def test_the_names_a_change_touches_are_those_it_reads_or_writes() -> None:
    changes: list[EntryChange] = [
        PutEntry("a", {}),
        PatchEntry("b", {}),
        RenameEntry("c", "d"),
        DeleteEntry("e"),
        SettleObject(SHA, 5),
    ]
    assert touched(changes) == {"a", "b", "c", "d", "e"}


def test_a_change_is_planned_on_what_those_before_it_leave() -> None:
    on = manifest(a={"x": 1})
    assert acts(on, RenameEntry("a", "b"), DeleteEntry("b"), PutEntry("a", {})) == [
        ("Rename", "a to b"),
        ("Delete", "b"),
        ("Add", "a"),
    ]


@pytest.mark.parametrize("gone", [PatchEntry("a", {}), RenameEntry("a", "c"), DeleteEntry("a")])
def test_an_entry_deleted_by_an_earlier_change_is_not_found(gone: EntryChange) -> None:
    with pytest.raises(NotFoundError):
        plan([DeleteEntry("a"), gone], manifest(a={}))


def test_a_rename_makes_room_for_another() -> None:
    on = manifest(a={"x": 1}, b={"x": 2})
    assert len(plan([RenameEntry("a", "c"), RenameEntry("b", "a"), RenameEntry("c", "b")], on).edits) == 3


@pytest.mark.parametrize(
    "same",
    [
        PutEntry("a", {"x": 1, "y": [1]}),
        PutEntry("a", {"y": [1], "x": 1}),
        PatchEntry("a", {}),
        PatchEntry("a", {"x": 1, "z": None}),
        RenameEntry("a", "a"),
        SettleObject(SHA, 5),
    ],
)
def test_what_changes_nothing_is_no_edit(same: EntryChange) -> None:
    assert plan([same], manifest(a={"x": 1, "y": [1]})).edits == ()


@pytest.mark.parametrize("other", [{"x": 1.0}, {"x": True}, {"x": "1"}])
def test_a_value_of_another_type_is_a_change(other: dict[str, Any]) -> None:
    assert plan([PutEntry("a", other)], manifest(a={"x": 1})).edits


def test_a_patch_that_breaks_a_reserved_key_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidInputError) as refused:
        plan([PutEntry("b", {}), PatchEntry("a", {"type": 5})], manifest(a={}))
    assert refused.value.issues[0].path == ("changes", "1", "patch", "patch")


@pytest.mark.parametrize(
    ("entry", "patch", "identifier"),
    [
        ({}, {}, f"sha256:{OTHER}"),
        ({"dataObjectId": "7"}, {}, "7"),
        ({"dataObjectId": f"sha256:{SHA}", "object": pin()}, {}, f"sha256:{OTHER}"),
        ({"dataObjectId": "7", "object": pin()}, {}, "7"),
        ({}, {"dataObjectId": "9"}, "9"),
    ],
)
def test_an_id_that_is_the_digest_follows_the_bytes(entry: Any, patch: Any, identifier: str) -> None:
    (edit,) = plan([PatchEntry("a", patch, pin(OTHER, 7))], manifest(a=entry)).edits
    value: Any = edit.entry  # type: ignore[union-attr]
    assert value["dataObjectId"] == identifier
    assert value["object"] == pin(OTHER, 7)


def test_bytes_that_arrive_settle_every_entry_that_pins_just_them() -> None:
    on = manifest(
        waits={"object": pin()},
        waits_too={"object": pin(), "x": 1},
        ready={"object": pin(pending=False)},
        other={"object": pin(OTHER)},
        wrong_size={"object": pin(size=6)},
        none={},
    )
    assert acts(on, SettleObject(SHA, 5)) == [("Receive the bytes of", "waits"), ("Receive the bytes of", "waits_too")]
