"""The schema that is committed is the schema that is served, and it keeps the contract."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from graphql import build_schema

from app.schema.build import print_schema

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = (ROOT / "tests/schema/contract.graphql").read_text()


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_schema", ROOT / "scripts/check_schema.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    assert (ROOT / "schema.graphql").read_text() == print_schema()


def test_the_schema_says_all_that_the_contract_says(check: ModuleType) -> None:
    assert list(check.missing(build_schema(CONTRACT), build_schema(print_schema()))) == []


def test_every_element_of_the_schema_is_described(check: ModuleType) -> None:
    assert list(check.undescribed(build_schema(print_schema()))) == []


@pytest.mark.parametrize(
    ("was", "changed"),
    [
        ("  commitArtifacts(input: CommitArtifactsInput!): CommitArtifactsResult!\n", ""),
        ("dataObjectId: ID\n", "dataObjectId: Int\n"),
        ("first: Int = 20", "first: Int = 10"),
        ("  MISSING\n", ""),
        (
            "union CreateUploadsResult = CreateUploadsSuccess | NotFoundError",
            "union CreateUploadsResult = CreateUploadsSuccess",
        ),
        ("input ArtifactChangeInput @oneOf", "input ArtifactChangeInput"),
    ],
)
def test_the_check_notices_what_a_schema_no_longer_says(check: ModuleType, was: str, changed: str) -> None:
    assert was in CONTRACT
    assert list(check.missing(build_schema(CONTRACT), build_schema(CONTRACT.replace(was, changed, 1))))


def test_the_check_notices_an_element_without_a_description(check: ModuleType) -> None:
    undescribed = build_schema('"Told." type Query { "Told." a("Told." x: Int, y: Int): Int, b: Int }')
    assert list(check.undescribed(undescribed)) == [
        "Query.a(y:) has no description",
        "Query.b has no description",
    ]
