"""GraphQL over WebSocket: the `graphql-transport-ws` protocol, and no other.

A message the protocol does not know ends the socket with a code of its 44xx; a fault of one operation is an `error`
message for that operation and leaves the others alone.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass
from typing import Any, Never, TypeAlias

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.http.body import MAX_BODY, GraphQLRequest, decode_json, encode_json, parse_request
from app.http.connections import Connections, cancel
from app.http.engine import Engine
from app.http.errors import Code, Refusal
from app.http.headers import id_of
from app.http.peers import Outlet
from app.http.persisted import PersistedDocuments
from app.http.record import Record
from app.registry.trail import Trail, current
from app.resolvers.limits import LIMITS

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0
CLOSE_SECONDS = 1.0
MAX_OPERATIONS = LIMITS.socket_operations
"""Operations one socket may have running at a time."""
MAX_ID = 1024
"""Characters of an operation's id: it comes back with everything the operation answers."""
MAX_REASON = 123
"""Bytes of the reason a close frame has room for."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What `connection_init` earned: how to make the context of each operation, for how many seconds (None: any).

    Sockets are counted together that are equal in `who`.
    """

    make_context: Callable[[], Awaitable[Any]]
    expires_in: float | None = None
    who: Hashable = None


Authorise: TypeAlias = Callable[[WebSocket, Mapping[str, Any]], Awaitable[Grant | None]]
"""Judges the payload of `connection_init`; None refuses the socket with 4403."""


class _Close(Exception):  # noqa: N818  the end of a conversation, not always a fault
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Session:
    """The conversation on one socket, from its acceptance to its close.

    What waits for a slow peer is one message of each operation, and what the server itself buffers.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        engine: Engine,
        documents: PersistedDocuments,
        authorise: Authorise,
        record: Record,
    ) -> None:
        self._counted = ExitStack()
        self._outlet = Outlet(send, scope)
        self._websocket = WebSocket(scope, receive, self._outlet)
        self._engine = engine
        self._documents = documents
        self._authorise = authorise
        self._record = record
        self._request_id = id_of(scope)
        self._grant: Grant | None = None
        self._params: Mapping[str, Any] = {}
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        self._stopping: asyncio.Future[_Close] = loop.create_future()
        self._timer = loop.call_later(INIT_SECONDS, self._stop, 4408, "Connection initialisation timeout")

    async def run(self, connections: Connections) -> None:
        """Talk until either side closes. Every operation has ended, its generators closed, when this returns."""
        known = PROTOCOL in self._websocket.scope.get("subprotocols", ())
        await self._websocket.accept(PROTOCOL if known else None)
        if not known:  # nor is anything read of it
            self._timer.cancel()
            await self._close(_Close(4406, f"Speak the subprotocol {PROTOCOL}"))
            return
        watch, reader = asyncio.create_task(self._outlet.watch()), asyncio.create_task(self._read(connections))
        ends: list[asyncio.Future[Any]] = [reader, self._stopping]
        try:
            with self._counted, connections.holding(self._go_away, self._judge):
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._timer.cancel()
            await cancel([watch, reader, *self._tasks])
        end = self._stopping.result() if self._stopping.done() else reader.exception()
        if isinstance(end, _Close):
            await self._close(end)
        elif isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
            await self._close(_Close(1011, str(self._engine.refusal(end, self._request_id))))

    def _go_away(self) -> None:
        self._stop(1001, "The server is going away; connect again")

    async def _judge(self) -> None:
        """Look once more at what the caller has shown."""
        if self._grant:
            try:
                self._grant = await self._granted(self._params)
            except _Close as close:
                self._stop(close.code, str(close))

    def _stop(self, code: int, reason: str) -> None:
        if not self._stopping.done():
            self._stopping.set_result(_Close(code, reason))

    async def _close(self, close: _Close) -> None:
        reason = close.reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")
        # The client may have been quicker, or not take even this.
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._websocket.close(close.code, reason)

    async def _read(self, connections: Connections) -> Never:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"])
            text = message.get("text")
            if text is None:
                raise _Close(4400, "Messages are text, not binary")
            if len(text) > MAX_BODY:
                raise _Close(1009, f"A message has at most {MAX_BODY} characters")
            try:
                await self._handle(decode_json(text), connections)
            except Refusal as refusal:
                raise _Close(4400, str(refusal)) from refusal

    async def _handle(self, message: Any, connections: Connections) -> None:
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "connection_init":
            await self._initialise(_payload(message), connections)
        elif kind == "ping":
            payload = _payload(message)
            await self._send({"type": "pong", **({"payload": payload} if payload else {})})
        elif kind == "pong":
            _payload(message)
        elif kind == "subscribe":
            await self._subscribe(_id(message), parse_request(message.get("payload")))
        elif kind == "complete":
            task = self._operations.pop(_id(message), None)
            if task:
                task.cancel()
        else:
            raise _Close(4400, "A message is an object whose type the protocol knows")

    async def _initialise(self, params: Mapping[str, Any], connections: Connections) -> None:
        if self._grant:
            raise _Close(4429, "Too many initialisation requests")
        self._grant = grant = await self._granted(params)
        self._params = params
        try:
            self._counted.enter_context(connections.counting(grant.who))
        except Refusal as refusal:
            raise _Close(4429, str(refusal)) from refusal
        self._timer.cancel()
        if grant.expires_in is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(grant.expires_in, self._stop, 4403, "The credentials have expired")
        await self._send({"type": "connection_ack"})

    async def _granted(self, params: Mapping[str, Any]) -> Grant:
        try:
            grant = await self._authorise(self._websocket, params)
        except Refusal as refusal:
            raise _Close(4403, str(refusal)) from refusal
        if grant is None:
            raise _Close(4403, "Forbidden")
        return grant

    async def _subscribe(self, operation_id: str, request: GraphQLRequest) -> None:
        if not self._grant:
            raise _Close(4401, "Unauthorized: send connection_init first")
        if operation_id in self._operations:
            raise _Close(4409, f"Subscriber for {operation_id} already exists")
        if len(self._tasks) >= MAX_OPERATIONS:
            message = f"A socket runs at most {MAX_OPERATIONS} operations at a time; complete one, or open another."
            refusal = Refusal(Code.TOO_MANY_OPERATIONS, message)
            await self._send({"id": operation_id, "type": "error", "payload": refusal.errors})
            return
        task = asyncio.create_task(self._operate(operation_id, request, self._grant))
        self._operations[operation_id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _operate(self, operation_id: str, request: GraphQLRequest, grant: Grant) -> None:
        """Run one operation and send what it answers, ended by exactly one `error` or `complete`."""
        trail, started = Trail(self._request_id, current().caller, span=current().span), time.perf_counter()
        self._record.begin(trail)
        try:
            await self._run(operation_id, request, grant)
        finally:
            self._record.operation(trail, time.perf_counter() - started)

    async def _run(self, operation_id: str, request: GraphQLRequest, grant: Grant) -> None:
        last: dict[str, Any] = {"type": "complete"}
        try:
            await self._deliver(operation_id, request, grant)
        except WebSocketDisconnect:
            return
        except Exception as error:  # noqa: BLE001  one operation's fault is told to it and ends nothing else
            last = {"type": "error", "payload": self._engine.refusal(error, self._request_id).errors}
        self._operations.pop(operation_id, None)
        with suppress(WebSocketDisconnect):
            await self._send({"id": operation_id, **last})

    async def _deliver(self, operation_id: str, request: GraphQLRequest, grant: Grant) -> None:
        operation = self._documents.prepare(request)
        context = await grant.make_context()
        head = encode_json({"id": operation_id, "type": "next", "payload": None}).removesuffix(b"null}")
        answers = self._engine.stream(operation, request.variables, context, self._request_id)
        async with aclosing(answers):
            async for answer in answers:
                await self._send_text(b"%b%b}" % (head, answer))

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self._send_text(encode_json(message))

    async def _send_text(self, encoded: bytes) -> None:
        text = encoded.decode()
        try:
            await self._websocket.send_text(text)
        except RuntimeError as error:  # how the server says that the socket has closed meanwhile
            raise WebSocketDisconnect from error


def _payload(message: Mapping[str, Any]) -> Mapping[str, Any]:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise _Close(4400, "A payload is an object")
    return payload or {}


def _id(message: Mapping[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not 0 < len(operation_id) <= MAX_ID:
        raise _Close(4400, f"An id is a string of 1 to {MAX_ID} characters")
    return operation_id
