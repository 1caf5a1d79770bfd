"""Answers to events: made once for all who asked alike, and byte for byte what each would get alone."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
import strawberry
from graphql import parse, subscribe
from hypothesis import given, settings
from hypothesis import strategies as st

from app.http import broadcast
from app.http.body import encode_json
from app.http.broadcast import Answers, shape, shaping
from app.http.engine import Engine
from app.resolvers.limits import Limits

# ── Kept and shared ──────────────────────────────────────────────────────────────────────────


class Maker:
    """Makes answers, and counts them."""

    def __init__(self, answer: bytes = b"made") -> None:
        self.made = 0
        self.go = asyncio.Event()
        self._answer = answer

    def now(self) -> bytes:
        self.made += 1
        return self._answer

    async def later(self) -> bytes:
        self.made += 1
        await self.go.wait()
        return self._answer

    async def fail(self) -> bytes:
        self.made += 1
        await self.go.wait()
        raise ValueError


async def test_an_answer_is_made_once_for_an_audience_and_an_event() -> None:
    answers, maker = Answers(), Maker()
    one, same, other = (answers.audience(asked) for asked in ("a", "a", "b"))
    for audience, event, made in ((one, 1, 1), (same, 1, 1), (one, 2, 2), (other, 1, 3), (other, 1, 3)):
        assert await answers.to(audience, event, maker.now) == b"made"
        assert maker.made == made


async def test_an_answer_that_takes_time_is_waited_for_by_all_and_whoever_leaves_ends_it_for_nobody() -> None:
    answers, maker = Answers(), Maker()
    audience = answers.audience("a")
    first, *others = [asyncio.create_task(answers.to(audience, 1, maker.later)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    maker.go.set()
    assert await asyncio.gather(*others) == [b"made"] * 4
    assert maker.made == 1


async def test_what_cannot_be_made_fails_for_all_and_is_tried_again() -> None:
    answers, maker = Answers(), Maker()
    audience = answers.audience("a")
    asked = [asyncio.create_task(answers.to(audience, 1, maker.fail)) for _ in range(3)]
    await asyncio.sleep(0)
    maker.go.set()
    assert [type(one) for one in await asyncio.gather(*asked, return_exceptions=True)] == [ValueError] * 3
    assert await answers.to(audience, 1, maker.now) == b"made"


async def test_an_answer_is_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "KEPT_SECONDS", 0.02)
    answers, maker = Answers(), Maker()
    audience = answers.audience("a")
    await answers.to(audience, 1, maker.now)
    await asyncio.sleep(0.05)
    await answers.to(audience, 1, maker.now)
    assert maker.made == 2


async def test_the_oldest_answers_make_room() -> None:
    answers, maker = Answers(room=10), Maker()
    audience = answers.audience("a")
    for event in (1, 2, 3):
        await answers.to(audience, event, maker.now)
    assert maker.made == 3
    await answers.to(audience, 3, maker.now)
    await answers.to(audience, 2, maker.now)
    assert maker.made == 3
    await answers.to(audience, 1, maker.now)
    assert maker.made == 4
    assert await answers.to(audience, 4, Maker(b"too large to keep").now) == b"too large to keep"


async def test_a_subscription_that_ended_leaves_no_audience_behind() -> None:
    answers = Answers()
    audience = answers.audience("a")
    assert answers.audience("a") is audience
    del audience
    assert not answers._audiences  # noqa: SLF001 - what nobody holds


# ── What shapes an answer ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ("subscription($a: Int) { ticks(to: $a) { number } }", set()),
        ("subscription($a: Int, $b: Int) { ticks(to: $a) { echo(value: $b) } }", {"b"}),
        ("subscription($a: Int) { ticks(to: $a) { echo(value: $a) } }", {"a"}),
        ("subscription($a: Boolean!) { ticks(to: 1) { number @include(if: $a) } }", {"a"}),
        ("subscription($a: Boolean!) { ticks(to: 1) { ... @skip(if: $a) { number } } }", {"a"}),
        ("subscription($a: Int) { ...F } fragment F on Subscription { ticks(to: $a) { number } }", set()),
        ("subscription($a: Int) { ...F } fragment F on Subscription { ticks(to: 1) { echo(value: $a) } }", {"a"}),
        ("subscription($a: Int) { ticks(to: 1) { ...F } } fragment F on Tick { echo(value: $a) }", {"a"}),
        ("subscription($a: Int) { ... { one: ticks(to: $a) { inside(of: {list: [$a]}) } } }", {"a"}),
        ("subscription($a: Int = 3) { ticks(to: 1) { number } }", set()),
    ],
)
def test_the_arguments_of_the_subscription_s_own_field_shape_no_answer(document: str, names: set[str]) -> None:
    assert shaping(parse(document), "Subscription") == names


def test_values_are_equal_as_json_is() -> None:
    names = frozenset("ab")
    assert shape(names, {"a": {"x": 1, "y": 2}, "c": 5}) == shape(names, {"a": {"y": 2, "x": 1}, "c": 6})
    texts = [shape(names, given) for given in ({"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a": None}, {})]
    assert len(set(texts)) == len(texts)


# ── Together as alone ────────────────────────────────────────────────────────────────────────


class OddError(Exception):
    code = "ODD"


@strawberry.interface
class Thing:
    number: int


@strawberry.type
class Tick(Thing):
    def __hash__(self) -> int:
        return self.number

    @strawberry.field
    def even(self, info: strawberry.Info) -> int | None:
        info.context.executed += 1
        if self.number % 2:
            raise OddError(f"{self.number} is odd. Take another.")
        return self.number

    @strawberry.field
    def surely_even(self) -> int:
        if self.number % 2:
            raise OddError(f"{self.number} is odd. Take another.")
        return self.number

    @strawberry.field
    async def later(self) -> int:
        await asyncio.sleep(0)
        return self.number

    @strawberry.field
    def echo(self, value: int | None = 7) -> int | None:
        return value


@strawberry.type
class Query:
    nothing: int = 0


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self, info: strawberry.Info, to: int = 4, every: int = 1) -> AsyncGenerator[Tick, None]:
        for number in range(0, to, every):
            await info.context.beat(number)
            yield Tick(number=number)

    @strawberry.subscription
    async def things(self, info: strawberry.Info) -> AsyncGenerator[Thing, None]:
        for number in range(3):
            await info.context.beat(number)
            yield Tick(number=number)


SCHEMA = strawberry.Schema(Query, subscription=Subscription, types=[Tick])


class Beats:
    """A context that lets everybody's events come at the same time, and counts what is executed."""

    def __init__(self) -> None:
        self.executed = 0

    async def beat(self, number: int) -> None:
        await asyncio.sleep(number / 1000)


DOCUMENTS = [
    "subscription($to: Int!, $every: Int! = 1) { ticks(to: $to, every: $every) { number even echo } }",
    "subscription($to: Int!, $x: Int) { t: ticks(to: $to) { __typename later n: number echo(value: $x) } }",
    "subscription($show: Boolean!) { ticks { number @include(if: $show) ...F } } fragment F on Tick { later }",
    "subscription { ticks { surelyEven } }",
    "subscription { ticks(to: 3) { number } ticks(to: 3) { even } }",
    "subscription($x: Int) { ...R } fragment R on Subscription { things { ... on Tick { even echo(value: $x) } } }",
]
VARIABLES = st.fixed_dictionaries(
    {"to": st.integers(0, 5), "every": st.integers(1, 2), "show": st.booleans()},
    optional={"x": st.none() | st.integers(0, 1)},
)


def used(document: str, variables: dict[str, Any]) -> dict[str, Any]:
    """The variables a document knows."""
    return {name: value for name, value in variables.items() if f"${name}:" in document}


async def stream(engine: Engine, context: Beats, document: str, variables: dict[str, Any]) -> list[bytes]:
    """Every answer of one subscription."""
    operation = engine.prepare(document)
    async with aclosing(engine.stream(operation, used(document, variables), context, "request")) as answers:
        return [answer async for answer in answers]


def engine() -> Engine:
    return Engine(SCHEMA, Limits(), public=(OddError,))


@settings(max_examples=40, deadline=None)  # (it sleeps to let everybody's events come at the same time)
@given(st.lists(st.tuples(st.sampled_from(DOCUMENTS), VARIABLES), min_size=2, max_size=12))
def test_everybody_gets_together_what_each_gets_alone(asked: list[tuple[str, dict[str, Any]]]) -> None:
    async def compare() -> None:
        shared, context = engine(), Beats()
        together = await asyncio.gather(*(stream(shared, context, *one) for one in asked))
        alone = [await stream(engine(), Beats(), *one) for one in asked]
        assert together == alone

    asyncio.run(compare())


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_an_answer_is_what_graphql_itself_makes_of_it(document: str) -> None:
    variables = used(document, {"to": 4, "every": 1, "show": True, "x": 5})
    stock = subscribe(SCHEMA._schema, parse(document), context_value=Beats(), variable_values=variables)  # noqa: SLF001
    expected = [result async for result in await maybe(stock)]
    answers = [json.loads(answer) for answer in await stream(engine(), Beats(), document, variables)]
    assert [answer["data"] for answer in answers] == [result.data for result in expected]
    assert [errors(answer) for answer in answers] == [
        [(error.message, error.path) for error in result.errors or ()] for result in expected
    ]


async def maybe(value: Any) -> Any:
    return await value if asyncio.iscoroutine(value) else value


def errors(answer: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    assert all(error["extensions"] == {"code": "ODD"} for error in answer.get("errors", ()))
    return [(error["message"], error["path"]) for error in answer.get("errors", ())]


def executions(asked: list[tuple[str, dict[str, Any]]]) -> int:
    """How often something was executed for subscribers who listen together."""

    async def listen() -> int:
        shared, context = engine(), Beats()
        await asyncio.gather(*(stream(shared, context, *one) for one in asked))
        return context.executed

    return asyncio.run(listen())


FIRST, LAST = DOCUMENTS[0], DOCUMENTS[-1]


@pytest.mark.parametrize(
    ("asked", "executed"),
    [
        pytest.param([(FIRST, {"to": 4})] * 20, 4, id="the same document and variables"),
        pytest.param([(FIRST, {"to": to}) for to in (2, 3, 4)], 4, id="other arguments of the subscription"),
        pytest.param([(FIRST, {"to": 4}), (FIRST + " ", {"to": 4})], 8, id="another document"),
        pytest.param([(LAST, {"x": 1}), (LAST, {"x": 1}), (LAST, {"x": 2}), (LAST, {})], 9, id="another selection"),
    ],
)
def test_an_event_is_executed_once_for_all_who_selected_the_same(
    asked: list[tuple[str, dict[str, Any]]], executed: int
) -> None:
    assert executions(asked) == executed


async def test_callers_that_are_not_the_same_share_nothing() -> None:
    shared, one, two = engine(), Beats(), Beats()
    await asyncio.gather(*(stream(shared, context, DOCUMENTS[0], {"to": 4}) for context in (one, one, two)))
    assert (one.executed, two.executed) == (4, 4)


def test_answers_are_encoded_as_every_answer_is() -> None:
    (answer,) = asyncio.run(stream(engine(), Beats(), DOCUMENTS[0], {"to": 1}))
    assert answer == encode_json({"data": {"ticks": {"number": 0, "even": 0, "echo": 7}}})
