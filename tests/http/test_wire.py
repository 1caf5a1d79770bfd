"""What a started server answers to bytes that no client sends: one answer each, and it goes on."""

import json
import struct
import zlib
from dataclasses import dataclass

import pytest

from tests.support.server import Server
from tests.support.wire import BINARY, CLOSE, PING, TEXT, exchange, frame, frames, length

BODY = b'{"query": "{ __typename }"}'
HEAD = b"Host: HOST\r\nConnection: close\r\n"
POST = b"POST /graphql HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


def get(target: bytes, headers: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + HEAD + headers + b"\r\n"


@dataclass
class Told:
    """An answer taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, received: bytes) -> "Told":
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return cls(int(first.split()[1]), headers, body)

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["errors"][0]["extensions"]["code"])


UNREADABLE = {
    "two lengths that agree": POST + LENGTH + LENGTH + b"\r\n" + BODY,
    "two lengths that differ": POST + LENGTH + b"Content-Length: 3\r\n\r\n" + BODY,
    "a length and chunks": POST + LENGTH + CHUNKED + b"\r\n" + CHUNKS,
    "a length below nothing": POST + b"Content-Length: -1\r\n\r\n" + BODY,
    "a length with a sign": POST + b"Content-Length: +24\r\n\r\n" + BODY,
    "a length beyond all numbers": POST + b"Content-Length: 99999999999999999999999999\r\n\r\n" + BODY,
    "chunks under another name": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
    "no end of the body": POST + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
    "a header over two lines": get(b"/graphql?query={__typename}", b"Accept: a\r\n b\r\n"),
    "a NUL in a header": get(b"/graphql?query={__typename}", b"Accept: a\0b\r\n"),
    "a NUL in the target": get(b"/graphql\0"),
    "a target outside of ASCII": get(b"/graphql?query=\xff"),
    "a tunnel": get(b"elsewhere.example:443", method=b"CONNECT"),
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "HTTP of a later version": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_no_request_is_a_400_in_json_and_the_end_of_the_connection(shared_server: Server, sent: bytes) -> None:
    told = Told.of(exchange(shared_server.url, sent))
    assert (told.status, told.code) == (400, "BAD_REQUEST")
    assert told.headers["connection"] == "close"
    assert told.headers["cache-control"] == "no-store"


ELSEWHERE = {
    "nothing": (get(b"/nothing"), 404, "NOT_FOUND"),
    "a slash before": (get(b"//graphql?query={__typename}"), 404, "NOT_FOUND"),
    "an encoded slash": (get(b"/%2fgraphql?query={__typename}"), 404, "NOT_FOUND"),
    "dots": (get(b"/../graphql"), 404, "NOT_FOUND"),
    "an encoded NUL": (get(b"/graphql%00"), 404, "NOT_FOUND"),
    "no encoding at all": (get(b"/%zz%ff"), 404, "NOT_FOUND"),
    "the whole server": (get(b"*", method=b"OPTIONS"), 404, "NOT_FOUND"),
    "an icon that is not there": (get(b"/explorer/x"), 404, "NOT_FOUND"),
    "a method of another path": (get(b"/livez", b"Content-Length: 0\r\n", b"POST"), 405, "METHOD_NOT_ALLOWED"),
    "a trace": (get(b"/graphql", method=b"TRACE"), 405, "METHOD_NOT_ALLOWED"),
    "a preflight": (get(b"/graphql", method=b"OPTIONS"), 405, "METHOD_NOT_ALLOWED"),
    "the host of another": (get(b"http://evil.example/graphql?query={__typename}"), 403, "FORBIDDEN"),
    "two types": (
        POST + b"Content-Type: application/json\r\n" + LENGTH + b"\r\n" + BODY,
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "bytes for a type": (get(b"/graphql?query={__typename}", b"Accept: \xff\xfe\r\n"), 406, "NOT_ACCEPTABLE"),
}


@pytest.mark.parametrize(("sent", "status", "code"), ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_what_leads_elsewhere_is_refused_in_json_with_a_code(
    shared_server: Server, sent: bytes, status: int, code: str
) -> None:
    told = Told.of(exchange(shared_server.url, sent))
    assert (told.status, told.code) == (status, code)
    assert told.headers["cache-control"] == "no-store"
    assert ("allow" in told.headers) == (status == 405)
    assert sent.count(b"TRACE") == 0 or b"HOST" not in told.body


ODD = {
    "the host in the target": get(b"http://HOST/graphql?query={__typename}"),
    "letters of the path encoded": get(b"/graph%71l?query={__typename}"),
    "chunks": POST + CHUNKED + b"\r\n" + CHUNKS,
    "an expectation": POST + LENGTH + b"Expect: 100-continue\r\n\r\n" + BODY,
    "an upgrade nobody knows": get(b"/graphql?query={__typename}", b"Upgrade: h2c\r\n"),
}


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD.keys())
def test_what_is_odd_and_right_is_answered(shared_server: Server, sent: bytes) -> None:
    assert exchange(shared_server.url, sent).endswith(b'{"data":{"__typename":"Query"}}')


def test_the_head_of_a_refusal_is_that_of_its_body(shared_server: Server) -> None:
    heads = [Told.of(exchange(shared_server.url, get(b"/graphql?query={", method=m))) for m in (b"GET", b"HEAD")]
    assert heads[0].status == heads[1].status == 400
    assert heads[0].headers["content-length"] == heads[1].headers["content-length"] == str(len(heads[0].body))
    assert heads[1].body == b""


# ── Sockets ──────────────────────────────────────────────────────────────────────────────────

SOCKET = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"
SUBPROTOCOL = b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n"
FLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
OPEN = b"GET /graphql HTTP/1.1\r\nHost: HOST\r\n" + SOCKET + VERSION + SUBPROTOCOL + FLATE + b"\r\n"
INIT = frame(TEXT, b'{"type": "connection_init"}')
NO_UTF_8 = 1007
BROKEN, TOO_LARGE, UNKNOWN = 1002, 1009, 4400
MESSAGES = {
    "not masked": (frame(TEXT, b'{"type": "ping"}', masked=False), BROKEN),
    "a reserved kind": (frame(3, b"x"), BROKEN),
    "a reserved bit": (frame(TEXT, b"{}", bits=1), BROKEN),
    "compressed": (frame(TEXT, zlib.compress(b" " * 1_000_000), bits=4), BROKEN),
    "the rest of nothing": (frame(0, b"x"), BROKEN),
    "a message inside another": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"{}"), BROKEN),
    "a ping too long": (frame(PING, b"x" * 126), BROKEN),
    "a ping in parts": (frame(PING, b"x", fin=False), BROKEN),
    "a close of one byte": (frame(CLOSE, b"x"), BROKEN),
    "a close with a code nobody has": (frame(CLOSE, struct.pack("!H", 999)), BROKEN),
    "noise": (b"\xff" * 100, BROKEN),
    "no UTF-8": (frame(TEXT, b'{"type": "\xff"}'), NO_UTF_8),
    "half a character in each part": (frame(TEXT, b'"\xc3', fin=False) + frame(0, b'"'), NO_UTF_8),
    "a length of exbibytes": (bytes([0x81]) + length(1 << 62), TOO_LARGE),
    "a length below nothing": (bytes([0x81]) + length((1 << 63) + 5), TOO_LARGE),
    "parts that are too much": (frame(TEXT, b" " * 600_000, fin=False) + frame(0, b" " * 600_000), TOO_LARGE),
    "bytes": (frame(BINARY, b'{"type": "ping"}'), UNKNOWN),
    "bytes in parts": (frame(BINARY, b'{"type":', fin=False) + frame(0, b'"ping"}'), UNKNOWN),
    "100 000 lists": (frame(TEXT, b"[" * 100_000), UNKNOWN),
}


@pytest.mark.parametrize(("sent", "code"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message_that_cannot_be_read_closes_its_socket_and_is_nothing_to_log(
    shared_server: Server, sent: bytes, code: int
) -> None:
    # After a code of its own the server waits until the client closes as well.
    parts = [OPEN, INIT, sent, *([frame(CLOSE, struct.pack("!H", code))] if code == UNKNOWN else [])]
    kind, payload = frames(exchange(shared_server.url, *parts).partition(b"\r\n\r\n")[2])[-1]
    assert (kind, struct.unpack("!H", payload[:2])[0]) == (CLOSE, code)
    assert "Traceback" not in shared_server.log.read_text()


@pytest.mark.parametrize(
    ("handshake", "status", "code"),
    [
        (get(b"/graphql", SOCKET.replace(b"Key", b"Lock") + VERSION), 400, "BAD_REQUEST"),
        (get(b"/graphql", SOCKET + b"Sec-WebSocket-Version: 8\r\n"), 400, "BAD_REQUEST"),
        (get(b"/graphql", SOCKET + VERSION, method=b"POST"), 405, "METHOD_NOT_ALLOWED"),
        (get(b"/nothing", SOCKET + VERSION), 403, "FORBIDDEN"),
        (get(b"http://evil.example/graphql", SOCKET + VERSION), 403, "FORBIDDEN"),
        (get(b"/graphql", SOCKET + VERSION + b"Origin: http://evil.example\r\n"), 403, "FORBIDDEN"),
    ],
    ids=["no key", "an old version", "another method", "another path", "another host", "the page of another"],
)
def test_a_socket_that_is_not_opened_is_refused_in_json_with_a_code(
    shared_server: Server, handshake: bytes, status: int, code: str
) -> None:
    told = Told.of(exchange(shared_server.url, handshake.replace(b"Connection: close\r\n", b"")))
    assert (told.status, told.code) == (status, code)
