"""One path that is handed over without a router, which takes longer to find it than some of its answers take."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Straight:
    """Middleware: requests and sockets at `path` go to `to`, everything else passes."""

    def __init__(self, app: ASGIApp, path: str, to: ASGIApp) -> None:
        self._app = app
        self._path = path
        self._to = to

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand over, or pass on."""
        await (self._to if scope.get("path") == self._path else self._app)(scope, receive, send)
