"""Peers that read slowly or not at all: what they cost, that they delay nobody, and how they go on."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route, WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect

from app.http import peers
from app.http.engine import Engine
from app.http.graphql import Edge
from app.http.peers import HttpProtocol, SocketProtocol
from app.registry.errors import RegistryError
from app.registry.model import Project
from app.registry.registry import Registry
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.schema.build import build_schema
from app.schema.errors import details
from app.stores.git.memory import MemoryGit
from tests.support.api import eventually
from tests.support.domain import ADA, Desk, signed_in

pytestmark = pytest.mark.slow

PROTOCOL: Any = ["graphql-transport-ws"]
SIZE = 20_000
MOST = 16_000_000
"""Bytes that a peer who never reads may be sent at most; nearly all of them wait in the system's buffers."""
FLOOD = f"subscription {{ flood(size: {SIZE}) }}"


def masked(**message: Any) -> bytes:
    """A frame of a client whose mask changes nothing."""
    text = json.dumps(message).encode()
    assert len(text) < 126
    return b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text


@contextmanager
def by_socket(address: str) -> Iterator[socket.socket]:
    """A WebSocket that is flooded."""
    host, _, port = address.partition("/")[0].partition(":")
    with socket.create_connection((host, int(port))) as made:
        made.sendall(
            f"GET /graphql HTTP/1.1\r\nhost: {host}:{port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-protocol: graphql-transport-ws\r\n\r\n".encode()
        )
        assert made.recv(4096).endswith(b"\r\n\r\n")
        made.sendall(masked(type="connection_init"))
        made.sendall(masked(type="subscribe", id="1", payload={"query": FLOOD}))
        yield made


@contextmanager
def by_stream(address: str) -> Iterator[socket.socket]:
    """A stream of Server-Sent Events that is flooded."""
    host, _, port = address.partition("/")[0].partition(":")
    body = json.dumps({"query": FLOOD}).encode()
    with socket.create_connection((host, int(port))) as made:
        made.sendall(
            f"POST /graphql HTTP/1.1\r\nhost: {host}:{port}\r\naccept: text/event-stream\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        yield made


def ends(made: socket.socket) -> bool:
    """Whether the other side has hung up; what was sent before is still there to be read."""
    made.settimeout(5)
    with suppress(ConnectionResetError):
        while made.recv(1 << 20):
            pass
    return True


Flooded = Callable[[str], Any]
both = pytest.mark.parametrize("flooded", [by_socket, by_stream])


def stands(live: Any) -> bool:
    """Whether the flood has begun, and no more of it is made."""
    before = live.world.flooded
    time.sleep(0.2)
    return before > 0 and live.world.flooded == before


@both
def test_a_peer_that_never_reads_costs_a_bounded_buffer_and_delays_nobody(live: Any, flooded: Flooded) -> None:
    with flooded(live.address):
        eventually(lambda: stands(live), 20)
        assert live.world.flooded * SIZE < MOST
        started = time.monotonic()
        answer = httpx.post(f"http://{live.address}", json={"query": "{ hello }"}, trust_env=False)
        assert answer.json() == {"data": {"hello": "Hello, world!"}}
        assert time.monotonic() - started < 1


@both
def test_a_peer_that_takes_nothing_for_long_is_hung_up_on(
    live: Any, flooded: Flooded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "STALLED_SECONDS", 0.4)
    with flooded(live.address) as made:
        assert live.world.ended.wait(10)
        eventually(lambda: len(live.edge.connections) == 0)
        assert ends(made)


@both
def test_a_peer_that_reads_slowly_is_kept(live: Any, flooded: Flooded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "STALLED_SECONDS", 0.5)
    with flooded(live.address) as made:
        for _ in range(20):
            time.sleep(0.1)
            assert made.recv(1 << 20)
        assert not live.world.ended.is_set()


def test_a_shutdown_does_not_wait_for_a_peer_that_takes_not_even_the_close(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "LINGER_SECONDS", 0.2)
    with by_socket(live.address):
        eventually(lambda: stands(live), 20)
        started = time.monotonic()
        live.close_all()
        assert time.monotonic() - started < 3
        assert live.world.ended.is_set()
        eventually(lambda: live.sockets() == 0)


# ── The registry itself ──────────────────────────────────────────────────────────────────────

EVENTS = """subscription($after: String) { events(after: $after) { cursor node { sequence
  ... on ArtifactEvent { artifactName change { fields { path after } } } } } }"""


@pytest.fixture
async def desk(registry: Registry) -> Desk:
    """A project whose events are kept for a moment only."""
    registry.feed._size = 20  # noqa: SLF001 - so that a few events are too many
    project = await registry.create_project(Project("search/ranker"), "main", ADA)
    git = registry._stores.git  # noqa: SLF001 - what people push goes around the registry
    assert isinstance(git, MemoryGit)
    return Desk(registry, project, git.repository(project.name))


@pytest.fixture
async def address(registry: Registry) -> AsyncIterator[str]:
    """The registry on a real server whose system buffers little."""

    async def make_context(_: HTTPConnection) -> Context:
        return Context(registry, signed_in(ADA), Limits())

    edge = Edge(Engine(build_schema(), Limits(), public=(RegistryError,), details=details), make_context)
    app = Starlette(routes=[Route("/graphql", edge), WebSocketRoute("/graphql", edge)])
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    config = uvicorn.Config(app, http=HttpProtocol, ws=SocketProtocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    await asyncio.sleep(0.1)
    assert server.started
    yield f"127.0.0.1:{listening.getsockname()[1]}/graphql"
    await edge.close_all()
    server.should_exit = True
    await serving
    listening.close()


@asynccontextmanager
async def subscribed(address: str, **variables: Any) -> AsyncIterator[ClientConnection]:
    """A listener who takes in nothing that is not asked for."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    host, _, port = address.partition("/")[0].partition(":")
    made.connect((host, int(port)))
    made.setblocking(False)  # noqa: FBT003 - the library's
    async with connect(
        f"ws://{address}", sock=made, subprotocols=PROTOCOL, compression=None, max_queue=1, close_timeout=0.2
    ) as there:
        await there.send(json.dumps({"type": "connection_init"}))
        assert json.loads(await there.recv()) == {"type": "connection_ack"}
        payload = {"query": EVENTS, "variables": variables}
        await there.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        await asyncio.sleep(0.1)
        yield there


async def names(there: ClientConnection, count: int) -> tuple[list[str], dict[str, Any]]:
    """The artifacts of up to `count` events, and the last message."""
    found: list[str] = []
    while len(found) < count:
        message = json.loads(await asyncio.wait_for(there.recv(), 5))
        if message["type"] != "next":
            return found, message
        found.append(message["payload"]["data"]["events"]["node"]["artifactName"])
    return found, message


async def test_a_listener_that_falls_behind_is_cut_off_and_goes_on_from_the_cursor_it_is_told(
    desk: Desk, address: str
) -> None:
    everything = [f"entry-{number:02}" for number in range(60)]
    async with subscribed(address) as slow, subscribed(address) as healthy:
        for name in everything:
            await desk.put(name, notes="x" * SIZE)
            assert (await names(healthy, 1))[0] == [name]
        heard, last = await names(slow, 100)
    (error,) = last["payload"]
    assert (last["type"], error["extensions"]["code"]) == ("error", "TOO_SLOW")
    assert "Subscribe again" in error["message"]
    assert 0 < len(heard) < 40
    async with subscribed(address, after=error["extensions"]["cursor"]) as resumed:
        rest, _ = await names(resumed, len(everything) - len(heard))
    assert heard + rest == everything


async def test_a_stream_that_falls_behind_ends_with_the_cursor_to_go_on_from(desk: Desk, address: str) -> None:
    body, accept = {"query": EVENTS}, {"accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", f"http://{address}", json=body, headers=accept) as response,
    ):
        await asyncio.sleep(0.1)
        for number in range(50):
            await desk.put(f"entry-{number:03}", notes="x" * SIZE)
        lines = [line for line in (await response.aread()).decode().split("\n") if line.startswith("data: {")]
    (error,) = json.loads(lines[-1].removeprefix("data: "))["errors"]
    assert error["extensions"]["code"] == "TOO_SLOW"
    heard = len(lines) - 1
    async with subscribed(address, after=error["extensions"]["cursor"]) as resumed:
        assert (await names(resumed, 1))[0] == [f"entry-{heard:03}"]
