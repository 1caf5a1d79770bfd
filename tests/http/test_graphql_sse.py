"""Subscriptions, and whatever a client prefers that way, as server-sent events."""

import time
from typing import Any

import httpx
import pytest

from app.http import sse

STREAM = {"content-type": "application/json", "accept": "text/event-stream"}
COMPLETE = "event: complete\ndata: \n\n"


async def ask(client: httpx.AsyncClient, query: str, **headers: str) -> httpx.Response:
    return await client.post("/graphql", json={"query": query}, headers={**STREAM, **headers})


async def test_a_subscription_is_a_next_event_for_each_result_and_a_complete_event(client: httpx.AsyncClient) -> None:
    response = await ask(client, "subscription { count(to: 2) }")
    assert response.status_code == 200
    assert response.text == (
        'event: next\ndata: {"data":{"count":1}}\n\nevent: next\ndata: {"data":{"count":2}}\n\n' + COMPLETE
    )


async def test_a_stream_is_neither_cached_nor_buffered_nor_sniffed(client: httpx.AsyncClient) -> None:
    headers = (await ask(client, "subscription { count(to: 1) }")).headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["vary"] == "Accept, Authorization"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("accept", ["text/event-stream, application/json", "application/json, text/event-stream;q=0.1"])
async def test_a_subscription_is_streamed_whenever_the_client_accepts_streams(
    client: httpx.AsyncClient, accept: str
) -> None:
    response = await ask(client, "subscription { count(to: 1) }", accept=accept)
    assert response.text.endswith(COMPLETE)


async def test_a_subscription_may_be_asked_with_get_as_an_event_source_does(client: httpx.AsyncClient) -> None:
    parameters = {"query": "subscription { count(to: 1) }"}
    response = await client.get("/graphql", params=parameters, headers={"accept": "text/event-stream"})
    assert response.text.endswith(COMPLETE)


async def test_a_query_is_one_next_event(client: httpx.AsyncClient) -> None:
    response = await ask(client, "{ hello }")
    assert response.text == 'event: next\ndata: {"data":{"hello":"Hello, world!"}}\n\n' + COMPLETE


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { hello } query B { hello }", "OPERATION_NOT_FOUND"),
        ("subscription($n: Int!) { count(to: $n) }", "BAD_USER_INPUT"),
    ],
)
async def test_a_document_refused_to_a_client_that_reads_only_streams_is_a_next_event(
    client: httpx.AsyncClient, query: str, code: str
) -> None:
    response = await ask(client, query)
    assert response.status_code == 200
    assert response.text.startswith('event: next\ndata: {"errors":[{')
    assert f'"code":"{code}"' in response.text
    assert response.text.endswith(COMPLETE)


async def test_a_body_that_is_no_request_is_a_400_for_a_client_of_streams_too(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", content=b"[]", headers=STREAM)
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")


async def test_a_public_error_of_the_source_is_the_last_event(client: httpx.AsyncClient) -> None:
    response = await ask(client, "subscription { breaks(masked: false) }")
    assert response.text.endswith(
        'data: {"errors":[{"message":"The toy is broken. Buy another.","extensions":{"code":"TOY_BROKEN"}}]}\n\n'
        + COMPLETE
    )


async def test_an_unexpected_error_of_the_source_is_masked(client: httpx.AsyncClient) -> None:
    response = await ask(client, "subscription { breaks(masked: true) }")
    assert '"code":"INTERNAL"' in response.text
    assert "hunter2" not in response.text


async def test_events_arrive_while_the_subscription_runs(live: Any) -> None:
    async with (
        httpx.AsyncClient() as client,
        client.stream(
            "POST", f"http://{live.address}", json={"query": "subscription { forever }"}, headers=STREAM
        ) as r,
    ):
        lines = r.aiter_lines()
        assert [await anext(lines) for _ in range(3)] == ["event: next", 'data: {"data":{"forever":1}}', ""]
        assert not live.world.ended.is_set()


async def test_the_generator_of_a_client_that_left_is_closed(live: Any) -> None:
    async with httpx.AsyncClient() as client:
        query = {"query": "subscription { forever }"}
        async with client.stream("POST", f"http://{live.address}", json=query, headers=STREAM) as response:
            await anext(response.aiter_lines())
    assert live.world.ended.wait(5)


async def test_a_quiet_stream_is_kept_alive_by_comments(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE", 0.05)
    query = {"query": "subscription { forever }"}
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", f"http://{live.address}", json=query, headers=STREAM) as response,
    ):
        lines = response.aiter_lines()
        assert [await anext(lines) for _ in range(5)][3:] == [":", ""]


async def test_a_shutdown_ends_a_stream_without_completing_it(live: Any) -> None:
    query = {"query": "subscription { forever }"}
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", f"http://{live.address}", json=query, headers=STREAM) as response,
    ):
        lines = response.aiter_lines()
        await anext(lines)
        start = time.perf_counter()
        live.close_all()
        rest = [line async for line in lines]
    assert time.perf_counter() - start < 2
    assert "event: complete" not in rest
    assert live.world.ended.is_set()
