"""Documents named by their sha-256, the way Apollo clients do it: the digest alone first, then the document with it."""

import asyncio
import hashlib
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from app.http.body import GraphQLRequest
from app.http.engine import Engine
from app.http.errors import Refusal
from app.http.persisted import PersistedDocuments
from app.resolvers.limits import Limits
from tests.http.conftest import TOY

QUERY = "query($n: String!) { hello(name: $n) }"
JSON = {"content-type": "application/json"}


def digest_of(query: str) -> str:
    return hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()


def persisted(digest: Any, version: Any = 1) -> dict[str, Any]:
    return {"persistedQuery": {"version": version, "sha256Hash": digest}}


async def post(client: httpx.AsyncClient, **members: Any) -> httpx.Response:
    return await client.post("/graphql", content=json.dumps(members), headers=JSON)


async def get(client: httpx.AsyncClient, **members: Any) -> httpx.Response:
    parameters = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in members.items()}
    return await client.get("/graphql", params=parameters)


@pytest.mark.parametrize("send", [post, get])
async def test_a_document_is_asked_for_once_and_then_runs_by_its_digest(client: httpx.AsyncClient, send: Any) -> None:
    asked = {"variables": {"n": "Ada"}, "extensions": persisted(digest_of(QUERY))}
    unknown = await send(client, **asked)
    assert unknown.status_code == 200
    assert unknown.headers["cache-control"] == "no-store"
    assert unknown.json() == {
        "errors": [{"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}]
    }
    assert (await send(client, query=QUERY, **asked)).json() == {"data": {"hello": "Hello, Ada!"}}
    assert (await send(client, **{**asked, "variables": {"n": "Bo"}})).json() == {"data": {"hello": "Hello, Bo!"}}


async def test_a_document_taught_with_post_is_known_to_get(client: httpx.AsyncClient) -> None:
    extensions = persisted(digest_of("{ hello }"))
    await post(client, query="{ hello }", extensions=extensions)
    assert (await get(client, extensions=extensions)).json() == {"data": {"hello": "Hello, world!"}}


async def test_the_operation_of_a_persisted_document_is_chosen_by_name(client: httpx.AsyncClient) -> None:
    query = "query A { hello } query B { later }"
    extensions = persisted(digest_of(query))
    for members in ({"query": query}, {}):
        answer = await post(client, operationName="B", extensions=extensions, **members)
        assert answer.json() == {"data": {"later": "later"}}


async def test_a_persisted_mutation_is_still_refused_to_get(client: httpx.AsyncClient, world: Any) -> None:
    extensions = persisted(digest_of("mutation { bump }"))
    await post(client, query="mutation { bump }", extensions=extensions)
    assert (await get(client, extensions=extensions)).status_code == 405
    assert world.bumps == 1


@pytest.mark.parametrize("query", ["{ hello }", '{ hello(name: "\ud800") }'])
async def test_a_digest_of_another_document_is_a_400_and_nothing_is_remembered(
    client: httpx.AsyncClient, query: str
) -> None:
    extensions = persisted(digest_of("{ later }"))
    answer = await post(client, query=query, extensions=extensions)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")
    assert "data" not in (await post(client, extensions=extensions)).json()


@pytest.mark.parametrize("query", ["{", "{ nothing }", '{ hello(name: "\ud800") }'])
async def test_a_document_that_is_not_valid_is_not_remembered(client: httpx.AsyncClient, query: str) -> None:
    extensions = persisted(digest_of(query))
    assert (await post(client, query=query, extensions=extensions)).status_code in {400, 422}
    answer = await post(client, extensions=extensions)
    assert answer.json()["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize(
    "extension",
    [
        1,
        "x",
        [],
        {},
        {"version": 1},
        {"version": 2, "sha256Hash": "0" * 64},
        {"sha256Hash": "0" * 64},
        {"version": 1, "sha256Hash": "0" * 63},
        {"version": 1, "sha256Hash": "A" * 64},
        {"version": 1, "sha256Hash": 7},
    ],
    ids=str,
)
async def test_an_extension_that_is_no_digest_is_a_400(client: httpx.AsyncClient, extension: Any) -> None:
    for members in ({"query": "{ hello }"}, {}):
        answer = await post(client, extensions={"persistedQuery": extension}, **members)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")


async def test_a_socket_speaks_of_the_same_documents(live: Any) -> None:
    query = "subscription { count(to: 1) }"
    extensions = persisted(digest_of(query))
    async with connect(f"ws://{live.address}", subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        await socket.send('{"type": "connection_init"}')
        await socket.recv()
        told: list[Any] = []
        for number, members in enumerate(({}, {"query": query}, {})):
            payload = {"extensions": extensions, **members}
            await socket.send(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}))
            while not told or told[-1]["type"] == "next" or told[-1]["id"] != str(number):
                told.append(json.loads(await asyncio.wait_for(socket.recv(), 5)))
    assert [(one["id"], one["type"]) for one in told] == [
        ("0", "error"),
        ("1", "next"),
        ("1", "complete"),
        ("2", "next"),
        ("2", "complete"),
    ]
    assert told[0]["payload"][0]["message"] == "PersistedQueryNotFound"


def test_no_more_than_the_room_is_remembered_and_what_is_asked_for_stays_longest() -> None:
    queries = [f"{{ {name}: hello }}" for name in "abc"]
    documents = PersistedDocuments(Engine(TOY, Limits()).prepare, room=len(queries[0]) * 2)

    def ask(number: int, query: str | None = None) -> bool:
        try:
            documents.prepare(GraphQLRequest(query, None, {}, digest_of(queries[number])))
        except Refusal:
            return False
        return True

    ask(0, queries[0])
    ask(1, queries[1])
    ask(1, queries[1])
    assert ask(0)
    ask(2, queries[2])
    assert [ask(number) for number in range(3)] == [True, False, True]
