"""The GraphQL endpoint: one ASGI application for HTTP, Server-Sent Events and WebSocket.

Statuses and media types follow the GraphQL-over-HTTP specification of September 2026.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from graphql import OperationType
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.http.answer import Answer, lasting, of_the_moment, refused
from app.http.body import GraphQLRequest, decode_json, encode_json, parse_request, read_body
from app.http.connections import Connections
from app.http.engine import Engine, Operation, Result
from app.http.errors import Code, Refusal
from app.http.headers import id_of, remembering, values_of
from app.http.kept import Asked, KeptAnswers
from app.http.negotiation import EVENT_STREAM, RESPONSE_JSON, Accepted, check_content_type, negotiate
from app.http.persisted import PersistedDocuments
from app.http.record import Record
from app.http.sse import EventStream
from app.http.websocket import Authorise, Grant, Session
from app.registry.trail import about, fails

MakeContext: TypeAlias = Callable[[HTTPConnection], Awaitable[Any]]
"""Makes the context of one operation. Raises Refusal for a caller who may not run any."""

PARTIAL_SUCCESS = 294
SAFE_METHODS = frozenset({"GET", "HEAD"})


class Edge:
    """Where requests come in: an ASGI application for requests and sockets, served at one path by `Straight`.

    Without `authorise` every socket is accepted and its operations get the context of its handshake. With `kept`, every
    context is an Asker, and an answer that still stands is not computed again. `record` is told of what sockets ask.
    """

    def __init__(
        self,
        engine: Engine,
        make_context: MakeContext,
        authorise: Authorise | None = None,
        kept: KeptAnswers | None = None,
        record: Record | None = None,
    ) -> None:
        self._engine = engine
        self.kept = kept
        self._record = record or Record()
        self._documents = PersistedDocuments(engine.prepare)
        self._make_context = make_context
        self._authorise = authorise or self._grant_from_handshake
        self._negotiate = remembering(negotiate)
        self._check_content_type = remembering(check_content_type)
        self.connections = Connections()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or talk on one socket until it closes."""
        if scope["type"] == "websocket":
            session = Session(scope, receive, send, self._engine, self._documents, self._authorise, self._record)
            await session.run(self.connections)
        else:
            answer = await self._respond(scope, receive, id_of(scope))
            await answer(scope, receive, send)

    async def judge_all(self) -> None:
        """End the sockets and streams whose callers may not go on."""
        await self.connections.judge_all()

    async def close_all(self) -> None:
        """End every socket and stream, for a server that is about to stop."""
        await self.connections.close_all()

    async def finish(self, seconds: float) -> None:
        """Wait for mutations that nobody waits for any more, but no longer than this."""
        await self._engine.finish(seconds)

    async def _grant_from_handshake(self, websocket: WebSocket, params: Mapping[str, Any]) -> Grant:
        del params
        return Grant(partial(self._make_context, websocket))

    async def _respond(self, scope: Scope, receive: Receive, request_id: str) -> ASGIApp:
        try:
            return await self._answer(scope, receive, request_id)
        except ClientDisconnect:
            return refused(Refusal(Code.BAD_REQUEST, "The request ended before its body did; send it again."))
        except Exception as error:  # noqa: BLE001  the last resort: masked, logged once, and answered as JSON
            return refused(self._engine.refusal(error, request_id))

    async def _answer(self, scope: Scope, receive: Receive, request_id: str) -> ASGIApp:
        safe = scope["method"] in SAFE_METHODS
        if not safe and scope["method"] != "POST":
            raise _not_allowed("Ask with GET or POST.", "GET, HEAD, POST")
        content = scope["query_string"] if safe else await read_body(scope, receive)
        context = await self._make_context(HTTPConnection(scope))
        kept, asked = self.kept, None
        if kept:
            asked = Asked.of(scope, content, context.who, safe=safe)
            if not context.strong and (found := kept.find(asked)):
                about(found.about)
                return found.unless(values_of(scope, b"if-none-match"))
        reply = await self._compute(scope, content, context, request_id, safe=safe)
        if not isinstance(reply, Answer):
            return reply
        if kept and asked and reply.lasts and not context.strong:
            kept.keep(asked, reply, context.footing)
        return reply.unless(values_of(scope, b"if-none-match"))

    async def _compute(
        self, scope: Scope, content: bytes, context: Any, request_id: str, *, safe: bool
    ) -> Answer | EventStream:
        accepted = self._negotiate(values_of(scope, b"accept"))
        asked = _from_url(content) if safe else self._from_body(scope, content)
        try:
            operation = self._documents.prepare(asked)
        except Refusal as refusal:
            if accepted.prefers_stream:  # an event source cannot read the body of any other status
                fails(refusal.code)
                return self._stream(_once(encode_json({"errors": refusal.errors})), scope, context, request_id)
            raise
        _check_kind(operation, accepted, safe=safe)
        if operation.kind is OperationType.SUBSCRIPTION or accepted.prefers_stream:
            answers = self._engine.stream(operation, asked.variables, context, request_id)
            return self._stream(answers, scope, context, request_id)
        result = await self._engine.execute(operation, asked.variables, context, request_id)
        media_type = accepted.json or RESPONSE_JSON
        if operation.lasting and "errors" not in result:
            return lasting(encode_json(result), media_type, tagged=safe, lasts=not asked.teaches, about=operation.about)
        return _answered(result, media_type)

    def _stream(self, answers: AsyncGenerator[bytes, None], scope: Scope, context: Any, request_id: str) -> EventStream:
        judge = partial(self._make_context, HTTPConnection(scope))
        return EventStream(answers, self._engine, self.connections, judge, context.who, request_id)

    def _from_body(self, scope: Scope, body: bytes) -> GraphQLRequest:
        self._check_content_type(values_of(scope, b"content-type"))
        if any(value.lower() != "identity" for value in values_of(scope, b"content-encoding")):
            raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, "Send the request without a Content-Encoding.")
        return parse_request(decode_json(body))


def _from_url(query: bytes) -> GraphQLRequest:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise Refusal(Code.BAD_REQUEST, "The query of the URL is not valid UTF-8; encode it so.") from error
    parameters: dict[str, Any] = dict(pairs)
    if len(parameters) < len(pairs):
        raise Refusal(Code.BAD_REQUEST, "The query of the URL has a parameter twice; send it once.")
    for name in ("variables", "extensions"):
        if name in parameters:
            parameters[name] = decode_json(parameters[name])
    return parse_request(parameters)


def _not_allowed(message: str, allow: str) -> Refusal:
    return Refusal(Code.METHOD_NOT_ALLOWED, message, headers={"allow": allow})


def _check_kind(operation: Operation, accepted: Accepted, *, safe: bool) -> None:
    """Refuse what the method may not do and what the answer has no form for."""
    if safe and operation.kind is OperationType.MUTATION:
        raise _not_allowed("A mutation changes things: send it with POST.", "POST")
    if operation.kind is OperationType.SUBSCRIPTION and not accepted.stream:
        message = f"A subscription answers many times: accept {EVENT_STREAM}, or use the WebSocket of this URL."
        raise Refusal(Code.NOT_ACCEPTABLE, message)


def _answered(result: Result, media_type: str) -> Answer:
    """The answer to a request that was understood: plain JSON has no status for a partial success."""
    if "data" not in result:
        return of_the_moment(422, encode_json(result), RESPONSE_JSON)
    partly = "errors" in result and media_type == RESPONSE_JSON
    return of_the_moment(PARTIAL_SUCCESS if partly else 200, encode_json(result), media_type)


async def _once(answer: bytes) -> AsyncGenerator[bytes, None]:
    yield answer
