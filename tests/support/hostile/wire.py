"""Bytes on a connection of one's own, as no library would send them."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.support.hostile.day import Target

PROBE = b"GET /livez HTTP/1.1\r\nHost: %b\r\nX-Request-Id: probe\r\nConnection: close\r\n\r\n"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SECONDS = 15.0
PATIENCE = 90.0
"""Seconds after which the most patient server has hung up."""


@contextmanager
def connected(target: Target) -> Iterator[socket.socket]:
    """A connection."""
    with socket.create_connection(target.place, SECONDS) as made:
        yield made


def talk(target: Target, *portions: bytes, half_close: bool = False) -> str:
    """Send portions, and answer the statuses that come back; `closed` at the end when no more can be asked there.

    That is found out by asking once more. Nothing at all is an empty answer: the server waits for the rest.
    """
    with connected(target) as made:
        made.settimeout(1.0)
        heard, probe = b"", PROBE % target.place[0].encode()
        try:
            for portion in portions:
                made.sendall(portion)
            if half_close:
                made.shutdown(socket.SHUT_WR)
            while more := made.recv(65536):
                heard += more
                if probe and not half_close and b"\r\n\r\n" in heard:
                    made.sendall(probe)
                    probe = b""
        except TimeoutError:
            return " ".join(statuses(heard))
        except (ConnectionResetError, BrokenPipeError):
            pass
        found = statuses(heard)
        return " ".join(found[:-1] if b"x-request-id: probe" in heard else [*found, "closed"])


def statuses(heard: bytes) -> list[str]:
    """The status of each answer in what was heard."""
    parts = heard.split(b"HTTP/1.1 ")[1:]
    return [part[:3].decode() for part in parts if not part.startswith(b"100")]


def patience(target: Target, first: bytes, drip: bytes, pause: float, most: float) -> str:
    """Send something, then drip for ever; `closed` when the server has hung up within `most` seconds."""
    with connected(target) as made:
        made.sendall(first)
        made.settimeout(pause)
        ends, heard = time.monotonic() + most, b""
        while time.monotonic() < ends:
            try:
                more = made.recv(65536)
                if not more:
                    return " ".join([*statuses(heard), "closed"])
                heard += more
            except TimeoutError:
                made.sendall(drip)
            except OSError:
                return " ".join([*statuses(heard), "closed"])
        return " ".join([*statuses(heard), "still open"])


class Peer:
    """One end of a WebSocket whose frames are made by hand."""

    def __init__(self, made: socket.socket) -> None:
        self._made = made
        self._held = b""

    def frame(self, payload: bytes, kind: int = TEXT, *, mask: bool = True, first: int | None = None) -> None:
        """Send a frame; the mask changes nothing. `first` replaces its first byte."""
        size, bit = len(payload), 0x80 if mask else 0
        if size < 126:
            length = bytes([bit | size])
        elif size < 1 << 16:
            length = bytes([bit | 126]) + struct.pack(">H", size)
        else:
            length = bytes([bit | 127]) + struct.pack(">Q", size)
        self.raw(bytes([0x80 | kind if first is None else first]) + length + (bytes(4) if mask else b"") + payload)

    def raw(self, content: bytes) -> None:
        """Send bytes; whoever has hung up does not hear them."""
        with suppress(OSError):
            self._made.sendall(content)

    def say(self, message: Any) -> None:
        """Send a message as JSON."""
        self.frame(json.dumps(message).encode())

    def hear(self) -> tuple[int, bytes]:
        """The next frame that is no ping; (CLOSE, b"") when the connection has gone."""
        while True:
            head = self._take(2)
            if len(head) < 2:
                return CLOSE, b""
            size = head[1] & 127
            if size > 125:
                size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
            content = self._take(size)
            if head[0] & 15 != PING:
                return head[0] & 15, content

    def until(self, *wanted: str) -> str:
        """The type of the first message that is wanted, with its code if it is an error; or the code of the close."""
        while True:
            kind, content = self.hear()
            if kind == CLOSE:
                return str(int.from_bytes(content[:2], "big")) if content else "gone"
            if kind == PONG:
                continue
            message = json.loads(content)
            if message["type"] == "error":
                return f"error {message['payload'][0]['extensions']['code']}"
            if message["type"] in wanted:
                return str(message["type"])

    def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            try:
                more = self._made.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                break
            self._held += more
        taken, self._held = self._held[:size], self._held[size:]
        return taken


def handshake(target: Target, protocol: str = "graphql-transport-ws", **headers: str) -> bytes:
    """The request that opens a WebSocket; `headers` replace those it has, with `_` for `-`."""
    given = {
        "Host": f"{target.place[0]}:{target.place[1]}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": protocol,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{name}: {value}" for name, value in given.items() if value]
    return "\r\n".join(["GET /graphql HTTP/1.1", *lines, "", ""]).encode()


@contextmanager
def opened(target: Target, *, acknowledged: bool = True, protocol: str = "graphql-transport-ws") -> Iterator[Peer]:
    """A WebSocket, with the connection acknowledged or not."""
    with connected(target) as made:
        made.sendall(handshake(target, protocol))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            more = made.recv(1)
            assert more, head
            head += more
        assert head.startswith(b"HTTP/1.1 101"), head
        peer = Peer(made)
        if acknowledged:
            peer.say({"type": "connection_init"})
            assert peer.until("connection_ack") == "connection_ack"
        yield peer
