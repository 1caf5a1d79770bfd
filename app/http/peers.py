"""What a server's peers get to feel: answers that come in one piece, and no patience with those that stop reading.

uvicorn holds at most 64 KiB for a peer, then makes whoever sends wait, and waits itself until the peer has taken all
before it closes. These protocols tell the application how to hang up at once, so that such a peer costs no more than
what the system buffers for it.
"""

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import httptools
from starlette.types import Message, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame
from websockets.http11 import Response

from app.http.answer import Answer, refused
from app.http.errors import STATUS, Code, Refusal
from app.resolvers.limits import LIMITS

STALLED_SECONDS = 20.0
"""For how long a peer may take nothing of what waits for it."""
LINGER_SECONDS = 10.0
"""For how long a socket may stay when the conversation on it is over."""
HEAD_SECONDS = LIMITS.head_seconds
"""For how long a peer that began, or has just come, may owe what is missing of a request."""
HEAD_SIZE = LIMITS.head_size
"""Bytes that a peer may send of which nothing can be made yet: a head, above all."""
HANG_UP = "ml_registry.hang_up"
UNREADABLE = "This is no HTTP request that can be read; check its first line, its headers and the length of its body."
NO_SOCKET = "Sockets are opened at /graphql, by programs and by the pages of this server alone."


class HttpProtocol(HttpToolsProtocol):
    """HTTP whose scope says how to hang up, and whose answers go out with their heads.

    A peer that owes a request, or the rest of one, has HEAD_SECONDS for it, however it spreads what it sends; who reads
    a body that is expected sees to that itself. Once there are as many connections as uvicorn's `limit_concurrency`
    says, one that is owed a request makes room for the next.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due: asyncio.TimerHandle | None = None
        self._unused = 0
        self._passed_on = False

    @property
    def owed(self) -> bool:
        """Whether the peer has to send something now: nothing is answered, and it is not idle."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.timeout_keep_alive_task is None and not self._passed_on

    @property
    def spare(self) -> bool:
        """Whether nothing is lost by hanging up."""
        return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has come."""
        super().connection_made(transport)
        self._await_request()
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            others = (one for one in self.connections if isinstance(one, HttpProtocol) and one is not self)
            crowded_out = next((one for one in others if one.spare), self)
            crowded_out.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        super().connection_lost(exc)
        self._pass_on()

    def data_received(self, data: bytes) -> None:
        """Something was sent: as long as it comes to nothing, it is counted."""
        self._unused += len(data)
        super().data_received(data)
        if self._unused > HEAD_SIZE and not self.transport.is_closing():
            self.send_400_response("")
        self._await_request()

    def handle_websocket_upgrade(self) -> None:
        """The peer goes on in another protocol."""
        self._pass_on()
        super().handle_websocket_upgrade()

    def on_response_complete(self) -> None:
        """An answer is written."""
        super().on_response_complete()
        self._await_request()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._unused = 0
        super().on_body(body)

    def _await_request(self) -> None:
        """Have a timer run exactly while the peer owes something."""
        if self.owed:
            self._due = self._due or self.loop.call_later(HEAD_SECONDS, self.transport.abort)
        elif self._due:
            self._due.cancel()
            self._due = None

    def _pass_on(self) -> None:
        self._passed_on = True
        self._await_request()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: self.transport.abort}  # type: ignore[dict-item]  # no dict

    def on_headers_complete(self) -> None:
        """The head of a request is there: if it is no socket's, an answer begins."""
        if self._unused > HEAD_SIZE and len(self.url) + len(b"\r\n".join(map(b": ".join, self.headers))) > HEAD_SIZE:
            raise _HeadTooLargeError  # which ends in send_400_response
        if not self.url.startswith(b"/"):
            self._go_by_target()
        self._unused = 0
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = _Joined(self.transport, self.loop)  # type: ignore[assignment]  # all it is asked for

    def send_400_response(self, msg: str) -> None:
        """Say that nothing can be read here, and close."""
        del msg
        if self._unused > HEAD_SIZE:
            message = f"The head of a request has at most {HEAD_SIZE} bytes; send less."
            self._refuse(Refusal(Code.HEAD_TOO_LARGE, message, headers={"connection": "close"}))
        else:
            self._refuse(Refusal(Code.BAD_REQUEST, UNREADABLE, headers={"connection": "close"}))

    def _refuse(self, refusal: Refusal) -> None:
        """Say why what comes here is no request, and close."""
        answer = refused(refusal)
        head = b"".join(b"%b: %b\r\n" % header for header in answer.headers)
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}".encode()
        self.transport.write(b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, head, answer.body))
        self.transport.close()

    def _go_by_target(self) -> None:
        """A target that names its host itself, as for a proxy, counts for more than the Host beside it."""
        host = httptools.parse_url(self.url).host
        if host:
            authority = self.url.partition(b"://")[2].partition(b"/")[0]
            self.headers[:] = [*(header for header in self.headers if header[0] != b"host"), (b"host", authority)]


class _HeadTooLargeError(Exception):
    """What the parser is stopped with."""


class _Joined:
    """Where one answer is written to. Its head waits for what follows in the same turn of the loop.

    To write is a call to the system, and for a short answer the dearest part of it: one will do.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Write, the first time together with the second, or at the end of the turn."""
        if self._head is None:
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(self._head + data if self._head else data)
            self._head = b""

    def close(self) -> None:
        """Close once all is written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""


class SocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket whose scope says how to hang up, and which does so when its peer takes not even the close.

    A handshake that fails is answered as any other refused request.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn.reject = _rejected  # type: ignore[method-assign]  # what it is meant for, and offers no other way

    def handle_cont(self, event: Frame) -> None:
        """More of a message. It is held in one piece: many small ones would take many times its size."""
        (begun,) = self.frames
        whole = begun if isinstance(begun, bytearray) else bytearray(begun)
        whole += event.data
        self.frames = [whole]  # type: ignore[list-item]  # as good as bytes for all that is done with it
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """A message is there. That its text is no UTF-8 is for its sender to know, and nothing to log."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf_8(self.frames[0]):
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer, unless the peer takes nothing: then an answer would only lie here."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    async def run_asgi(self) -> None:
        """The whole conversation."""
        self.scope["extensions"][HANG_UP] = self.transport.abort  # type: ignore[assignment]  # no dict
        await super().run_asgi()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """A ping was not answered."""
        self.transport.abort()


def _is_utf_8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _rejected(status: int, text: str) -> Response:
    """The answer to a handshake that fails."""
    code = next((code for code, known in STATUS.items() if known == status), Code.BAD_REQUEST)
    answer: Answer = refused(Refusal(code, text.strip() or NO_SOCKET))
    headers = Headers([("Date", formatdate(usegmt=True)), ("Connection", "close")])
    for name, value in answer.headers:
        headers[name.decode()] = value.decode()
    return Response(answer.status, HTTPStatus(answer.status).phrase, headers, answer.body)


class Outlet:
    """The `send` of one connection, that knows since when its peer has taken nothing of what waits for it."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._hang_up: Callable[[], None] | None = scope.get("extensions", {}).get(HANG_UP)
        self._waiting = 0
        self._since = 0.0

    async def __call__(self, message: Message) -> None:
        """Send, as soon as the peer has taken enough of what was sent before."""
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting += 1
        try:
            await self._send(message)
        finally:
            self._waiting -= 1
            self._since = time.monotonic()

    async def watch(self) -> None:
        """Hang up once the peer has taken nothing for STALLED_SECONDS; whoever waits to send is told it is gone."""
        while True:
            await asyncio.sleep(STALLED_SECONDS / 4)
            if self._waiting and time.monotonic() - self._since >= STALLED_SECONDS:
                break
        if self._hang_up:
            self._hang_up()
