"""The server as a process: its settings, its socket, its signals."""

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer
import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette

from app.http.body import MAX_BODY
from app.http.peers import HttpProtocol, SocketProtocol
from app.logs import configure_logging
from app.main import create_app
from app.registry import names
from app.resolvers.limits import LIMITS
from app.security import is_loopback
from app.settings import Settings, SettingsError, refuse_unknown, traces_wanted
from app.stores.errors import StoreError

if TYPE_CHECKING:
    from app.tracing import Spans

GRACE_SECONDS = 6
OTHER_FILES = 4096  # which repositories, stores and what runs beside them may have open
SWITCH_SECONDS = 0.0005  # for which a thread that parses or reads Git may hold up the event loop
# A collection of everything holds up everybody, and finds little: it waits for two million new objects.
COLLECT = (700, 10, 300)


def run(options: Mapping[str, Any], *, with_demo: bool) -> None:
    """Serve until a signal asks to stop. Raises typer.Exit, the reason said, when the server cannot start."""
    settings = read_settings(options)
    configure_logging()
    gc.disable()  # until the server is up: hardly anything that is made before can go
    with _listening(settings) as listening:
        if settings.port == 0:
            settings = settings.model_copy(update={"port": listening.getsockname()[1]})
        app = create_app(settings, with_demo=with_demo, spans=_spans())
        server = _Server(app, _welcome(settings))
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            try:
                runner.run(server.run_on(listening))
            except StoreError as error:
                raise _stop(str(error)) from error


def read_settings(options: Mapping[str, Any]) -> Settings:
    """The settings of the environment, and the options that win over them; None is an option not given.

    Raises typer.Exit, the reason said, when they cannot be used.
    """
    try:
        refuse_unknown(os.environ)
        settings = Settings(**{name: value for name, value in options.items() if value is not None})
    except SettingsError as error:
        raise _stop(str(error)) from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise _stop(f"These settings cannot be used: {problems}") from error
    if problems := "; ".join(_problems(settings)):
        raise _stop(f"These settings cannot be used: {problems}")
    if not is_loopback(settings.host) and not settings.requires_sign_in:
        raise _stop(
            f"{settings.host} can be reached from other machines, and this server would let in whoever reaches it. Set "
            "REGISTRY_SIGN_IN=true and make a token with `ml-registry token create`, or listen on 127.0.0.1."
        )
    return settings


class _Server(uvicorn.Server):
    """Opens the stores before it listens, greets when it is up, and ends open streams before it waits for them."""

    def __init__(self, app: Starlette, welcome: str) -> None:
        self._app = app
        self._welcome = welcome
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            http=HttpProtocol,
            ws=SocketProtocol,
            limit_concurrency=_room_for_connections(),
            timeout_keep_alive=LIMITS.idle_seconds,
            ws_max_size=MAX_BODY,
            ws_per_message_deflate=False,
        )
        super().__init__(config)

    async def run_on(self, listening: socket.socket) -> None:
        """Serve until a signal asks to stop, which is a success. Raises StoreError when a store cannot be opened."""
        async with self._app.router.lifespan_context(self._app):
            for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn sends itself what it caught once it has stopped
                signal.signal(number, _stopped_already)
            await self.serve([listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say where."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is there now, the schema above all, stays for good: no collection need look at it again
        gc.set_threshold(*COLLECT)
        gc.enable()
        sys.setswitchinterval(SWITCH_SECONDS)
        typer.echo(self._welcome)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close subscriptions first: they would never end by themselves."""
        edge = self._app.state.edge
        await edge.close_all()
        await asyncio.gather(super().shutdown(sockets), edge.finish(GRACE_SECONDS))


def _room_for_connections() -> int:
    """How many connections there may be: as many as are served, where the system lets this process have the files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = LIMITS.connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return LIMITS.connections if soft == resource.RLIM_INFINITY else min(LIMITS.connections, soft - soft // 4)


def _stopped_already(_number: int, _frame: FrameType | None) -> None:
    """What a signal does when there is nothing left to stop."""


def _problems(settings: Settings) -> Iterator[str]:
    """What pydantic cannot see: names Git has no place for, an address nobody can call."""
    for name in ("actor_name", "actor_email"):
        if problem := names.problem_with_person(getattr(settings, name)):
            yield f"{name}: {problem}"
    if settings.catalog_url and not settings.secret:
        yield "secret: Servers of one catalogue need the same: set REGISTRY_SECRET to 32 random characters or more."
    if bool(settings.oidc_issuer) != bool(settings.oidc_audience):
        yield "oidc_issuer: It goes with REGISTRY_OIDC_AUDIENCE; set both or none."
    public = urlsplit(settings.base_url)
    if public.scheme not in {"http", "https"} or not public.hostname or public.path:
        yield "public_url: It is like https://registry.example.org, without a path."


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """A bound socket, closed with the block."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, settings.port))
        except OSError as error:
            raise _stop(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Try another --port."
            ) from error
        yield listening


def _spans() -> "Spans | None":
    if not traces_wanted(os.environ):
        return None
    from app.tracing import Spans  # noqa: PLC0415 (a third of a second that only traces are worth)

    return Spans()


def _stop(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)


def _welcome(settings: Settings) -> str:
    url = settings.base_url
    query = '{ artifact(project: \\"demo\\", name: \\"topic-training-data\\") { dataObjectId metadata } }'
    return f"""
The ML Registry is up.

  GraphiQL   {url}/
  GraphQL    {url}/graphql
  Git        {url}/git/<project>

Three things to try:

  1. Open {url}/ and press Play.
  2. git clone {url}/git/demo && cat demo/artifacts.yml
  3. curl -s {url}/graphql -H 'content-type: application/json' \\
       -d '{{"query": "{query}"}}'
"""
