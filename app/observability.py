"""What the server says of itself: a request id on every answer, and a record of every request.

Query strings are never logged: signed links are secrets.
"""

import asyncio
import re
import secrets
import time
from http import HTTPStatus
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.answer import refused
from app.http.errors import Code, Mask, Refusal
from app.http.headers import values_of
from app.http.record import Record
from app.registry.trail import Trail, fails

HEADER = b"x-request-id"
ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
SWITCHING = 101
MASK = Mask(())
STOPPING = Refusal(Code.UNAVAILABLE, "The server is stopping and did not finish this; send it again in a moment.")


class RequestLog:
    """Gives every request an id, the caller's own if it sent a usable one, and records how it ended.

    Whatever nobody caught ends here: masked, and logged once with the id. So does what a stopping server cuts short.
    """

    def __init__(self, app: ASGIApp, record: Record) -> None:
        self._app = app
        self._record = record
        self._process = secrets.token_hex(8)
        self._numbers = count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its id in `scope["state"]`."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request_id = (
            next(filter(ID.match, values_of(scope, HEADER)), "") or f"{self._process}{next(self._numbers):016x}"
        )
        scope.setdefault("state", {})["request_id"] = request_id
        started, status, trail = time.perf_counter(), 0, Trail(request_id)
        self._record.begin(trail, scope)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.accept"}:
                status = message.get("status", SWITCHING)
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            elif not status and message["type"] == "websocket.close":
                status = HTTPStatus.FORBIDDEN  # which is how a server says that it takes no socket
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  the last resort: nobody above handles it
            refusal = STOPPING if isinstance(error, asyncio.CancelledError) else MASK.refusal(error, request_id)
            fails(refusal.code)
            if scope["type"] == "http" and not status:  # else the server cuts the unfinished answer off
                await refused(refusal)(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - started
            self._record.request(trail, scope.get("method", "WEBSOCKET"), scope["path"], status, seconds)
