"""Subscribers to the events of one branch, many in one process, that cost next to nothing; run by `fanout.py`.

A line on the output says how many events everybody has heard by now. When the input ends, the last line is what they
heard: the names of the artifacts, the digest of the bytes each subscriber got, and the times its events came at.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import socket
import sys
from array import array
from time import monotonic
from typing import Any

import uvloop

EVENTS = """subscription { events(filter: {project: "bench", branch: "main"}) { cursor node {
  id kind projectName branchName commit sequence occurredAt actor { name }
  ... on ArtifactEvent { artifactName change { kind fields { path before after } } } } } }"""
INIT = {"type": "connection_init"}
SUBSCRIBE = {"type": "subscribe", "id": "1", "payload": {"query": EVENTS}}
PING = {"type": "ping"}
PING_FRAME, PONG_FRAME = 0x89, b"\x8a"
LONGEST_ANSWER = 1 << 16
STALLED_BUFFER = 4096


class Progress:
    """How far everybody is: a line whenever the last of them has heard one more event."""

    def __init__(self, subscribers: int) -> None:
        self._subscribers = subscribers
        self._heard: list[int] = []
        self.sample: list[bytes] = []

    def heard(self, number: int, frame: bytes) -> None:
        """One more has heard the event of this number, from 0."""
        if number == len(self._heard):
            self._heard.append(0)
            self.sample.append(frame[frame.index(b"{") :])
        self._heard[number] += 1
        if self._heard[number] == self._subscribers:
            print(number + 1, flush=True)


class Subscriber(asyncio.Protocol):
    """Counts the frames of a socket, which carry one event each, and when they came."""

    def __init__(self, progress: Progress, rest: bytes) -> None:
        self.times = array("d")
        self.digest = hashlib.sha1(usedforsecurity=False)
        self._progress = progress
        self._rest = rest

    def connection_made(self, transport: Any) -> None:
        """Remember where pings are answered."""
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Stop the run, which asks for a number; at its end nobody reads this any more."""
        print("lost", error, flush=True)

    def data_received(self, data: bytes) -> None:
        """Some bytes, which begin and end anywhere."""
        now = monotonic()
        data = self._rest + data
        start = 0
        while (end := _frame(data, start)) <= len(data):
            if data[start] == PING_FRAME:
                self._transport.write(PONG_FRAME + bytes([0x80 | data[start + 1]]) + bytes(4) + data[start + 2 : end])
            else:
                self.digest.update(data[start:end])
                self._progress.heard(len(self.times), data[start:end])
                self.times.append(now)
            start = end
        self._rest = data[start:]


def _frame(data: bytes, start: int) -> int:
    """Where the frame that begins at `start` ends; past the end of the data when it is not all there."""
    if len(data) < start + 2:
        return len(data) + 1
    length = data[start + 1]
    if length < 126:
        return start + 2 + length
    wide = 2 if length == 126 else 8
    if len(data) < start + 2 + wide:
        return len(data) + 1
    return start + 2 + wide + int.from_bytes(data[start + 2 : start + 2 + wide])


def connect(port: int, path: str, *, stalled: bool = False) -> tuple[socket.socket, bytes]:
    """A socket whose subscription was taken in, and what came after that was said."""
    made = socket.socket()
    if stalled:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_BUFFER)
    made.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    made.sendall(
        f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        f"sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-protocol: graphql-transport-ws\r\n\r\n".encode()
    )
    received = b""
    while b"\r\n\r\n" not in received:
        received += made.recv(LONGEST_ANSWER)
    assert received.startswith(b"HTTP/1.1 101"), received
    made.sendall(_masked(INIT) + _masked(SUBSCRIBE) + _masked(PING))
    received = received.partition(b"\r\n\r\n")[2]
    for kind in ("connection_ack", "pong"):
        while _frame(received, 0) > len(received):
            received += made.recv(LONGEST_ANSWER)
        end = _frame(received, 0)
        assert json.loads(received[2:end])["type"] == kind, received
        received = received[end:]
    return made, received


def _masked(message: object) -> bytes:
    text = json.dumps(message).encode()
    length = bytes([0x80 | len(text)]) if len(text) < 126 else bytes([0x80 | 126]) + len(text).to_bytes(2)
    return b"\x81" + length + bytes(4) + text


async def listen(port: int, path: str, count: int, stalled: int) -> None:
    """Subscribe, say so, and hear until the input ends."""
    loop = asyncio.get_running_loop()
    idle = [connect(port, path, stalled=True)[0] for _ in range(stalled)]
    progress = Progress(count)
    heard = []
    for _ in range(count):
        made, rest = connect(port, path)
        heard.append(subscriber := Subscriber(progress, rest))
        made.settimeout(0)
        await loop.connect_accepted_socket(lambda subscriber=subscriber: subscriber, made)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    for one in idle:
        one.close()
    told = {
        "digests": [one.digest.hexdigest() for one in heard],
        "times": [list(one.times) for one in heard],
        "names": [json.loads(text)["payload"]["data"]["events"]["node"]["artifactName"] for text in progress.sample],
    }
    print(json.dumps(told), flush=True)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("count", type=int)
    parser.add_argument("stalled", type=int)
    asked = parser.parse_args()
    uvloop.run(listen(asked.port, asked.path, asked.count, asked.stalled))


if __name__ == "__main__":
    main()
