"""How a document is measured, and that measuring takes no longer than reading it."""

import gc
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any

import pytest
import strawberry
from graphql import get_introspection_query, parse, validate

from app.resolvers.limits import Limits
from app.schema.limits import check_limits


@strawberry.interface
class Node:
    id: strawberry.ID


@strawberry.type
class Other(Node):
    @strawberry.field
    def page(self, first: int = 20) -> list["Query"]:
        return [Query()] * first


@strawberry.type
class Query(Node):
    query: "Query"
    many: list["Query"]
    either: Annotated["Query | Other", strawberry.union("Either")]

    @strawberry.field
    def page(self, first: int = 20) -> list["Query"]:
        return [Query()] * first


SCHEMA = strawberry.Schema(Query)._schema  # noqa: SLF001  what the pass is given
LIMITS = Limits(query_depth=5, aliases=3, root_fields=4, directives=3, fields=10, cost=1001)


def exceeded(query: str, limits: Limits = LIMITS) -> list[str]:
    errors = check_limits(SCHEMA, parse(query), limits)
    assert all(error.extensions == {"code": "QUERY_LIMIT_EXCEEDED"} for error in errors)
    return [error.message for error in errors]


def chain(levels: int, selection: str) -> str:
    """Fragments f0 … fn, each spreading the next in `selection`, where `%` stands for its name."""
    links = (
        f"fragment f{this} on Query {{ {selection.replace('%', f'...f{after}')} }}"
        for this, after in pairwise(range(levels + 1))
    )
    return " ".join(links) + f" fragment f{levels} on Query {{ id }}"


@pytest.mark.parametrize(
    ("allowed", "refused", "what"),
    [
        (
            "{ query { query { many { query { id } } } } }",
            "{ query { query { query { query { query { id } } } } } }",
            "deep",
        ),
        ("{ a: id b: id c: id }", "{ a: id b: id c: id d: id }", "aliases"),
        ("{ id id id id }", "{ id id id id id }", "root"),
        ("{ id @a @b @c }", "{ id @a @b @c @d }", "directives"),
        ("query @a { id @b @c }", "query @a @b { id @c @d }", "directives"),
        ("query($v: Int @a) { id @b @c }", "query($v: Int @a) { id @b @c @d }", "directives"),
        ("{ query { id id id id id id id id id } }", "{ query { id id id id id id id id id id } }", "10 fields"),
        ("{ page(first: 100) { page(first: 9) { id } } }", "{ page(first: 100) { page(first: 10) { id } } }", "page"),
        ("{ page { page { id id } } }", "{ page { page { id id id } } }", "page"),
        ("{ page(first: $n) { id } }", "{ page(first: $n) { page(first: $n) { id } } }", "page"),
        ("{ many { many { many { many { id } } } } }", "{ page { page { page { id } } } }", "page"),
        ("{ ...A ...A } fragment A on Query { id id }", "{ ...A ...A ...A } fragment A on Query { id id }", "root"),
        ("{ ... { id } ... on Node { id } }", "{ ... { id id id } ... on Node { id id } }", "root"),
        (
            "{ ...A @a } fragment A on Query @b { id @c }",
            "{ ...A @a } fragment A on Query @b { id @c @d }",
            "directive",
        ),
    ],
)
def test_a_document_is_refused_one_past_a_limit_and_not_at_it(allowed: str, refused: str, what: str) -> None:
    assert exceeded(allowed) == []
    assert any(what in message for message in exceeded(refused))


@pytest.mark.parametrize("size", ["99999999999999999999", "9" * 5000, "100", "null", "$n"])
def test_no_page_counts_as_larger_than_a_page_can_be(size: str) -> None:
    query = f"query($n: Int) {{ page(first: {size}) {{ id }} }}"
    assert exceeded(query, Limits(cost=101)) == []
    assert exceeded(query, Limits(cost=100)) != []


@pytest.mark.parametrize("size", ["0", "-5", "1"])
def test_no_page_counts_as_smaller_than_one_item(size: str) -> None:
    assert exceeded(f"{{ page(first: {size}) {{ id }} }}", Limits(cost=2)) == []
    assert exceeded(f"{{ page(first: {size}) {{ id }} }}", Limits(cost=1)) != []


def test_pages_are_found_below_unions_and_fragments() -> None:
    query = "{ either { ... on Other { page(first: 100) { page(first: 100) { id } } } } }"
    assert any("page" in message for message in exceeded(query))


@pytest.mark.parametrize(
    "query",
    [
        "{ nothing { page(first: 100) { page(first: 100) { id } } } }",
        "{ ...Nothing }",
        "{ ... on Nothing { page(first: 100) { id } } }",
        "fragment A on Nothing { id } { ...A }",
        "mutation { id }",
        "type A { a: Int }",
        "{ ...A } fragment A on Query { query { ...A } }",
        "{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }",
    ],
)
def test_what_the_standard_rules_report_is_left_to_them(query: str) -> None:
    assert exceeded(query) == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"specified_by_url": True, "directive_is_repeatable": True, "input_value_deprecation": True},
    ],
)
def test_the_full_introspection_query_passes_the_limits_as_shipped(options: Any) -> None:
    query = get_introspection_query(**options)
    document = parse(query, max_tokens=Limits().query_tokens)
    assert check_limits(SCHEMA, document, Limits()) == []
    assert validate(SCHEMA, document) == []


@pytest.fixture
def frozen_heap() -> Iterator[None]:
    """The heap as a server has it after its start: collecting what the other tests left takes 50 ms by itself."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen_heap")
@pytest.mark.parametrize(
    "query",
    [
        "{ ...f0 } " + chain(60, "% %"),
        "{ ...f0 } " + chain(14, "a: query { % } b: query { % }"),
        "{ id } " + chain(60, "% %"),
        "{ ...f0 } " + chain(240, "%"),
        "{ ...f0 } " + chain(150, "query { % }"),
        "{ ...f0 } " + chain(30, " ".join("%" * 10)),
        "{ ...f0 } " + chain(20, "page(first: 100) { % }"),
    ],
    ids=lambda query: query[:60],
)
def test_a_fragment_bomb_is_refused_in_milliseconds(query: str) -> None:
    document = parse(query, max_tokens=Limits().query_tokens)
    start = time.perf_counter()
    errors = check_limits(SCHEMA, document, Limits())
    assert time.perf_counter() - start < 0.05
    assert errors


def test_the_largest_document_that_passes_is_validated_in_well_under_a_second() -> None:
    query = "{ query { " + "query { id }" * 190 + " } }"
    document = parse(query)
    assert check_limits(SCHEMA, document, Limits()) == []
    start = time.perf_counter()
    validate(SCHEMA, document)
    assert time.perf_counter() - start < 1
