"""Who may come in. The embedded default knows one caller, its owner, and lets in nobody from another site."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.answer import refused
from app.http.errors import Code, Refusal
from app.http.headers import Headers, named
from app.registry.trail import fails

HOST, ORIGIN = b"host", b"origin"
SAID = frozenset({HOST, ORIGIN})
KEPT = 64
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SameSite:
    """Refuses requests that a foreign web page made a browser send.

    The Host has to be one of ours, else a page could rebind its own name to this address; None takes any, for where
    callers sign in such a page has nothing to show. An Origin, where the browser sends one, has to be the Host itself.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None = LOOPBACK_NAMES) -> None:
        self._app = app
        self._hosts = None if hosts is None else frozenset(hosts)
        self._problem = lru_cache(KEPT)(self._look)  # most requests say the same of these

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        problem = self._problem(named(scope, SAID))
        if problem:
            await _refuse(scope, receive, send, problem)
        else:
            await self._app(scope, receive, send)

    def _look(self, headers: Headers) -> str:
        """Why a request that says this of where it goes, and where it comes from, is refused; empty if it is not."""
        hosts = [value.decode("latin-1") for name, value in headers if name == HOST]
        origins = [value.decode("latin-1") for name, value in headers if name == ORIGIN]
        host = hosts[0] if len(hosts) == 1 else ""
        if not host or (self._hosts is not None and _name(host) not in self._hosts):
            return f"This server does not go by the name {host!r}; set REGISTRY_PUBLIC_URL to it."
        if any(origin.partition("://")[2] != host for origin in origins):
            pages = ", ".join(map(repr, origins))
            return f"Requests from pages of {pages} are refused; call from your own program."
        return ""


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()


async def _refuse(scope: Scope, receive: Receive, send: Send, message: str) -> None:
    fails(Code.FORBIDDEN)
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4403, "reason": "Forbidden"})
        return
    await refused(Refusal(Code.FORBIDDEN, message))(scope, receive, send)
