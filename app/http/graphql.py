"""The GraphQL endpoint: one ASGI application for HTTP, Server-Sent Events and WebSocket.

Statuses and media types follow the GraphQL-over-HTTP specification of September 2026.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import parse_qsl
from uuid import uuid4

from graphql import OperationType
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.http.body import GraphQLRequest, decode_json, encode_json, parse_request, read_body
from app.http.connections import Connections
from app.http.engine import Engine, Result
from app.http.errors import Code, Refusal
from app.http.negotiation import EVENT_STREAM, RESPONSE_JSON, check_content_type, negotiate
from app.http.sse import EventStream
from app.http.websocket import Authorise, Grant, Session

MakeContext: TypeAlias = Callable[[HTTPConnection], Awaitable[Any]]
"""Makes the context of one operation. Raises Refusal for a caller who may not run any."""

PARTIAL_SUCCESS = 294
SAFE_METHODS = frozenset({"GET", "HEAD"})
HEADERS = {"cache-control": "no-store", "vary": "Accept", "x-content-type-options": "nosniff"}


class Edge:
    """Where requests come in. Serve it with `Route(path, edge)` and `WebSocketRoute(path, edge)`.

    Without `authorise` every socket is accepted and its operations get the context of its handshake.
    """

    def __init__(self, engine: Engine, make_context: MakeContext, authorise: Authorise | None = None) -> None:
        self._engine = engine
        self._make_context = make_context
        self._authorise = authorise or self._grant_from_handshake
        self.connections = Connections()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or talk on one socket until it closes."""
        if scope["type"] == "websocket":
            session = Session(scope, receive, send, self._engine, self._authorise, _request_id(scope))
            await session.run(self.connections)
        else:
            response = await self._respond(Request(scope, receive))
            await response(scope, receive, send)

    async def close_all(self) -> None:
        """End every socket and stream, for a server that is about to stop."""
        await self.connections.close_all()

    async def _grant_from_handshake(self, websocket: WebSocket, params: Mapping[str, Any]) -> Grant:
        del params
        return Grant(partial(self._make_context, websocket))

    async def _respond(self, request: Request) -> ASGIApp:
        request_id = _request_id(request.scope)
        try:
            return await self._answer(request, request_id)
        except ClientDisconnect:
            return _refused(Refusal(Code.BAD_REQUEST, "The request ended before its body did; send it again."))
        except Exception as error:  # noqa: BLE001  the last resort: masked, logged once, and answered as JSON
            return _refused(self._engine.refusal(error, request_id))

    async def _answer(self, request: Request, request_id: str) -> ASGIApp:
        safe = request.method in SAFE_METHODS
        if not safe and request.method != "POST":
            raise _not_allowed("Ask with GET or POST.", "GET, HEAD, POST")
        accepted = negotiate(request.headers.getlist("accept"))
        asked = _from_url(request) if safe else await _from_body(request)
        stream = partial(EventStream, engine=self._engine, connections=self.connections, request_id=request_id)
        try:
            operation = self._engine.prepare(asked.query, asked.operation_name)
        except Refusal as refusal:
            if accepted.prefers_stream:  # an event source cannot read the body of any other status
                return stream(_once(encode_json({"errors": refusal.errors})))
            raise
        if safe and operation.kind is OperationType.MUTATION:
            raise _not_allowed("A mutation changes things: send it with POST.", "POST")
        subscribes = operation.kind is OperationType.SUBSCRIPTION
        if subscribes and not accepted.stream:
            message = f"A subscription answers many times: accept {EVENT_STREAM}, or use the WebSocket of this URL."
            raise Refusal(Code.NOT_ACCEPTABLE, message)
        context = await self._make_context(request)
        if subscribes or accepted.prefers_stream:
            return stream(self._engine.stream(operation, asked.variables, context, request_id))
        result = await self._engine.execute(operation, asked.variables, context, request_id)
        return _answered(result, accepted.json or RESPONSE_JSON)


def _request_id(scope: Scope) -> str:
    return str(scope.get("state", {}).get("request_id") or uuid4().hex)


async def _from_body(request: Request) -> GraphQLRequest:
    check_content_type(request.headers.getlist("content-type"))
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, "Send the request without a Content-Encoding.")
    return parse_request(decode_json(await read_body(request)))


def _from_url(request: Request) -> GraphQLRequest:
    try:
        text = request.scope["query_string"].decode("ascii")
        parameters: dict[str, Any] = dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise Refusal(Code.BAD_REQUEST, "The query of the URL is not valid UTF-8; encode it so.") from error
    for name in ("variables", "extensions"):
        if name in parameters:
            parameters[name] = decode_json(parameters[name])
    return parse_request(parameters)


def _not_allowed(message: str, allow: str) -> Refusal:
    return Refusal(Code.METHOD_NOT_ALLOWED, message, headers={"allow": allow})


def _answered(result: Result, media_type: str) -> Response:
    """The response to a request that was understood: plain JSON has no status for a partial success."""
    if "data" not in result:
        return _json(422, result, RESPONSE_JSON)
    partly = "errors" in result and media_type == RESPONSE_JSON
    return _json(PARTIAL_SUCCESS if partly else 200, result, media_type)


def _refused(refusal: Refusal) -> Response:
    """The response to a refused request, in the media type that says a GraphQL server refused it."""
    return _json(refusal.status, {"errors": refusal.errors}, RESPONSE_JSON, refusal.headers)


def _json(status: int, content: Result, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
    body = encode_json(content)
    return Response(body, status, headers={**HEADERS, **(headers or {})}, media_type=f"{media_type}; charset=utf-8")


async def _once(answer: bytes) -> AsyncGenerator[bytes, None]:
    yield answer
