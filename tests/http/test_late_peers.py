"""Peers that owe a request or the rest of one, and more of them than there is room for."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.http import body, connections, peers
from app.http.connections import cancel
from app.http.peers import HttpProtocol

HEAD = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
QUERY = b'{"query": "{ hello }"}'
WHOLE = HEAD + b"content-length: %d\r\n\r\n%b" % (len(QUERY), QUERY)
SECONDS = 0.4


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "HEAD_SECONDS", SECONDS)
    monkeypatch.setattr(body, "BODY_SECONDS", SECONDS)


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    host, _, port = address.partition("/")[0].partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as made:
        yield made


def until_the_end(made: socket.socket) -> bytes:
    """All that comes before the other side hangs up."""
    found = b""
    with suppress(ConnectionResetError):
        while some := made.recv(65536):
            found += some
    return found


def drip(made: socket.socket, some: bytes, each: float = SECONDS / 8) -> threading.Thread:
    """Send one byte again and again, until the other side hangs up."""

    def send() -> None:
        with suppress(OSError):
            for _ in range(1000):
                made.sendall(some)
                time.sleep(each)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("begun", [b"", HEAD, WHOLE + HEAD], ids=["nothing", "half a head", "half of a second head"])
def test_a_peer_that_does_not_finish_a_head_is_hung_up_on(live: Any, begun: bytes) -> None:
    with connected(live.address) as made:
        started = time.monotonic()
        made.sendall(begun)
        answers = until_the_end(made)
        assert time.monotonic() - started >= SECONDS * 0.9
        assert answers.count(b"HTTP/1.1 200 OK") == begun.count(QUERY)


@pytest.mark.parametrize(
    ("begun", "drop"),
    [(HEAD + b"x: ", b"y"), (b"", b"\r\n"), (WHOLE, b"\r\n")],
    ids=["a header", "empty lines", "empty lines after an answer"],
)
def test_a_peer_that_sends_a_byte_now_and_then_gains_no_time(live: Any, begun: bytes, drop: bytes) -> None:
    with connected(live.address) as made:
        made.sendall(begun)
        dripping = drip(made, drop)
        until_the_end(made)
        made.close()
        dripping.join(10)
        assert not dripping.is_alive()


def test_a_body_that_is_not_here_in_time_is_answered_408(live: Any) -> None:
    with connected(live.address) as made:
        made.sendall(HEAD + b"content-length: 1000\r\n\r\n{")
        dripping = drip(made, b" ")
        answer = until_the_end(made)
        made.close()
        dripping.join(10)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b'"REQUEST_TIMEOUT"' in answer
    assert live.world.contexts == 0


def test_a_peer_that_is_answered_before_it_sent_all_is_not_waited_for(live: Any) -> None:
    with connected(live.address) as made:
        made.sendall(b"PUT /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
        dripping = drip(made, b" ")
        answer = until_the_end(made)
        made.close()
        dripping.join(10)
    assert answer.startswith(b"HTTP/1.1 405")


def test_a_connection_that_asks_again_in_time_is_kept(live: Any) -> None:
    with connected(live.address) as made:
        for _ in range(5):
            made.sendall(WHOLE)
            assert made.recv(65536).startswith(b"HTTP/1.1 200 OK")
            time.sleep(SECONDS / 2)


def test_an_answer_may_take_longer_than_a_request(live: Any) -> None:
    forever = b'{"query": "subscription { forever }"}'
    with connected(live.address) as made:
        made.sendall(HEAD + b"accept: text/event-stream\r\ncontent-length: %d\r\n\r\n%b" % (len(forever), forever))
        assert live.world.began.wait(10)
        made.settimeout(SECONDS * 3)
        with pytest.raises(TimeoutError):
            until_the_end(made)


def test_a_socket_stays_though_its_head_is_long_past(live: Any) -> None:
    with connected(live.address) as made:
        made.sendall(
            b"GET /graphql HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
        )
        assert made.recv(4096).startswith(b"HTTP/1.1 101")
        made.settimeout(SECONDS * 3)
        with pytest.raises(TimeoutError):
            made.recv(4096)


@pytest.mark.parametrize(
    "flood",
    [HEAD + b"x: " + b"y" * 70_000, HEAD + b"x: y\r\n" * 20_000, WHOLE.replace(b"HTTP", b"y" * 70_000)],
    ids=["one header", "many headers", "a target"],
)
def test_a_head_without_an_end_is_answered_431(live: Any, flood: bytes) -> None:
    with connected(live.address) as made:
        with suppress(OSError):
            made.sendall(flood)
        answer = until_the_end(made)
    assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
    assert live.world.contexts == 0


@pytest.mark.parametrize(
    "whole",
    [HEAD + b"x: y\r\n" * 20_000 + b"\r\n", HEAD + b"x: " + b"y" * 70_000 + b"\r\n\r\n"],
    ids=["many headers", "one header"],
)
def test_a_head_that_is_too_large_is_answered_431_though_it_is_all_there(live: Any, whole: bytes) -> None:
    with connected(live.address) as made:
        made.sendall(whole)
        assert until_the_end(made).startswith(b"HTTP/1.1 431")
    assert live.world.contexts == 0


def test_trailers_without_an_end_are_not_kept(live: Any) -> None:
    with connected(live.address) as made:
        with suppress(OSError):
            made.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n")
            for _ in range(100):
                made.sendall(b"x: y\r\n" * 10_000)
        assert b"200 OK" not in until_the_end(made)
    assert live.world.contexts == 0


# ── More than there is room for ──────────────────────────────────────────────────────────────


class Wire(asyncio.Transport):
    """Notes whether it was hung up on."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: Any) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def answers_never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def room_for_two() -> AsyncIterator[Callable[[bytes], Wire]]:
    """Makes peers who send something at once."""
    state = ServerState()
    config = uvicorn.Config(answers_never, log_config=None, lifespan="off", interface="asgi3", limit_concurrency=3)

    def arrive(sent: bytes = b"") -> Wire:
        wire, protocol = Wire(), HttpProtocol(config, state, {})
        protocol.connection_made(wire)
        if sent and not wire.aborted:
            protocol.data_received(sent)
        return wire

    yield arrive
    await asyncio.sleep(0)
    await cancel(state.tasks)


async def test_a_newcomer_takes_the_place_of_one_who_asks_nothing() -> None:
    async with room_for_two() as arrive:
        busy, idle, newcomer = arrive(WHOLE), arrive(b""), arrive(b"")
        assert (busy.aborted, idle.aborted, newcomer.aborted) == (False, True, False)


async def test_a_newcomer_is_hung_up_on_when_everybody_is_being_answered() -> None:
    async with room_for_two() as arrive:
        first, second, newcomer = arrive(WHOLE), arrive(WHOLE), arrive(WHOLE)
        assert (first.aborted, second.aborted, newcomer.aborted) == (False, False, True)


# ── Sockets and streams of one caller ────────────────────────────────────────────────────────

STREAM = {"accept": "text/event-stream"}
FOREVER = {"query": "subscription { forever }"}


@asynccontextmanager
async def socket_of_one(address: str) -> AsyncIterator[ClientConnection]:
    """A socket whose caller has said who they are."""
    protocol: Any = "graphql-transport-ws"
    async with connect(f"ws://{address}", subprotocols=[protocol]) as made:
        await made.send('{"type": "connection_init"}')
        yield made


async def refused_as_too_many(made: ClientConnection) -> str:
    """The reason of the close."""
    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(made.recv(), 10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4429
    return closed.value.rcvd.reason


async def test_one_caller_has_only_so_many_sockets_and_streams(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_OF_ONE", 2)
    url = f"http://{live.address}"
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        socket_of_one(live.address) as first,
        client.stream("POST", url, json=FOREVER, headers=STREAM) as stream,
        socket_of_one(live.address) as third,
    ):
        assert json.loads(await first.recv())["type"] == "connection_ack"
        assert stream.status_code == 200
        assert "2 sockets" in await refused_as_too_many(third)
        refused = await client.post(url, json=FOREVER, headers=STREAM)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
        assert refused.json()["errors"][0]["extensions"]["code"] == "TOO_MANY_SOCKETS"
        live.world.who = "somebody else"
        async with socket_of_one(live.address) as another:
            assert json.loads(await another.recv())["type"] == "connection_ack"


async def test_a_socket_that_was_closed_makes_room(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_OF_ONE", 1)
    for _ in range(3):
        async with socket_of_one(live.address) as made:
            assert json.loads(await made.recv())["type"] == "connection_ack"
        for _ in range(200):
            if not len(live.edge.connections):
                break
            await asyncio.sleep(0.02)


async def test_all_callers_together_have_only_so_many(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 1)
    async with socket_of_one(live.address) as first:
        assert json.loads(await first.recv())["type"] == "connection_ack"
        live.world.who = "somebody else"
        async with socket_of_one(live.address) as second:
            assert "The server has 1" in await refused_as_too_many(second)
