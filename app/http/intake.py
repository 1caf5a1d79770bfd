"""Bodies too large for memory, written down as they come: packed or not, up to a limit, while the disk has room."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO

from starlette.requests import Request

from app.http.errors import Code, Refusal

BLOCK = 1 << 20
STALLED_SECONDS = 20.0
LEAST_SENT = 64 << 10
"""Bytes that a client sends in `STALLED_SECONDS`, or it is hung up on: others may wait for its place."""
CLOSE = {"connection": "close"}


async def receive(request: Request, file: BinaryIO, limit: int, full: Callable[[], bool]) -> Refusal | None:
    """Write the body to a file; answers why that was left, if it was: there is too much of it, or the disk is `full`.

    What is not kept is taken still, up to twice the limit: a client that is sending would not hear the answer. The
    first portion is kept always. Raises Refusal, ClientDisconnect.
    """
    received, block = 0, bytearray()
    left: Refusal | None = None
    async for chunk in _decoded(request):
        received += len(chunk)
        if received > 2 * limit:
            raise Refusal(Code.PAYLOAD_TOO_LARGE, f"At most {limit >> 20} MiB are taken at once.", headers=CLOSE)
        if left:
            continue
        block += chunk
        if received > limit:
            left = Refusal(Code.PAYLOAD_TOO_LARGE, f"At most {limit >> 20} MiB are taken at once; send less.")
        elif len(block) >= BLOCK:
            await asyncio.to_thread(file.write, block)
            block = bytearray()
            left = no_room() if await asyncio.to_thread(full) else None
    await asyncio.to_thread(file.write, block)
    return left


def no_room() -> Refusal:
    """What to say while the disk is full."""
    message = "The disk of the server is nearly full. Tell its operator, and try again later."
    return Refusal(Code.UNAVAILABLE, message, headers={"retry-after": "60"})


async def _decoded(request: Request) -> AsyncIterator[bytes]:
    """The body in portions, unpacked where it comes packed. Raises Refusal, ClientDisconnect."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        async for chunk in _chunks(request):
            yield chunk
        return
    if encoding not in {"gzip", "x-gzip"}:
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, "Send the request as it is, or with gzip.")
    unpacking = zlib.decompressobj(wbits=31)
    try:
        async for chunk in _chunks(request):
            rest, portion = chunk, b""
            while rest or len(portion) == BLOCK:
                yield (portion := unpacking.decompress(rest, BLOCK))
                rest = unpacking.unconsumed_tail
    except zlib.error as error:
        raise Refusal(Code.BAD_REQUEST, "The request is not gzip, as it says it is.") from error
    if not unpacking.eof:
        raise Refusal(Code.BAD_REQUEST, "The request ended too soon; send it again.")


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Refusal for a client that sends nothing more, or next to nothing."""
    try:
        async for chunk in in_time(request):
            yield chunk
    except TimeoutError:
        message = "Next to nothing was sent for a while; try again over a better line."
        raise Refusal(Code.REQUEST_TIMEOUT, message, headers=CLOSE) from None


async def in_time(request: Request) -> AsyncIterator[bytes]:
    """The same. Raises TimeoutError for such a client."""
    chunks, clock = aiter(request.stream()), asyncio.get_running_loop().time
    sent, deadline = 0, clock() + STALLED_SECONDS
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        sent += len(chunk)
        if sent >= LEAST_SENT:
            sent, deadline = 0, clock() + STALLED_SECONDS
        yield chunk
