"""What the server says of itself: a request id on every answer, a line in the log for every request.

Query strings are never logged: signed links are secrets.
"""

import asyncio
import atexit
import logging
import re
import secrets
import sys
import time
from contextlib import suppress
from functools import lru_cache, partial
from itertools import count
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.answer import refused
from app.http.errors import Code, Mask, Refusal
from app.http.headers import values_of

HEADER = b"x-request-id"
ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
SAFE_IN_PATHS = "/:@!$&'()*+,;=~"
SWITCHING = 101
MASK = Mask(())
STOPPING = Refusal(Code.UNAVAILABLE, "The server is stopping and did not finish this; send it again in a moment.")
FORMAT = "%(asctime)s %(levelname)-7s %(name)s  %(message)s"
TOGETHER_SECONDS = 0.05
KEPT = 64
log = logging.getLogger("ml_registry.requests")


def configure_logging(level: int = logging.INFO) -> None:
    """Plain lines on standard error."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line says them
    logging.basicConfig(level=level, format=FORMAT)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that it runs is said by the greeting


class RequestLog:
    """Gives every request an id, the caller's own if it sent a usable one, and logs how it ended.

    Whatever nobody caught ends here: masked, and logged once with the id. So does what a stopping server cuts short.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lines = Lines()
        self._process = secrets.token_hex(8)
        self._numbers = count()
        self._shown = lru_cache(KEPT)(partial(quote, safe=SAFE_IN_PATHS))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its id in `scope["state"]`."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request_id = (
            next(filter(ID.match, values_of(scope, HEADER)), "") or f"{self._process}{next(self._numbers):016x}"
        )
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.accept"}:
                status = message.get("status", SWITCHING)
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  the last resort: nobody above handles it
            refusal = STOPPING if isinstance(error, asyncio.CancelledError) else MASK.refusal(error, request_id)
            if scope["type"] == "http" and not status:  # else the server cuts the unfinished answer off
                await refused(refusal)(scope, receive, answer)
        finally:
            if log.isEnabledFor(logging.INFO):
                method, path = scope.get("method", "WEBSOCKET"), self._shown(scope["path"])
                milliseconds = (time.perf_counter() - started) * 1000
                self._lines.add(f"{method} {path} {status or '-'} in {milliseconds:.1f} ms ({request_id})")


class Lines:
    """Lines of the log in the form of all others, written together: one by one they take longer than most requests."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        atexit.register(self._write)  # what waits when the server stops

    def add(self, text: str) -> None:
        """Write a line within TOGETHER_SECONDS."""
        if not self._lines:
            asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self._write)
        now = time.time()
        self._lines.append(f"{_second(int(now))},{int(now % 1 * 1000):03} INFO    {log.name}  {text}\n")

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        with suppress(OSError, ValueError):  # a full disk or a closed terminal: nobody can be told
            sys.stderr.write("".join(lines))
            sys.stderr.flush()


@lru_cache(2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
