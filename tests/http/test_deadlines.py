"""Operations that take too long: a query is ended, a mutation goes on, and whoever asked is told which."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import strawberry
from starlette.applications import Starlette
from starlette.routing import Route

from app.http.engine import Engine
from app.http.graphql import Edge
from app.http.within import within
from app.resolvers.limits import Limits

SECONDS = 0.1


class Work:
    """What the resolvers wait for, and what became of it."""

    who = "anybody"

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.ended = asyncio.Event()
        self.became = ""

    async def do(self) -> str:
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.became = "cancelled"
            raise
        else:
            self.became = "done"
        finally:
            self.ended.set()
        return self.became


@strawberry.type
class Query:
    @strawberry.field
    async def work(self, info: strawberry.Info[Work, None]) -> str:
        return await info.context.do()

    @strawberry.field
    def at_once(self) -> str:
        return "done"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def work(self, info: strawberry.Info[Work, None]) -> str:
        return await info.context.do()


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def edge(work: Work) -> Edge:
    async def make_context(_: Any) -> Work:
        return work

    return Edge(Engine(strawberry.Schema(Query, Mutation), Limits(operation_seconds=SECONDS)), make_context)


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=[Route("/graphql", edge)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
        yield client


async def ask(client: httpx.AsyncClient, query: str, **headers: str) -> httpx.Response:
    return await client.post("/graphql", json={"query": query}, headers=headers)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    (error,) = answer.json()["errors"]
    return answer.status_code, error["extensions"]["code"]


@pytest.mark.parametrize("asked", [1, 2, 3], ids=["by graphql-core", "by a new plan", "by a plan"])
async def test_a_query_that_takes_too_long_is_ended_and_answered_504(
    client: httpx.AsyncClient, work: Work, asked: int
) -> None:
    for _ in range(asked):
        answer = await ask(client, "{ work atOnce }")
        assert refusal(answer) == (504, "OPERATION_TIMEOUT")
        assert "data" not in answer.json()
    assert work.became == "cancelled"


async def test_a_mutation_that_takes_too_long_goes_on_and_the_answer_says_so(
    client: httpx.AsyncClient, work: Work
) -> None:
    answer = await ask(client, "mutation { work }")
    assert refusal(answer) == (504, "OPERATION_TIMEOUT")
    assert "idempotencyKey" in answer.text
    assert work.became == ""
    work.may_end.set()
    await asyncio.wait_for(work.ended.wait(), 10)
    assert work.became == "done"


async def test_a_mutation_is_done_though_whoever_asked_leaves(client: httpx.AsyncClient, work: Work) -> None:
    asking = asyncio.create_task(ask(client, "mutation { work }"))
    await asyncio.sleep(SECONDS / 5)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    work.may_end.set()
    await asyncio.wait_for(work.ended.wait(), 10)
    assert work.became == "done"


async def test_a_server_that_stops_waits_for_mutations_nobody_waits_for(
    client: httpx.AsyncClient, work: Work, edge: Edge
) -> None:
    await ask(client, "mutation { work }")
    asyncio.get_running_loop().call_later(SECONDS, work.may_end.set)
    await edge.finish(10)
    assert work.became == "done"


async def test_a_stream_says_of_a_query_that_it_took_too_long(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "{ work }", accept="text/event-stream")
    assert answer.status_code == 200
    assert "OPERATION_TIMEOUT" in answer.text
    assert answer.text.endswith("event: complete\ndata: \n\n")


async def test_what_is_done_in_time_is_answered(client: httpx.AsyncClient, work: Work) -> None:
    work.may_end.set()
    for query in ("{ work atOnce }", "mutation { work }"):
        assert (await ask(client, query)).json()["data"]["work"] == "done"


async def test_work_that_never_waits_sets_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once() -> str:
        return "done"

    def no_timer(*_: Any) -> None:
        raise AssertionError("a timer was set")

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_at", no_timer)
    assert await within(10, at_once()) == "done"


async def test_what_work_raises_is_raised_before_and_after_it_waits() -> None:
    async def fail(*, waits: bool) -> None:
        if waits:
            await asyncio.sleep(0)
        raise KeyError("lost")

    for waits in (False, True):
        with pytest.raises(KeyError, match="lost"):
            await within(10, fail(waits=waits))
