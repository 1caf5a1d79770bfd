"""How a document is measured, and that measuring takes no longer than reading it."""

import gc
import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated, Any, TypeVar

import pytest
import strawberry
from graphql import get_introspection_query, parse, validate

from app.http.body import decode_json
from app.http.engine import Engine
from app.http.errors import Refusal
from app.resolvers.limits import Limits
from app.schema.build import build_schema
from app.schema.limits import check_limits, check_values


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


Made = TypeVar("Made")


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """What it makes, and the seconds of processor time it takes: the best of three, as others have the machine too."""
    best, made = 60.0, work()
    for _ in range(3):
        start = time.process_time()
        made = work()
        best = min(best, time.process_time() - start)
    return made, best


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
    errors, seconds = timed(lambda: check_limits(SCHEMA, document, Limits()))
    assert errors
    assert seconds < 0.05


def test_the_largest_document_that_passes_is_validated_in_well_under_a_second() -> None:
    query = "{ query { " + "query { id }" * 190 + " } }"
    document = parse(query)
    assert check_limits(SCHEMA, document, Limits()) == []
    assert timed(lambda: validate(SCHEMA, document))[1] < 1


# ── What the endpoint refuses, whole ─────────────────────────────────────────────────────────

ENGINE = Engine(build_schema(), Limits())


def cycle(fragments: int, spreads: int) -> str:
    """Fragments that each spread the next few, round and round."""
    made = (
        f"fragment f{this} on Query {{ {' '.join(f'...f{(this + by) % fragments}' for by in range(1, spreads + 1))} }}"
        for this in range(fragments)
    )
    return "{ ...f0 } " + " ".join(made)


def refused(query: str) -> set[str]:
    """The codes of what the engine says of a document."""
    try:
        ENGINE.prepare(query)
    except Refusal as refusal:
        return {error["extensions"]["code"] for error in refusal.errors}
    raise AssertionError("it was taken")


LIMITED, PARSING, INVALID = "QUERY_LIMIT_EXCEEDED", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"


@pytest.mark.usefixtures("frozen_heap")
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ ...f0 } " + chain(60, "% %"), LIMITED),
        ("{ ...f0 } " + chain(60, " ".join("%" * 10)), LIMITED),
        (cycle(2, 1), INVALID),
        (cycle(40, 8), INVALID),
        ("{ " + " ".join(f"a{one}: registry" for one in range(100_000)) + " }", LIMITED),
        ("{ " + " ".join(f"a{one}: registry {{ version }}" for one in range(300)) + " }", LIMITED),
        ("{ projects(prefix: " + "[" * 10_000 + "]" * 10_000 + ") { totalCount } }", PARSING),
        ("{ artifacts(filter: " + "{metadata:" * 1000 + "1" + "}" * 1000 + ") { totalCount } }", PARSING),
        ("query($a: " + "[" * 1000 + "Int" + "]" * 1000 + ") { registry { version } }", PARSING),
        ("{ a" * 900 + "}" * 900, PARSING),
        ("," * 1_000_000, LIMITED),
        ("#" + "x" * 1_000_000, LIMITED),
        ('{ project(name: "' + "x" * 1_000_000 + '") { name } }', LIMITED),
        ('{ project(name: """' + "\n x" * 300_000 + '""") { name } }', LIMITED),
        ("{ projects(first: " + "9" * 90_000 + ") { totalCount } }", INVALID),
        ("{ registry " + "@skip(if: false) " * 200 + "{ version } }", LIMITED),
        ("{ registry { version } }" * 280, INVALID),
    ],
    ids=lambda value: value[:40],
)
def test_a_hostile_document_is_refused_in_milliseconds(query: str, code: str) -> None:
    codes, seconds = timed(lambda: refused(query))
    assert codes == {code}
    assert seconds < 0.05


PUTS = "mutation($in: CommitArtifactsInput!) { commitArtifacts(input: $in) { __typename } }"
SEARCH = "query($in: ArtifactFilter) { artifacts(filter: $in) { totalCount } }"
TYPES = "query($in: [String!]) { artifacts(filter: {type: $in}) { totalCount } }"


@pytest.mark.usefixtures("frozen_heap")
@pytest.mark.parametrize(
    ("query", "value"),
    [
        (TYPES, ["a"] * 250_000),
        (TYPES, [1] * 500_000),
        (SEARCH, {"metadata": [{"path": "a"}] * 60_000}),
        (SEARCH, {"objectState": ["NO_SUCH_STATE"] * 100_000}),
        (PUTS, {"project": "p", "changes": [{"delete": "x"}] * 60_000}),
        (PUTS, {"project": "p", "changes": [{"put": {"name": "x", "labels": [{"key": "k"}] * 20_000}}]}),
    ],
    ids=["strings", "no strings", "conditions", "no states", "changes", "labels"],
)
async def test_variables_that_hold_too_much_are_refused_in_milliseconds(query: str, value: Any) -> None:
    operation = ENGINE.prepare(query)
    errors, seconds = timed(lambda: check_values(operation.inputs, {"in": value}, Limits()))
    assert [error.extensions for error in errors] == [{"code": LIMITED}]
    assert seconds < 0.05
    with pytest.raises(Refusal, match="10000 values"):
        await ENGINE.execute(operation, {"in": value}, None, "request-1")


async def test_errors_of_variables_are_not_counted_to_the_last() -> None:
    operation = ENGINE.prepare(SEARCH)
    started = time.process_time()
    for _ in range(3):  # the second and the third time by a plan
        answer = await ENGINE.execute(operation, {"in": {f"name{one}": 1 for one in range(9000)}}, None, "request-1")
        assert len(answer["errors"]) <= 10
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    "value",
    [
        {"project": "p", "changes": [{"put": {"name": "x", "metadata": {"a": [1] * 100_000}}}]},
        {"project": "p", "changes": [{"put": {"name": "x", "labels": [{"key": "k", "value": "v"}] * 20}}] * 100},
        "no object",
        None,
    ],
    ids=["one JSON value", "a large commit", "what does not fit", "nothing"],
)
def test_what_is_large_and_allowed_is_left_to_its_own_rules(value: Any) -> None:
    assert check_values(ENGINE.prepare(PUTS).inputs, {"in": value}, Limits()) == []


def test_an_operation_whose_variables_are_single_values_is_not_measured() -> None:
    assert ENGINE.prepare("query($name: String!) { project(name: $name) { name } }").inputs == {}


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[]," * 340_000 + "1]",
        '{"a":' * 190_000,
        "[" * 100_000,
        "[" + '{"a":1},' * 120_000 + "1]",
        "[" * 50_001 + '"' + '\\"' * 30_000,
    ],
    ids=["lists", "objects", "depth", "many objects", "a string that does not end"],
)
def test_json_of_too_many_lists_and_objects_is_refused_in_milliseconds(text: str) -> None:
    def read() -> str:
        with pytest.raises(Refusal) as refusal:
            decode_json(text)
        return refusal.value.code

    code, seconds = timed(read)
    assert code == "BAD_REQUEST"
    assert seconds < 0.1


def test_brackets_in_strings_are_no_lists() -> None:
    value = {"notes": "[{" * 50_000 + '\\"[' * 50_000}
    assert decode_json(json.dumps(value)) == value
