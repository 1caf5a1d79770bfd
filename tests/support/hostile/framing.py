"""HTTP that is slow, wrong, or two things at once."""

import gzip
import zlib
from collections.abc import Iterator

from tests.support.hostile.day import JSON, Hostile, Target, hostile
from tests.support.hostile.wire import PATIENCE, patience, talk

QUERY = b'{"query":"{ __typename }"}'


def head(target: Target, line: str, *headers: str) -> bytes:
    """A request's head, with a Host unless the headers have one."""
    host = [] if any(one.lower().startswith("host") for one in headers) else [f"Host: {target.place[0]}"]
    return "\r\n".join([line, *host, *headers, "", ""]).encode("latin-1")


POST = "POST /graphql HTTP/1.1"
GET = "GET /graphql?query={__typename} HTTP/1.1"
TYPE = "Content-Type: application/json"
LINES: list[tuple[str, tuple[str, ...], bytes, tuple[str, ...]]] = [
    ("a length that is too short", (POST, TYPE, "Content-Length: 5"), QUERY, ("400 400 closed", "400 closed")),
    ("a length that is no number", (POST, TYPE, "Content-Length: five"), QUERY, ("400 closed",)),
    ("a negative length", (POST, TYPE, "Content-Length: -1"), QUERY, ("400 closed",)),
    ("a length in hexadecimal digits", (POST, TYPE, "Content-Length: 0x1a"), QUERY, ("400 closed",)),
    ("a length of a hundred digits", (POST, TYPE, "Content-Length: " + "9" * 100), QUERY, ("400 closed",)),
    ("a length of 19 digits", (POST, TYPE, "Content-Length: " + "9" * 18), b"", ("413", "413 closed")),
    ("two lengths", (POST, TYPE, "Content-Length: 26", "Content-Length: 5"), QUERY, ("400 closed",)),
    ("lengths in a list", (POST, TYPE, "Content-Length: 26, 26"), QUERY, ("400 closed",)),
    ("a length with a plus", (POST, TYPE, "Content-Length: +26"), QUERY, ("400 closed",)),
    ("a length and chunks", (POST, TYPE, "Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\nGET /", ("400 closed",)),
    ("chunks and a length", (POST, TYPE, "Transfer-Encoding: chunked", "Content-Length: 5"), b"0\r\n\r\nGET /", ("400 closed",)),
    ("chunked twice", (POST, TYPE, "Transfer-Encoding: chunked, chunked"), b"0\r\n\r\n", ("400 closed", "400")),
    ("chunked, then identity", (POST, TYPE, "Transfer-Encoding: chunked, identity"), b"0\r\n\r\n", ("400 closed",)),
    ("xchunked", (POST, TYPE, "Transfer-Encoding: xchunked"), b"0\r\n\r\n", ("400 closed",)),
    ("chunked with a space before the colon", (POST, TYPE, "Transfer-Encoding : chunked"), b"0\r\n\r\n", ("400 closed",)),
    ("chunked behind a tab", (POST, TYPE, "Transfer-Encoding:\tchunked"), b"zz\r\n\r\n", ("400 closed",)),
    ("a chunk whose size is no number", (POST, TYPE, "Transfer-Encoding: chunked"), b"zz\r\nabc\r\n0\r\n\r\n", ("400 closed",)),
    ("a chunk of 16 F", (POST, TYPE, "Transfer-Encoding: chunked"), b"F" * 16 + b"\r\nabc", ("", "400 closed", "413 closed")),
    ("a chunk of 17 digits", (POST, TYPE, "Transfer-Encoding: chunked"), b"1" * 17 + b"\r\nabc", ("400 closed",)),
    ("a negative chunk", (POST, TYPE, "Transfer-Encoding: chunked"), b"-1\r\nabc\r\n0\r\n\r\n", ("400 closed",)),
    ("300 000 chunks of one byte", (POST, TYPE, "Transfer-Encoding: chunked"), b"1\r\n \r\n" * 300_000 + b"0\r\n\r\n", ("400",)),
    ("chunks beyond 1 MiB", (POST, TYPE, "Transfer-Encoding: chunked"), (b"8000\r\n" + b" " * 32768 + b"\r\n") * 40 + b"0\r\n\r\n", ("413", "413 closed")),
    ("a chunk extension of 200 000 characters", (POST, TYPE, "Transfer-Encoding: chunked"), b"1;" + b"x" * 200_000 + b"\r\n \r\n0\r\n\r\n", ("400", "400 closed")),
    ("trailers by the thousand", (POST, TYPE, "Transfer-Encoding: chunked"), b"0\r\n" + b"X-A: b\r\n" * 20_000 + b"\r\n", ("400 closed", "400", "431 closed")),
    ("a request hidden in a body", (POST, TYPE, "Content-Length: 40"), b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n", ("400",)),
    ("10 000 headers", (GET, *(f"X-{n}: a" for n in range(10_000))), b"", ("431 closed", "400 closed")),
    ("a header of 1 MiB", (GET, "X-A: " + "a" * (1 << 20)), b"", ("431 closed", "400 closed")),
    ("a name of a header of 100 000 letters", (GET, "a" * 100_000 + ": a"), b"", ("431 closed", "400 closed")),
    ("a target of 200 000 letters", ("GET /" + "a" * 200_000 + " HTTP/1.1",), b"", ("414 closed", "431 closed", "400 closed", "404")),
    ("no host", ("GET /livez HTTP/1.1", "Host:"), b"", ("403",)),
    ("two hosts", (GET, "Host: 127.0.0.1", "Host: evil.example"), b"", ("403", "400 closed")),
    ("a host that is a list", (GET, "Host: 127.0.0.1, evil.example"), b"", ("403",)),
    ("a host with a user", (GET, "Host: evil@127.0.0.1"), b"", ("403",)),
    ("a foreign host", (GET, "Host: evil.example"), b"", ("403",)),
    ("a foreign origin", (GET, "Origin: https://evil.example"), b"", ("403",)),
    ("a header folded over two lines", (GET, "X-A: a\r\n b"), b"", ("400 closed", "200")),
    ("a header with a bare line feed", (GET, "X-A: a\nX-B: b"), b"", ("400 closed",)),
    ("a header with a bare return", (GET, "X-A: a\rX-B: b"), b"", ("400 closed",)),
    ("a header with NUL", (GET, "X-A: a\0b"), b"", ("400 closed",)),
    ("a header without a name", (GET, ": a"), b"", ("400 closed",)),
    ("a header without a colon", (GET, "nonsense"), b"", ("400 closed",)),
    ("a name of a header with a space", (GET, "X A: a"), b"", ("400 closed",)),
    ("HTTP/2 as the version", ("GET /livez HTTP/2.0",), b"", ("200 closed",)),
    ("HTTP/9.9", ("GET /livez HTTP/9.9",), b"", ("400 closed", "505 closed")),
    ("HTTP/0.9", ("GET /livez",), b"", ("200 closed",)),
    ("the preface of HTTP/2", ("PRI * HTTP/2.0", "", "SM"), b"", ("400 closed",)),
    ("the hello of TLS", ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",), b"\0" * 100, ("400 closed",)),
    ("nothing but line ends", ("\r\n" * 1000,), b"", ("400 closed", "", "closed")),
    ("a method nobody has", ("BREW /graphql HTTP/1.1",), b"", ("400 closed", "405")),
    ("a method in lower case", ("get /livez HTTP/1.1",), b"", ("400 closed", "405")),
    ("a method of 100 000 letters", ("A" * 100_000 + " /livez HTTP/1.1",), b"", ("400 closed", "431 closed")),
    ("TRACE", ("TRACE /graphql HTTP/1.1",), b"", ("405",)),
    ("CONNECT", ("CONNECT 169.254.169.254:80 HTTP/1.1",), b"", ("400 closed", "404 closed", "404", "405", "403")),
    ("DELETE", ("DELETE /graphql HTTP/1.1",), b"", ("405",)),
    ("the server of another in the target", ("GET http://169.254.169.254/latest HTTP/1.1",), b"", ("403",)),
    ("a star for a target", ("OPTIONS * HTTP/1.1",), b"", ("404", "400 closed", "405")),
    ("a target with NUL", ("GET /livez\0 HTTP/1.1",), b"", ("400 closed",)),
    ("a target with dots", ("GET /../../../../etc/passwd HTTP/1.1",), b"", ("404",)),
    ("a target with dots, encoded", ("GET /explorer/%2e%2e/%2e%2e/main.py HTTP/1.1",), b"", ("404",)),
    ("a target with dots, encoded twice", ("GET /explorer/%252e%252e/main.py HTTP/1.1",), b"", ("404",)),
    ("a target with backslashes", ("GET /explorer/..\\..\\main.py HTTP/1.1",), b"", ("404",)),
    ("a target with half an escape", ("GET /%e0%ff%zz HTTP/1.1",), b"", ("404", "400 closed")),
    ("a query that is no UTF-8", ("GET /graphql?query=%ff HTTP/1.1",), b"", ("400",)),
    ("a query with 50 000 parameters", ("GET /graphql?" + "a&" * 25_000 + " HTTP/1.1",), b"", ("400", "400 closed", "414 closed", "431 closed")),
    ("variables in the query that are a bomb", ("GET /graphql?query={__typename}&variables=" + "[" * 20_000 + " HTTP/1.1",), b"", ("400",)),
    ("a mutation by GET", ("GET /graphql?query=mutation{syncProject(input:{project:%22x%22}){__typename}} HTTP/1.1",), b"", ("405",)),
    ("a hundred accepted types", (GET, "Accept: " + ",".join(f"a/b{n};q=0.{n}" for n in range(5000))), b"", ("406", "431 closed", "400 closed")),
    ("a form", (POST, "Content-Type: application/x-www-form-urlencoded", "Content-Length: 26"), QUERY, ("415",)),
    ("two types of content", (POST, TYPE, TYPE, "Content-Length: 26"), QUERY, ("415",)),
    ("gzip that is none", (POST, TYPE, "Content-Encoding: gzip", "Content-Length: 26"), QUERY, ("415",)),
    ("an upgrade to nothing", ("GET /livez HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c"), b"", ("200",)),
    ("an expectation nobody has", (POST, TYPE, "Expect: 200-maybe", "Content-Length: 26"), QUERY, ("200", "417")),
    ("a request id with a line end in it", (GET, "X-Request-Id: a%0d%0aSet-Cookie:x=y"), b"", ("200",)),
    ("a forwarded address", (GET, "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: evil.example", "X-Original-URL: /admin"), b"", ("200",)),
    ("an If-None-Match of 50 000 tags", (GET, "If-None-Match: " + '"a",' * 12_000), b"", ("200", "431 closed", "400 closed")),
]  # fmt: skip


def inputs() -> Iterator[Hostile]:
    """All of them."""
    for name, (line, *headers), body, expected in LINES:
        yield hostile(
            f"http: {name}",
            lambda target, line=line, headers=headers, body=body: talk(target, head(target, line, *headers), body),
            *expected,
        )
    yield hostile("http: 300 requests in one go", pipeline, "200 × 300")
    yield hostile("http: a body half sent", lambda target: half(target, b'{"que'), "400 closed", "400", "closed")
    yield hostile(
        "http: a head half sent",
        lambda target: talk(target, b"GET /livez HT", half_close=True),
        "closed",
        "400 closed",
        "",
    )
    yield hostile("http: random bytes", lambda target: talk(target, bytes(range(256)) * 100), "400 closed")
    for coding, bomb in (("gzip", gzip.compress(bytes(50 << 20))), ("deflate", zlib.compress(bytes(50 << 20)))):
        for path in ("/graphql", "/hooks/github"):
            yield hostile(
                f"http: a {coding} bomb to {path}",
                lambda target, path=path, coding=coding, bomb=bomb: target.request(
                    "POST", path, content=bomb, headers={**JSON, "content-encoding": coding}
                ),
                "415 UNSUPPORTED_MEDIA_TYPE" if path == "/graphql" else "401 UNAUTHENTICATED",
            )
    yield hostile("http: a slow head", slow_head, "closed", patient=True)
    yield hostile("http: a slow body", slow_body, "408 closed", patient=True)
    yield hostile("http: a connection that says nothing", silent, "closed", patient=True)


def half(target: Target, body: bytes) -> str:
    """A body that ends before it should, by a client that still listens."""
    return talk(target, head(target, POST, TYPE, "Content-Length: 1000") + body, half_close=True)


def pipeline(target: Target) -> str:
    answers = talk(target, head(target, "GET /livez HTTP/1.1") * 300).split()
    return f"200 × {answers.count('200')}" if set(answers) == {"200"} else " ".join(answers)


def slow_head(target: Target) -> str:
    return patience(target, b"GET /livez HTTP/1.1\r\n", b"X-A: b\r\n", 1.0, PATIENCE)


def slow_body(target: Target) -> str:
    return patience(target, head(target, POST, TYPE, "Content-Length: 100000"), b" ", 1.0, PATIENCE)


def silent(target: Target) -> str:
    return patience(target, b"", b"", 1.0, PATIENCE)
