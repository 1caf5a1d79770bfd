"""Which entries a filter lets through."""

from typing import Any

import pytest

from app.registry.errors import InvalidInputError
from app.registry.manifest import entry_from
from app.registry.search import MISSING, ArtifactFilter, MetadataFilter, glob, matcher, parse_path

ENTRY = entry_from(
    "search/churn-model",
    {
        "dataObjectId": 7,
        "type": "model",
        "description": "Nightly CHURN model, Straße",
        "labels": {"stage": "prod", "nightly": None},
        "config": {"type": "tsv", "depth": 3, "rate": 0.5, "on": True, "none": None, "empty": []},
        "columns": [{"name": "id", "size": 4}, {"name": "text", "size": 16}],
        "tags": ["a", "b"],
        "a.b": {"c/d": "dotted"},
        "grid": [[1, 2], [3]],
    },
)


def passes(**wanted: Any) -> bool:
    return matcher(ArtifactFilter(**wanted))(ENTRY)


def holds(path: str, **wanted: Any) -> bool:
    return passes(metadata=(MetadataFilter(path, **wanted),))


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        (None, "anything", True),
        ("search", "search", True),
        ("search", "search/x", False),
        ("search/*", "search/x/y", True),
        ("*", "", True),
        ("?", "ab", False),
        ("[a-c]x", "bx", True),
        ("[!a]x", "ax", False),
        ("a.c", "abc", False),
        ("a*\n", "ab", False),
        ("Search", "search", False),
        ("a+", "aa", False),
    ],
)
def test_a_name_is_compared_whole_or_as_a_glob(pattern: str | None, name: str, matches: bool) -> None:  # noqa: FBT001 - a column
    assert glob(pattern)(name) is matches


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"name": "search/churn-model"},
        {"name": "*churn*"},
        {"types": ["dataset", "model"]},
        {"label": ("stage", None)},
        {"label": ("stage", "prod")},
        {"label": ("nightly", None)},
        {"text": "churn"},
        {"text": "STRASSE"},
        {"text": "SEARCH/"},
    ],
)
def test_an_entry_passes_what_it_fits(wanted: dict[str, Any]) -> None:
    assert passes(**wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "churn"},
        {"types": ["dataset"]},
        {"types": []},
        {"label": ("stage", "test")},
        {"label": ("nightly", "x")},
        {"text": "daily"},
        {"name": "*churn*", "types": ["dataset"]},
    ],
)
def test_an_entry_is_left_out_by_what_it_does_not_fit(wanted: dict[str, Any]) -> None:
    assert not passes(**wanted)


HOLDING: list[tuple[str, dict[str, Any]]] = [
    ("config.type", {"eq": "tsv"}),
    ("/config/type", {"eq": "tsv"}),
    ("/a.b/c~1d", {"eq": "dotted"}),
    ("config.depth", {"eq": 3}),
    ("config.depth", {"eq": 3.0}),
    ("config.on", {"eq": True}),
    ("config.none", {"eq": None}),
    ("config.none", {"exists": True}),
    ("config", {"exists": True}),
    ("config.empty", {"eq": []}),
    ("tags", {"eq": ["a", "b"]}),
    ("tags", {"eq": "b"}),
    ("columns.name", {"eq": "text"}),
    ("columns.size", {"gt": 10}),
    ("grid", {"eq": 3}),
    ("config.type", {"among": ["csv", "tsv"]}),
    ("config.depth", {"among": [1, 3.0]}),
    ("config.depth", {"gt": 2, "lt": 4}),
    ("config.depth", {"gte": 3, "lte": 3}),
    ("config.rate", {"gt": 0.4}),
    ("config.type", {"contains": "s"}),
    ("tags", {"contains": "a"}),
    ("config", {"contains": {"type": "tsv", "depth": 3}}),
    ("config", {"contains": {}}),
    ("columns", {"contains": {"name": "id"}}),
    ("config.missing", {"exists": False}),
    ("config.type", {}),
    ("config.depth", {"eq": 3, "among": [1, 3]}),
    ("config", {"contains": {"depth": 3.0, "on": True}}),
    ("columns", {"eq": [{"size": 4.0, "name": "id"}, {"name": "text", "size": 16}]}),
    ("grid", {"contains": 2}),
    ("grid", {"contains": [1.0, 2]}),
    ("config.empty", {"exists": True}),
]
FAILING: list[tuple[str, dict[str, Any]]] = [
    ("config.type", {"eq": "csv"}),
    ("config.type", {"eq": None}),
    ("config.depth", {"eq": "3"}),
    ("config.on", {"eq": 1}),
    ("config.on", {"gt": 0}),
    ("config.type", {"gt": 0}),
    ("config.depth", {"gt": 3}),
    ("config.depth", {"lt": 3}),
    ("columns.size", {"gt": 5, "lt": 15}),
    ("columns.size", {"gt": 20}),
    ("config.type", {"among": []}),
    ("config.type", {"contains": 1}),
    ("config.depth", {"contains": 3}),
    ("tags", {"contains": "c"}),
    ("config", {"contains": {"type": "csv"}}),
    ("config", {"contains": "type"}),
    ("config.missing", {"exists": True}),
    ("config.missing", {"eq": None}),
    ("config.type", {"exists": False}),
    ("config.type.deeper", {"exists": True}),
    ("config.empty.x", {"exists": True}),
    ("type", {"eq": "model"}),
    ("tags.0", {"eq": "a"}),
    ("config.missing", {}),
    ("config.depth", {"eq": 3, "among": [1, 2]}),
    ("config.depth", {"exists": False, "eq": 3}),
    ("config", {"contains": {"on": 1}}),
    ("columns", {"contains": {"name": "id", "size": 16}}),
    ("tags", {"eq": ["b", "a"]}),
    ("config.empty", {"contains": {}}),
    ("config", {"contains": ["type", "tsv"]}),
]


@pytest.mark.parametrize(("path", "wanted"), HOLDING)
def test_a_condition_on_metadata_holds(path: str, wanted: dict[str, Any]) -> None:
    assert holds(path, **wanted)


@pytest.mark.parametrize(("path", "wanted"), FAILING)
def test_a_condition_on_metadata_fails(path: str, wanted: dict[str, Any]) -> None:
    assert not holds(path, **wanted)


def test_every_condition_has_to_hold() -> None:
    fits, not_ = MetadataFilter("config.type", eq="tsv"), MetadataFilter("config.type", eq="csv")
    assert passes(metadata=(fits, fits))
    assert not passes(metadata=(fits, not_))


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "/", "/a//b", "/~", "/a~2", "/~/a", "a." * 32 + "a"])
def test_a_path_that_no_entry_can_have_is_refused(path: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_path(path)


def test_a_pointer_unescapes_and_dots_do_not() -> None:
    assert parse_path("/a~01~1b.c") == ("a~1/b.c",)
    assert parse_path("a~1.b") == ("a~1", "b")


def test_a_filter_reads_alike_in_every_process() -> None:
    assert " object at 0x" not in repr(MetadataFilter("a"))
    assert MetadataFilter("a").eq is MISSING
