"""`schema.graphql` is what is served, says all the contract says, and describes every element."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from graphql import GraphQLSchema, build_schema

from app.schema.build import print_schema

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT / "tests" / "schema" / "contract.graphql"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """The script that `make` runs, as a module."""
    spec = importlib.util.spec_from_file_location("check_schema", ROOT / "scripts" / "check_schema.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text())


def test_the_file_is_what_the_server_serves() -> None:
    assert (ROOT / "schema.graphql").read_text() == print_schema()


def test_everything_the_contract_says_is_served(check: ModuleType, schema: GraphQLSchema) -> None:
    assert list(check.missing(build_schema(CONTRACT.read_text()), schema)) == []


def test_every_element_is_described(check: ModuleType, schema: GraphQLSchema) -> None:
    assert list(check.undescribed(schema)) == []


SERVED = """type Query { "A field." a(first: Int = 20): String! }  enum E { X }  input I @oneOf { a: Int b: Int }"""


@pytest.mark.parametrize(
    ("contract", "lacking"),
    [
        ("type Query { a(first: Int = 20): String! }", 0),
        ("type Query { a(first: Int = 20): String! b: Int }", 1),
        ("type Query { a(first: Int = 20): String }", 1),
        ("type Query { a(first: Int = 10): String! }", 1),
        ("type Query { a(first: Int = 20, after: Int): String! }", 1),
        ("type Query { a(first: Int = 20): String! }  enum E { X Y }", 1),
        ("type Query { a(first: Int = 20): String! }  input I { a: Int b: Int }", 1),
        ("type Query { a(first: Int = 20): String! }  scalar S", 1),
    ],
)
def test_the_check_finds_what_is_missing(check: ModuleType, contract: str, lacking: int) -> None:
    assert len(list(check.missing(build_schema(contract), build_schema(SERVED)))) == lacking


def test_the_check_finds_what_is_not_described(check: ModuleType) -> None:
    found = set(check.undescribed(build_schema(SERVED)))
    assert "Query.a has no description" not in found
    assert {"Query.a(first:) has no description", "E.X has no description", "I.a has no description"} <= found
