"""The `graphql-transport-ws` protocol on a real server: what is answered, what closes a socket, and with which code."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from app.http import websocket as edge_websocket
from app.http.graphql import Edge
from tests.support.codes import loads

PROTOCOL = "graphql-transport-ws"


@asynccontextmanager
async def opened(live: Any, *, subprotocol: str | None = PROTOCOL) -> AsyncIterator[ClientConnection]:
    subprotocols: Any = [subprotocol] if subprotocol else None
    async with connect(f"ws://{live.address}", subprotocols=subprotocols, compression=None) as socket:
        yield socket


@asynccontextmanager
async def ready(live: Any, **params: Any) -> AsyncIterator[ClientConnection]:
    async with opened(live) as socket:
        await tell(socket, type="connection_init", payload=params)
        assert await hear(socket) == {"type": "connection_ack"}
        yield socket


async def tell(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> Any:
    return loads(str(await asyncio.wait_for(socket.recv(), 5)))


async def subscribe(socket: ClientConnection, query: str, operation_id: str = "1", **members: Any) -> None:
    await tell(socket, type="subscribe", id=operation_id, payload={"query": query, **members})


async def close_code(socket: ClientConnection) -> int:
    await asyncio.wait_for(socket.wait_closed(), 5)
    assert socket.close_code is not None
    return socket.close_code


# ── Answers ──────────────────────────────────────────────────────────────────────────────────


async def test_a_subscription_is_a_next_for_each_result_and_a_complete(live: Any) -> None:
    async with ready(live) as socket:
        await subscribe(socket, "subscription($n: Int!) { count(to: $n) }", variables={"n": 2})
        assert [await hear(socket) for _ in range(3)] == [
            {"id": "1", "type": "next", "payload": {"data": {"count": 1}}},
            {"id": "1", "type": "next", "payload": {"data": {"count": 2}}},
            {"id": "1", "type": "complete"},
        ]


async def test_queries_and_mutations_are_one_next_and_a_complete(live: Any) -> None:
    async with ready(live) as socket:
        for query, data in (("{ later }", {"later": "later"}), ("mutation { bump }", {"bump": 1})):
            await subscribe(socket, query)
            assert await hear(socket) == {"id": "1", "type": "next", "payload": {"data": data}}
            assert await hear(socket) == {"id": "1", "type": "complete"}


async def test_each_operation_gets_a_context_of_its_own(live: Any) -> None:
    async with ready(live) as socket:
        for operation_id in "123":
            await subscribe(socket, "{ hello }", operation_id)
            await hear(socket)
            await hear(socket)
    assert live.world.contexts == 3


async def test_a_ping_is_answered_with_its_payload_even_before_the_ack(live: Any) -> None:
    async with opened(live) as socket:
        await tell(socket, type="ping")
        assert await hear(socket) == {"type": "pong"}
        await tell(socket, type="ping", payload={"at": 1})
        assert await hear(socket) == {"type": "pong", "payload": {"at": 1}}
        await tell(socket, type="pong")
        await tell(socket, type="connection_init")
        assert await hear(socket) == {"type": "connection_ack"}


async def test_a_message_in_many_parts_with_pings_between_is_read_as_one(live: Any) -> None:
    async def parts() -> AsyncIterator[str]:
        for letter in '{"type": "ping", "payload": {"n": 1}}':
            yield letter
            await (await socket.ping())

    async with ready(live) as socket:
        await socket.send(parts())
        assert await hear(socket) == {"type": "pong", "payload": {"n": 1}}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { hello } query B { hello }", "OPERATION_NOT_FOUND"),
        ("query($n: String!) { hello(name: $n) }", "BAD_USER_INPUT"),
        ("subscription($n: Int!) { count(to: $n) }", "BAD_USER_INPUT"),
    ],
)
async def test_a_refused_operation_is_an_error_for_its_id_and_leaves_the_others_alone(
    live: Any, query: str, code: str
) -> None:
    async with ready(live) as socket:
        await subscribe(socket, "subscription { forever }", "lasting")
        assert (await hear(socket))["type"] == "next"
        await subscribe(socket, query, "broken")
        message = await hear(socket)
        assert (message["id"], message["type"]) == ("broken", "error")
        assert message["payload"][0]["extensions"]["code"] == code
        await subscribe(socket, "{ hello }", "broken")
        assert (await hear(socket))["type"] == "next"
        assert not live.world.ended.is_set()


async def test_an_error_of_the_source_ends_its_operation_with_an_error(
    live: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with ready(live) as socket:
        await subscribe(socket, "subscription { breaks(masked: false) }")
        assert (await hear(socket))["type"] == "next"
        assert (await hear(socket))["payload"][0]["extensions"] == {"code": "TOY_BROKEN"}
        with caplog.at_level(logging.ERROR, "ml_registry"):
            await subscribe(socket, "subscription { breaks(masked: true) }")
            assert (await hear(socket))["type"] == "next"
            message = await hear(socket)
        assert message["payload"][0]["extensions"]["code"] == "INTERNAL"
        assert "hunter2" not in json.dumps(message)
        assert len(caplog.records) == 1


async def test_half_a_surrogate_pair_is_escaped(live: Any) -> None:
    async with ready(live) as socket:
        await subscribe(socket, "{ surrogate }")
        assert (await hear(socket))["payload"] == {"data": {"surrogate": "\ud83d"}}


# ── Ends ─────────────────────────────────────────────────────────────────────────────────────


async def test_complete_from_the_client_closes_the_generator_and_frees_the_id(live: Any) -> None:
    async with ready(live) as socket:
        await subscribe(socket, "subscription { forever }")
        await hear(socket)
        await tell(socket, type="complete", id="1")
        await subscribe(socket, "{ hello }")
        assert (await hear(socket))["payload"] == {"data": {"hello": "Hello, world!"}}
        assert await asyncio.to_thread(live.world.ended.wait, 5)


async def test_complete_for_an_id_nobody_knows_is_ignored(live: Any) -> None:
    async with ready(live) as socket:
        await tell(socket, type="complete", id="gone")
        await tell(socket, type="ping")
        assert await hear(socket) == {"type": "pong"}


async def test_the_generators_of_a_client_that_left_are_closed(live: Any) -> None:
    async with ready(live) as socket:
        await subscribe(socket, "subscription { forever }")
        await hear(socket)
    assert await asyncio.to_thread(live.world.ended.wait, 5)


async def test_a_client_that_vanishes_is_no_error(live: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with ready(live) as socket:
        for number in range(20):
            await subscribe(socket, "subscription { count(to: 2000) }", str(number))
        await hear(socket)
        socket.transport.abort()
    async with ready(live) as socket:
        await subscribe(socket, "{ hello }")
        assert (await hear(socket))["type"] == "next"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_shutdown_closes_sockets_with_1001_and_their_generators(live: Any) -> None:
    async with ready(live) as socket:
        await subscribe(socket, "subscription { forever }")
        await hear(socket)
        await asyncio.to_thread(live.close_all)
        assert await close_code(socket) == 1001
        assert live.world.ended.is_set()
        assert len(live.edge.connections) == 0


# ── Refusals that close the socket ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "null",
        "[]",
        "7",
        '"ping"',
        "{}",
        '{"type": null}',
        '{"type": 7}',
        '{"type": ["ping"]}',
        '{"type": "start", "id": "1"}',
        '{"type": "connection_ack"}',
        '{"type": "next", "id": "1"}',
        '{"type": "ping", "payload": []}',
        '{"type": "pong", "payload": 1}',
        '{"type": "connection_init", "payload": "token"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": null, "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": null}',
        '{"type": "subscribe", "id": "1", "payload": []}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "variables": []}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "operationName": 1}}',
        '{"type": "complete"}',
        '{"type": "complete", "id": 1}',
        f'{{"type": "subscribe", "id": "{"x" * 1_000_000}", "payload": {{"query": "{{ hello }}"}}}}',
        '{"type": "ping", "type": "pong"}',
        '{"type": "subscribe", "id": "1", "id": "2", "payload": {"query": "{ hello }"}}',
        '{"type": "ping", "payload": {"at": NaN}}',
        "[" * 100_000,
        '{"a":' * 100_000,
        b'{"type": "ping"}',
        b"\xff",
    ],
    ids=lambda message: repr(message[:60]),
)
async def test_a_message_the_protocol_does_not_know_closes_with_4400(live: Any, message: str | bytes) -> None:
    async with ready(live) as socket:
        await socket.send(message)
        assert await close_code(socket) == 4400


async def test_subscribing_before_the_ack_closes_with_4401(live: Any) -> None:
    async with opened(live) as socket:
        await subscribe(socket, "{ hello }")
        assert await close_code(socket) == 4401


async def test_a_payload_the_server_refuses_closes_with_4403(live: Any) -> None:
    async with opened(live) as socket:
        await tell(socket, type="connection_init", payload={"token": "wrong"})
        assert await close_code(socket) == 4403


async def test_credentials_that_expire_close_with_4403(live: Any) -> None:
    async with ready(live, seconds=0.05) as socket:
        await subscribe(socket, "subscription { forever }")
        assert await close_code(socket) == 4403
        assert live.world.ended.is_set()


async def test_a_failure_while_authorising_closes_with_1011_and_tells_nothing(live: Any) -> None:
    async with opened(live) as socket:
        await tell(socket, type="connection_init", payload={"token": "crash"})
        assert await close_code(socket) == 1011
        assert socket.close_reason
        assert "hunter2" not in socket.close_reason


@pytest.mark.parametrize("subprotocol", [None, "graphql-ws", "other"])
async def test_another_subprotocol_closes_with_4406(live: Any, subprotocol: str | None) -> None:
    async with connect(f"ws://{live.address}", additional_headers=_protocols(subprotocol)) as socket:
        assert await close_code(socket) == 4406


async def test_what_is_said_in_another_subprotocol_is_not_read(edge: Edge) -> None:
    init = {"type": "websocket.receive", "text": '{"type": "connection_init"}'}
    coming, sent = iter([{"type": "websocket.connect"}, init]), []

    async def receive() -> Any:
        return next(coming)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/graphql", "headers": [], "subprotocols": ["graphql-ws"]}
    await edge(scope, receive, send)
    assert sent == ["websocket.accept", "websocket.close"]
    assert next(coming) == init


def _protocols(subprotocol: str | None) -> dict[str, str]:
    return {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else {}


async def test_a_socket_that_never_initialises_closes_with_4408(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_websocket, "INIT_SECONDS", 0.05)
    async with opened(live) as socket:
        assert await close_code(socket) == 4408


async def test_an_id_that_is_in_use_closes_with_4409(live: Any) -> None:
    async with ready(live) as socket:
        await subscribe(socket, "subscription { forever }")
        await subscribe(socket, "subscription { forever }")
        assert await close_code(socket) == 4409
    assert live.world.ended.is_set()


async def test_a_long_id_in_use_still_fits_the_close_frame(live: Any) -> None:
    async with ready(live) as socket:
        await subscribe(socket, "subscription { forever }", "ä" * 500)
        await subscribe(socket, "subscription { forever }", "ä" * 500)
        assert await close_code(socket) == 4409


async def test_a_second_init_closes_with_4429(live: Any) -> None:
    async with ready(live) as socket:
        await tell(socket, type="connection_init")
        assert await close_code(socket) == 4429


async def test_a_message_that_is_too_large_closes_with_1009(live: Any) -> None:
    async with ready(live) as socket:
        await socket.send(" " * (1024 * 1024 + 1))
        assert await close_code(socket) == 1009


async def test_an_operation_too_many_is_an_error_for_its_id(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_websocket, "MAX_OPERATIONS", 2)
    async with ready(live) as socket:
        for operation_id in "12":
            await subscribe(socket, "subscription { forever }", operation_id)
            await hear(socket)
        await subscribe(socket, "{ hello }", "3")
        message = await hear(socket)
        assert (message["id"], message["type"]) == ("3", "error")
        assert message["payload"][0]["extensions"]["code"] == "TOO_MANY_OPERATIONS"
