"""What is asked is checked whole, and never written over what a person wrote."""

from dataclasses import replace
from typing import Any

import pytest

from app.registry.changes import DeleteEntry, RenameEntry
from app.registry.errors import (
    InvalidInputError,
    ManifestBrokenError,
    RegistryError,
)
from app.registry.model import Actor
from tests.support.domain import Desk, patch, put

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


async def test_a_file_that_would_grow_beyond_eight_mebibytes_is_refused(desk: Desk) -> None:
    filler = "".join(f"e{number}: {{x: {'y' * 10_000}}}\n" for number in range(837))
    desk.push(filler)
    await desk.follow()
    with pytest.raises(InvalidInputError, match="bytes"):
        await desk.put("more", x="y" * 20_000)
    assert desk.text() == filler


async def test_more_than_20000_entries_are_refused(desk: Desk) -> None:
    desk.push("".join(f"e{number}: {{}}\n" for number in range(20_000)))
    await desk.follow()
    with pytest.raises(InvalidInputError, match="20000"):
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
