"""WebSockets that flood, say nothing, or say what the protocol does not know."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.hostile.day import Hostile, Target, hostile
from tests.support.hostile.wire import BINARY, CLOSE, PING, Peer, connected, handshake, opened, talk

INIT = {"type": "connection_init"}
TYPENAME = {"query": "{ __typename }"}
EVENTS = {"query": "subscription { events { cursor } }"}


def subscribe(payload: Any, name: Any = "1") -> dict[str, Any]:
    return {"id": name, "type": "subscribe", "payload": payload}


TEXTS: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "4400"),
    ("no JSON", b"hello", "4400"),
    ("a list", b"[]", "4400"),
    ("null", b"null", "4400"),
    ("a number", b"1", "4400"),
    ("100 000 lists inside each other", b"[" * 100_000 + b"]" * 100_000, "4400"),
    ("100 000 objects inside each other", b'{"type":' * 100_000 + b"1" + b"}" * 100_000, "4400"),
    ("60 000 brackets and a string that does not end", b"[" * 60_000 + b'"' + b'\\"' * 400_000, "4400"),
    ("an unknown type", b'{"type":"start"}', "4400"),
    ("a type that is a list", b'{"type":["subscribe"]}', "4400"),
    ("an id that is a number", json.dumps(subscribe(TYPENAME, 1)).encode(), "4400"),
    ("an empty id", json.dumps(subscribe(TYPENAME, "")).encode(), "4400"),
    ("no id", b'{"type":"subscribe","payload":{"query":"{__typename}"}}', "4400"),
    ("no payload", b'{"type":"subscribe","id":"1"}', "4400"),
    ("a payload that is a list", json.dumps(subscribe([TYPENAME])).encode(), "4400"),
    ("a query that is a number", json.dumps(subscribe({"query": 1})).encode(), "4400"),
    ("a ping whose payload is a text", b'{"type":"ping","payload":"x"}', "4400"),
    ("a complete without an id", b'{"type":"complete"}', "4400"),
    ("NaN", b'{"type":"ping","payload":{"a":NaN}}', "4400"),
    ("init a second time", json.dumps(INIT).encode(), "4429"),
    ("a document with a syntax error", json.dumps(subscribe({"query": "{"})).encode(), "error GRAPHQL_PARSE_FAILED"),
    ("a fragment bomb", json.dumps(subscribe({"query": "{...a} " + "".join(f"fragment {a} on Query {{ ...{b} ...{b} }}" for a, b in zip("abcdefghijklmnopqrst", "bcdefghijklmnopqrstu", strict=True)) + "fragment u on Query { __typename }"})).encode(), "error QUERY_LIMIT_EXCEEDED"),
    ("a field nobody has", json.dumps(subscribe({"query": "{ nothing }"})).encode(), "error GRAPHQL_VALIDATION_FAILED"),
    ("a forged cursor", json.dumps(subscribe({"query": 'subscription { events(after: "AAAA") { cursor } }'})).encode(), "error INVALID_INPUT"),
    ("variables that do not fit", json.dumps(subscribe({"query": "query q($a: String!) { project(name: $a) { name } }"})).encode(), "error BAD_USER_INPUT"),
]  # fmt: skip
FRAMES: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("a binary message", b"{}", {"kind": BINARY}, "4400"),
    ("a message of 2 MiB", b" " * (2 << 20), {}, "1009"),
    ("a text that is no UTF-8", b'{"type":"ping\xff"}', {}, "1007"),
    ("a frame without a mask", b"{}", {"mask": False}, "1002"),
    ("a reserved bit", b"{}", {"first": 0xC1}, "1002"),
    ("a reserved kind", b"{}", {"first": 0x83}, "1002"),
    ("a continuation of nothing", b"{}", {"first": 0x80}, "1002"),
    ("a ping in pieces", b"x", {"first": 0x09}, "1002"),
    ("a ping of 200 bytes", b"x" * 200, {"kind": PING}, "1002"),
    ("a close with one byte", b"x", {"kind": CLOSE}, "1002"),
    ("a close with a code nobody has", b"\x00\x01", {"kind": CLOSE}, "1002"),
    ("a close whose reason is no UTF-8", b"\x03\xe8\xff", {"kind": CLOSE}, "1007"),
]
HANDSHAKES: list[tuple[str, dict[str, str], str]] = [
    ("a foreign origin", {"Origin": "https://evil.example"}, "403 closed"),
    ("a foreign host", {"Host": "evil.example"}, "403 closed"),
    ("no key", {"Sec_WebSocket_Key": ""}, "400 closed"),
    ("a key that is none", {"Sec_WebSocket_Key": "x"}, "400 closed"),
    ("version 99", {"Sec_WebSocket_Version": "99"}, "400 closed"),
]


def inputs() -> Iterator[Hostile]:
    """All of them."""
    for name, text, expected in TEXTS:
        yield hostile(
            f"socket: {name}", lambda target, text=text: after(target, lambda peer: peer.frame(text)), expected
        )
    for name, content, options, expected in FRAMES:
        yield hostile(
            f"socket: {name}",
            lambda target, content=content, options=options: after(target, lambda peer: peer.frame(content, **options)),
            expected,
        )
    for name, headers, expected in HANDSHAKES:
        yield hostile(
            f"socket: a handshake with {name}",
            lambda target, headers=headers: talk(target, handshake(target, **headers)),
            expected,
        )
    yield hostile("socket: another protocol", lambda target: before(target, INIT, "graphql-ws"), "4406")
    yield hostile("socket: no protocol", lambda target: before(target, INIT, ""), "4406")
    yield hostile("socket: an operation without init", lambda target: before(target, subscribe(TYPENAME)), "4401")
    yield hostile("socket: init with a list", lambda target: before(target, {**INIT, "payload": [1]}), "4400")
    yield hostile("socket: no init", lambda target: before(target, None), "4408", patient=True)
    yield hostile("socket: an id that is taken", twice, "4409")
    yield hostile("socket: 500 subscriptions at once", crowd, "error TOO_MANY_OPERATIONS")
    yield hostile("socket: 2 000 times subscribe and complete", churn, "pong", "error TOO_MANY_OPERATIONS")
    yield hostile("socket: 5 000 pings", pings, "pong × 5000")
    yield hostile("socket: 5 000 pings of the protocol below", frames, "pong")
    yield hostile("socket: a message in 20 000 pieces", pieces, "pong", "1009")
    yield hostile("socket: a frame that says it has 2⁶³ bytes", huge, "1009", "1002")
    yield hostile("socket: a frame that never ends", endless, "closed")
    yield hostile("socket: whoever asks and never reads", deaf, "closed")
    yield hostile("socket: whoever leaves without a word", vanish, "closed")


def after(target: Target, act: Callable[[Peer], None]) -> str:
    """What the server says to an act of an acknowledged client."""
    with opened(target) as peer:
        act(peer)
        return peer.until("pong", "next")


def before(target: Target, message: Any, protocol: str = "graphql-transport-ws") -> str:
    """What the server says to the first message, if there is one."""
    with opened(target, acknowledged=False, protocol=protocol) as peer:
        if message is not None:
            peer.say(message)
        return peer.until("connection_ack", "next")


def twice(target: Target) -> str:
    def act(peer: Peer) -> None:
        peer.say(subscribe(EVENTS))
        peer.say(subscribe(EVENTS))

    return after(target, act)


def crowd(target: Target) -> str:
    def act(peer: Peer) -> None:
        for number in range(500):
            peer.say(subscribe(EVENTS, f"{number}"))

    return after(target, act)


def churn(target: Target) -> str:
    with opened(target) as peer:
        for number in range(2000):
            peer.say(subscribe(EVENTS, f"{number}"))
            peer.say({"id": f"{number}", "type": "complete"})
        peer.say({"type": "ping"})
        return peer.until("pong")


def pings(target: Target) -> str:
    with opened(target) as peer:
        for _ in range(50):
            for _ in range(100):
                peer.say({"type": "ping", "payload": {"x": "y" * 50}})
            if {peer.until("pong") for _ in range(100)} != {"pong"}:
                return "no pong"
        return "pong × 5000"


def frames(target: Target) -> str:
    def act(peer: Peer) -> None:
        for _ in range(5000):
            peer.frame(b"x" * 100, PING)
        peer.say({"type": "ping"})

    return after(target, act)


def pieces(target: Target) -> str:
    def act(peer: Peer) -> None:
        text = b'{"type":"ping"' + b" " * 20_000 + b"}"
        for place in range(len(text) - 1):
            peer.frame(text[place : place + 1], first=0x01 if place == 0 else 0x00)
        peer.frame(text[-1:], first=0x80)

    return after(target, act)


def huge(target: Target) -> str:
    return after(target, lambda peer: peer.raw(b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + bytes(4)))


def endless(target: Target) -> str:
    """A frame of which one byte is sent; whoever sent it leaves."""
    with opened(target) as peer:
        peer.raw(b"\x81\xfe\xff\xff" + bytes(4) + b"{")
    return "closed"


def deaf(target: Target) -> str:
    """Asks for much, takes none of it, and leaves."""
    with opened(target) as peer:
        for number in range(100):
            peer.say(
                subscribe(
                    {"query": "{ __schema { types { name description fields { name description } } } }"}, f"{number}"
                )
            )
    return "closed"


def vanish(target: Target) -> str:
    with connected(target) as made:
        made.sendall(handshake(target)[:-2])
    return "closed"
