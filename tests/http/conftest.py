"""A toy schema behind the real edge: in the process for HTTP, on a real server for sockets and streams."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Self

import httpx
import pytest
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.http.engine import Engine
from app.http.errors import Code, Refusal
from app.http.graphql import Edge
from app.http.peers import HttpProtocol, SocketProtocol
from app.http.websocket import Grant
from app.resolvers.limits import Limits
from tests.support.codes import check_soon


class ToyError(Exception):
    code = "TOY_BROKEN"


class World:
    """What the tests see of the inside: which subscriptions began and ended, and how often contexts were made."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()
        self.contexts = 0
        self.bumps = 0
        self.flooded = 0
        self.who = "anybody"


@strawberry.interface
class Animal:
    name: str


@strawberry.type
class Dog(Animal):
    barks: bool = True


@strawberry.type
class Cat(Animal):
    purrs: bool = True


Pet = Annotated[Dog | Cat, strawberry.union("Pet")]


@strawberry.input
class Nickname:
    text: strawberry.Maybe[str] = None


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"Hello, {name}!"

    @strawberry.field
    async def later(self) -> str:
        await asyncio.sleep(0)
        return "later"

    @strawberry.field
    def animals(self, first: int = 20) -> list[Animal]:
        return [Dog(name="Rex"), Cat(name="Tom")][:first]

    @strawberry.field
    def pets(self) -> list[Pet]:
        return [Dog(name="Rex"), Cat(name="Tom")]

    @strawberry.field
    def nickname(self, of: Nickname) -> str:
        return repr(of.text)

    @strawberry.field
    def fails(self) -> str | None:
        raise RuntimeError("the password is hunter2")

    @strawberry.field
    def must_not_fail(self) -> str:
        raise RuntimeError("the password is hunter2")

    @strawberry.field
    def refused(self) -> str | None:
        raise ToyError("The toy is broken. Buy another.")

    @strawberry.field
    def surrogate(self) -> str:
        return "\ud83d"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def bump(self, info: strawberry.Info) -> int:
        info.context.bumps += 1
        return int(info.context.bumps)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(1, to + 1):
            yield number

    @strawberry.subscription
    async def forever(self, info: strawberry.Info) -> AsyncGenerator[int, None]:
        world: World = info.context
        world.began.set()
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            world.ended.set()

    @strawberry.subscription
    async def flood(self, info: strawberry.Info, size: int) -> AsyncGenerator[str, None]:
        world: World = info.context
        try:
            while True:
                world.flooded += 1
                yield "x" * size
                await asyncio.sleep(0)
        finally:
            world.ended.set()

    @strawberry.subscription
    async def breaks(self, masked: bool) -> AsyncGenerator[int, None]:  # noqa: FBT001  GraphQL arguments have names
        yield 1
        if masked:
            raise RuntimeError("the password is hunter2")
        raise ToyError("The toy is broken. Buy another.")


TOY = strawberry.Schema(Query, Mutation, Subscription, types=[Dog, Cat])


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def edge(world: World) -> Edge:
    async def make_context(connection: HTTPConnection) -> World:
        if connection.headers.get("authorization") == "wrong":
            raise Refusal(Code.UNAUTHENTICATED, "Sign in first.", headers={"www-authenticate": "Bearer"})
        if connection.headers.get("authorization") == "crash":
            raise RuntimeError("the password is hunter2")
        world.contexts += 1
        return world

    async def authorise(websocket: WebSocket, params: Any) -> Grant | None:
        if params.get("token") == "wrong":
            return None
        if params.get("token") == "crash":
            raise RuntimeError("the password is hunter2")
        return Grant(lambda: make_context(websocket), params.get("seconds"), world.who)

    return Edge(Engine(TOY, Limits(), public=(ToyError,)), make_context, authorise)


@pytest.fixture
def app(edge: Edge) -> Starlette:
    return Starlette(routes=[Route("/graphql", edge), WebSocketRoute("/graphql", edge)])


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://toy", event_hooks={"response": [check_soon]}
    ) as client:
        yield client


class Server:
    """A real server on a port of its own, in a thread with its own event loop, serving whatever `app` is."""

    app: ASGIApp

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}/graphql"
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._serve,
                http=HttpProtocol,
                ws=SocketProtocol,
                log_config=None,
                lifespan="off",
                interface="asgi3",
                ws_per_message_deflate=False,
            )
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._server.serve(sockets=[self._socket]))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()

    def sockets(self) -> int:
        """How many the server has open."""
        return len(self._server.server_state.connections)

    def close_all(self, edge: Edge) -> None:
        asyncio.run_coroutine_threadsafe(edge.close_all(), self._loop).result(timeout=10)


@dataclass
class Live:
    """The toy on the server: where it is, and what the tests may look at."""

    address: str
    edge: Edge
    world: World
    close_all: Callable[[], None]
    sockets: Callable[[], int]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def live(server: Server, app: Starlette, edge: Edge, world: World) -> Iterator[Live]:
    server.app = app
    live = Live(server.address, edge, world, partial(server.close_all, edge), server.sockets)
    yield live
    live.close_all()
