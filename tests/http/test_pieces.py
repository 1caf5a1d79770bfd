"""In how many pieces an answer is written: a short one in one, and nothing is held back from who waits for it."""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from app.http.peers import HttpProtocol

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}


class Wire(asyncio.Transport):
    """Keeps what is written to it, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def answered(app: ASGIApp, *requests: bytes) -> Wire:
    """What is written to a client that sends these requests at once and waits a little."""
    wire = Wire()
    config = uvicorn.Config(app, log_config=None, lifespan="off", interface="asgi3")
    protocol = HttpProtocol(config, ServerState(), {})
    protocol.connection_made(wire)
    protocol.data_received(b"".join(requests))
    await asyncio.sleep(0.01)
    protocol.connection_lost(None)
    return wire


def request(method: str = "GET", *headers: str) -> bytes:
    return "\r\n".join([f"{method} / HTTP/1.1", "host: x", *headers, "", ""]).encode()


async def short(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(HEAD)
    await send({"type": "http.response.body", "body": b"body"})


async def waiting(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(HEAD)
    await asyncio.Event().wait()


async def reading(_scope: Scope, receive: Receive, _send: Send) -> None:
    await receive()


async def test_a_short_answer_is_written_in_one_piece() -> None:
    (piece,) = (await answered(short, request())).pieces
    assert piece.startswith(b"HTTP/1.1 200 OK\r\n")
    assert piece.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_answers_to_requests_that_came_at_once_are_in_their_order_and_whole(method: str) -> None:
    pieces = (await answered(short, request(method), request(method), request(method))).pieces
    assert len(pieces) == 3
    assert all(piece.startswith(b"HTTP/1.1 200") for piece in pieces)
    assert all(piece.endswith(b"\r\n\r\n" if method == "HEAD" else b"body") for piece in pieces)


async def test_a_head_does_not_wait_for_a_body_that_is_not_there_yet() -> None:
    (piece,) = (await answered(waiting, request())).pieces
    assert piece.endswith(b"\r\n\r\n")


async def test_a_head_alone_is_written_before_the_connection_is_closed() -> None:
    wire = await answered(short, request("HEAD", "connection: close"))
    assert wire.closed
    assert len(wire.pieces) == 1


async def test_a_client_that_asks_whether_to_go_on_is_told_at_once() -> None:
    wire = await answered(reading, request("POST", "content-length: 4", "expect: 100-continue"))
    assert wire.pieces[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
