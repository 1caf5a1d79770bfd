"""GraphQL over Server-Sent Events, one connection per operation (the "distinct connections mode" of graphql-sse)."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import aclosing, suppress

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.http.answer import refused
from app.http.body import encode_json
from app.http.connections import Connections, cancel
from app.http.engine import Engine
from app.http.errors import Refusal
from app.http.peers import Outlet

KEEP_ALIVE = 12.0
"""Seconds between comments that keep proxies from closing a quiet stream."""
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"vary", b"Accept, Authorization"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),
)


class EventStream:
    """An ASGI answer that sends each answer as it comes, and closes the answers when the client leaves.

    `judge` raises Refusal once whoever asked may not go on.
    """

    def __init__(
        self,
        answers: AsyncGenerator[bytes, None],
        engine: Engine,
        connections: Connections,
        judge: Callable[[], Awaitable[object]],
        who: Hashable,
        request_id: str,
    ) -> None:
        self._who = who
        self._answers = answers
        self._engine = engine
        self._connections = connections
        self._may_go_on = judge
        self._request_id = request_id
        self._stopped = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the answers end, the client leaves or the server shuts down."""
        try:
            with self._connections.counting(self._who):
                await self._stream(receive, Outlet(send, scope))
        except Refusal as refusal:
            await refused(refusal)(scope, receive, send)

    async def _stream(self, receive: Receive, send: Outlet) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        with self._connections.holding(self._stopped.set, self._judge):
            tasks = [
                asyncio.create_task(self._deliver(send)),
                asyncio.create_task(_keep_alive(send)),
                asyncio.create_task(send.watch()),
                asyncio.create_task(_client_leaves(receive)),
                asyncio.create_task(self._stopped.wait()),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancel(tasks)
        with suppress(ClientDisconnect):
            await _send_text(send, b"", more=False)

    async def _judge(self) -> None:
        try:
            await self._may_go_on()
        except Refusal:
            self._stopped.set()

    async def _deliver(self, send: Send) -> None:
        try:
            async with aclosing(self._answers) as answers:
                async for answer in answers:
                    await _send_text(send, _next(answer))
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001  the stream has begun: whatever it was is told as its last event
            refusal = self._engine.refusal(error, self._request_id)
            await _send_text(send, _next(encode_json({"errors": refusal.errors})))
        await _send_text(send, b"event: complete\ndata: \n\n")


def _next(answer: bytes) -> bytes:
    return b"event: next\ndata: %b\n\n" % answer


async def _send_text(send: Send, text: bytes, *, more: bool = True) -> None:
    try:
        await send({"type": "http.response.body", "body": text, "more_body": more})
    except OSError as error:
        raise ClientDisconnect from error


async def _keep_alive(send: Send) -> None:
    while True:
        await asyncio.sleep(KEEP_ALIVE)
        await _send_text(send, b":\n\n")


async def _client_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
