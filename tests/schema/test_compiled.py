"""Any query that was compiled is answered as graphql-core answers it, to the byte."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.http.body import encode_json
from app.http.engine import Engine, Result
from app.http.errors import Refusal
from app.registry.errors import RegistryError
from app.resolvers.context import Context
from app.stores.cache.memory import MemoryCache
from tests.support.documents import Document, Writer
from tests.support.domain import ADA, signed_in
from tests.support.served import (
    EXECUTING,
    LEFT,
    LIMITS,
    SCHEMA,
    World,
    clocks_standing_still,
    collecting_after,
    over_the_schema,
)

pytestmark = LEFT
PAGE = '{ project(name: "search/ranker") { branch(name: "main") { artifacts { nodes %s } } } }'
COMPILING = Engine(SCHEMA, LIMITS, public=(RegistryError,))


class Both:
    """Both engines over one world, which is made once: queries change nothing."""

    def __init__(self, runner: asyncio.Runner, world: World) -> None:
        self.runner = runner
        self.world = world
        self.context = Context(world.registry, signed_in(ADA), LIMITS)
        self.asked = 0

    def answers(self, document: Document) -> tuple[Result, Result, Result | None]:
        """What the engine that compiles answers, what the other one does, and the data a plan answers once more."""
        self.asked += 1
        if self.asked % 200 == 0:
            gc.collect()
        return self.runner.run(self._answers(document))

    async def _answers(self, document: Document) -> tuple[Result, Result, Result | None]:
        operation = COMPILING.prepare(document.text)
        assert operation.plans
        operation.plans._again = True  # noqa: SLF001 - as if it had been asked before
        answered = await COMPILING.execute(operation, document.variables, self.context, "request-1")
        again = await operation.plans.answer(document.variables, self.context)  # some of it is kept from before
        expected = await EXECUTING.execute(
            EXECUTING.prepare(document.text), document.variables, self.context, "request-1"
        )
        return answered, expected, again


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with clocks_standing_still(), collecting_after(), asyncio.Runner() as runner:
        world = World(tmp_path_factory.mktemp("objects"), MemoryCache())
        runner.run(world.fill())
        yield Both(runner, world)
        runner.run(world.registry.close())


def compare(both: Both, random: Any, *place: str) -> None:
    document = Writer(random, SCHEMA._schema, both.world.known).document(*place)  # noqa: SLF001 - its one name
    try:
        COMPILING.prepare(document.text)
    except Refusal:
        assume(False)  # noqa: FBT003 - hypothesis has no other word for it
    answered, expected, again = both.answers(document)
    if "errors" in expected:  # which of several errors comes first is up to the clock
        assert ("errors" in answered, answered.get("data"), again) == (True, expected.get("data"), None)
    else:
        assert encode_json(answered) == encode_json({"data": again}) == encode_json(expected)


@over_the_schema(100)
@given(random=st.randoms(use_true_random=False))
def test_any_query_is_answered_as_graphql_core_does(both: Both, random: Any) -> None:
    compare(both, random)


@over_the_schema(100)
@given(random=st.randoms(use_true_random=False))
def test_whatever_is_selected_of_a_page_that_may_be_kept_is_answered_as_graphql_core_does(
    both: Both, random: Any
) -> None:
    compare(both, random, "Artifact", PAGE)


@pytest.mark.slow
@over_the_schema(1500)
@given(random=st.randoms(use_true_random=False))
def test_thousands_of_queries_are_answered_as_graphql_core_does(both: Both, random: Any) -> None:
    compare(both, random)
