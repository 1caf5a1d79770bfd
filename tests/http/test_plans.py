"""When a query is compiled, and what is left to graphql-core: on a schema with what the registry's own has not."""

import asyncio
from enum import Enum
from itertools import product
from typing import Annotated, Any

import pytest
import strawberry
from graphql import ExecutionResult

from app.http.body import encode_json
from app.http.engine import Engine
from app.resolvers.limits import Limits


class Colour(Enum):
    RED = "r"
    BLUE = "b"


strawberry.enum(Colour)


@strawberry.interface
class Shape:
    colour: Colour | None = None

    @strawberry.field
    def name(self) -> str:
        return type(self).__name__


@strawberry.type
class Circle(Shape):
    radius: float = 1.0

    @strawberry.field
    async def area(self) -> float:
        await asyncio.sleep(0)
        return self.radius * 3


@strawberry.type
class Square(Shape):
    side: int = 2

    @strawberry.field
    def inner(self, deep: int = 1) -> list[list[Circle | None]] | None:
        return [[Circle(radius=deep), None], []] if deep else None


class Cube(Square):
    """Python knows it as another class; GraphQL does not know it."""


Any_ = Annotated[Circle | Square, strawberry.union("Any")]


@strawberry.input
class Wish:
    colours: list[Colour] = strawberry.field(default_factory=lambda: [Colour.RED])
    text: strawberry.Maybe[str | None] = None
    more: int | None = strawberry.UNSET


@strawberry.type
class Query:
    @strawberry.field
    def shapes(self) -> list[Shape]:
        return [Circle(colour=Colour.RED), Square()]

    @strawberry.field
    async def unions(self) -> list[Any_]:
        return [Square(), Circle(radius=2)]

    @strawberry.field
    def cube(self) -> Square:
        return Cube()

    @strawberry.field
    def wish(self, of: Wish, also: strawberry.Maybe[int] = None, colour: Colour = Colour.BLUE) -> str:
        return f"{of.colours} {of.text} {of.more} {also} {colour}"

    @strawberry.field
    def given(self, info: strawberry.Info, a: str | None = "default", b: str | None = None) -> str:
        return f"{a} {b} {info.context}"

    @strawberry.field
    def path(self, info: strawberry.Info) -> str:
        return str(info.path.key)

    @strawberry.field
    def number(self, of: float) -> int:
        return of  # type: ignore[return-value]

    @strawberry.field
    def large(self, of: str) -> int:
        return int(of)

    @strawberry.field
    def text(self, of: int) -> str:
        return of  # type: ignore[return-value]

    @strawberry.field
    def shade(self, of: str) -> Colour:
        return of  # type: ignore[return-value]

    @strawberry.field
    def json(self) -> strawberry.scalars.JSON | None:
        return {"a": [1, None, {"b": "é"}]}  # type: ignore[return-value]

    @strawberry.field
    def several(self) -> list[int]:
        return (1, 2)  # type: ignore[return-value]

    @strawberry.field
    def a_set(self) -> list[int]:
        return {1}  # type: ignore[return-value]

    @strawberry.field
    def nothing(self) -> Square:
        return None  # type: ignore[return-value]

    @strawberry.field
    def error(self) -> Square:
        return ValueError("returned, not raised")  # type: ignore[return-value]

    @strawberry.field
    async def fails(self) -> str | None:
        raise RuntimeError("the password is hunter2")

    @strawberry.field(permission_classes=[])
    def free(self) -> str:
        return "free"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def bump(self) -> int:
        return 1


ODD = strawberry.Schema(Query, Mutation, types=[Circle, Square])
WISH = "query($w: Wish!, $n: Int) { wish(of: $w, also: $n) }"


async def answers(query: str, variables: dict[str, Any]) -> tuple[Any, Any, Any]:
    """What a plan alone, the engine with it and graphql-core answer."""
    engine = Engine(ODD, Limits())
    operation = engine.prepare(query)
    assert operation.plans
    await engine.execute(operation, variables, "context", "r")
    planned = await operation.plans.answer(variables, "context")
    answered = await engine.execute(operation, variables, "context", "r")
    plain = Engine(ODD, Limits(), plans=False)
    return planned, answered, await plain.execute(plain.prepare(query), variables, "context", "r")


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ shapes { __typename name colour ... on Circle { area radius } ... on Square { side } } }", {}),
        ("{ unions { ... on Shape { name } ...S t: __typename } } fragment S on Square { inner { area name } }", {}),
        ("{ unions { ... on Square { inner(deep: 0) { name } } } }", {}),
        ("{ b: json a: json several ... { json } ...F ...F } fragment F on Query { unions { __typename } json }", {}),
        ("{ shapes { name } shapes { ... on Square { inner { radius } } } ... { shapes { colour name } } }", {}),
        ("{ given }", {}),
        ("query($a: String, $b: String) { given(a: $a, b: $b) x: given(b: $a) }", {}),
        ("query($a: String, $b: String) { given(a: $a, b: $b) x: given(b: $a) }", {"a": None, "b": "x"}),
        ('query($a: String = "mine", $b: String!) { given(a: $a, b: $b) }', {"b": "x", "c": 1}),
        (WISH, {"w": {}}),
        (WISH, {"w": {"colours": ["BLUE", "RED"], "text": None, "more": None}, "n": 3}),
        ("query($c: Colour!, $t: String) { wish(of: {colours: [$c], text: $t}, colour: $c) }", {"c": "RED"}),
        ("query($n: Boolean!) { a: given @skip(if: $n) json @include(if: $n) }", {"n": True}),
        ("query($n: Boolean = true) { a: given @skip(if: $n) json @include(if: $n) }", {}),
        ("query($n: Float!) { number(of: $n) }", {"n": 3}),
        ('{ large(of: "2147483647") less: large(of: "-2147483648") }', {}),
        ('{ shade(of: "r") free }', {}),
    ],
)
async def test_a_plan_answers(query: str, variables: dict[str, Any]) -> None:
    planned, answered, expected = await answers(query, variables)
    assert encode_json(answered) == encode_json(expected) == encode_json({"data": planned})


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ cube { side inner { name } } }", {}),
        ("{ path }", {}),
        ("{ aSet }", {}),
        ("{ __schema { queryType { name } } }", {}),
        ('{ __type(name: "Query") { name } free }', {}),
        ("{ nothing { side } }", {}),
        ("{ error { __typename } }", {}),
        ("{ free fails unions { __typename } shapes { name } }", {}),
        ("{ number(of: 1.5) }", {}),
        ('{ large(of: "2147483648") }', {}),
        ('{ shade(of: "x") }', {}),
        ("query($n: Float!) { number(of: $n) }", {"n": "x"}),
        ("query($n: Float!) { number(of: $n) }", {}),
        (WISH, {"w": {"colours": ["GREEN"]}}),
        (WISH, {"w": {}, "n": 2**31}),
        ("query($w: Wish = {}) { wish(of: $w) }", {"w": None}),
    ],
)
async def test_what_a_plan_leaves_alone_is_answered_by_graphql_core(query: str, variables: dict[str, Any]) -> None:
    planned, answered, expected = await answers(query, variables)
    assert planned is None
    assert encode_json(answered) == encode_json(expected)


async def test_values_of_other_classes_are_coerced_as_ever() -> None:
    planned, _, expected = await answers("{ text(of: 12) }", {})
    assert {"data": planned} == expected == {"data": {"text": "12"}}


async def test_there_is_a_plan_from_the_second_time_on(monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[str] = []
    monkeypatch.setattr("app.http.engine.execute", lambda *_, **__: executed.append("x") or ExecutionResult({}, None))
    engine = Engine(ODD, Limits())
    for _ in range(3):
        await engine.execute(engine.prepare("{ free }"), {}, None, "r")
    assert executed == ["x"]


async def test_a_query_with_too_many_fields_for_a_plan_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    query = "{ shapes { name colour } }"
    monkeypatch.setattr("app.http.plans.selection.MOST_FIELDS", 5)
    assert (await answers(query, {}))[0]
    monkeypatch.setattr("app.http.plans.selection.MOST_FIELDS", 4)  # it has five: two of each class, and the root's
    planned, answered, expected = await answers(query, {})
    assert planned is None
    assert answered == expected


async def test_every_combination_of_conditions_is_answered_whatever_the_number_of_plans() -> None:
    names = "abcd"
    head = ", ".join(f"${name}: Boolean!" for name in names)
    query = f"query({head}) {{ free {' '.join(f'{one}: free @include(if: ${one})' for one in names)} }}"
    engine = Engine(ODD, Limits())
    for case in product([True, False], repeat=len(names)):
        given = dict(zip(names, case, strict=True))
        answer = await engine.execute(engine.prepare(query), given, None, "r")
        assert list(answer["data"]) == ["free", *(name for name in names if given[name])]


@pytest.mark.parametrize(("query", "plans"), [("mutation { bump }", True), ("{ free }", False)])
def test_mutations_and_an_engine_told_so_have_no_plans(query: str, plans: bool) -> None:  # noqa: FBT001 - the switch
    assert Engine(ODD, Limits(), plans=plans).prepare(query).plans is None
