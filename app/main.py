"""The map of the server: which parts there are and how they hold together."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from app import demo
from app.http import explorer
from app.http.answer import Answer, refused
from app.http.credentials import caller, caller_on_socket
from app.http.engine import Engine
from app.http.errors import Code, Refusal
from app.http.git import git_routes
from app.http.graphql import Edge
from app.http.headers import asks_anew
from app.http.hooks import hook_routes
from app.http.kept import KeptAnswers
from app.http.metrics import Metrics
from app.http.objects import object_routes
from app.http.operations import alive, operation_routes
from app.http.record import Record
from app.http.straight import Straight
from app.http.websocket import Grant
from app.observability import RequestLog
from app.registry.access.identity import Identity
from app.registry.access.sign_in import Issuer, SignIn
from app.registry.errors import RegistryError
from app.registry.health import Examination
from app.registry.model import Actor
from app.registry.registry import Registry, Stores
from app.registry.remotes import refusal_of
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.schema.build import build_schema
from app.schema.errors import details
from app.security import LOOPBACK_NAMES, SameSite
from app.settings import Settings
from app.stores.connect import Connected, Places, connect, keys_of
from app.stores.objects.local import LocalObjects
from app.stores.timings import Timings
from app.workers.expire import expire
from app.workers.follow import listen, repeat
from app.workers.publish import publish

if TYPE_CHECKING:
    from app.tracing import Spans

GRAPHQL = "/graphql"
JUDGE_SECONDS = 1.0
"""Between two looks at whether those who listen may go on: their credentials expire, and policies change."""
EXPLORER = Path(__file__).parent / "explorer"


def create_app(settings: Settings, *, with_demo: bool = False, spans: "Spans | None" = None) -> Starlette:
    """The ASGI application. Its stores are opened and closed with its lifespan; `spans` are drawn where given."""
    limits, record, timings = Limits(), Record(spans), Timings(spans.exchange if spans else None)
    rates = limits.rates()

    async def make_context(connection: HTTPConnection) -> Context:
        return _context(connection, await caller(connection.app.state.sign_in, connection.scope))

    async def authorise(websocket: WebSocket, params: Mapping[str, Any]) -> Grant:
        sign_in: SignIn = websocket.app.state.sign_in
        identity = await caller_on_socket(sign_in, websocket.scope, params)

        async def make() -> Context:
            return _context(websocket, await caller_on_socket(sign_in, websocket.scope, params))

        return Grant(make, None if identity.expires_at is None else identity.expires_at - time.time(), identity.who)

    def _context(connection: HTTPConnection, identity: Identity) -> Context:
        return Context(connection.app.state.registry, identity, limits, asks_anew(connection.scope), rates)

    engine = Engine(
        build_schema(), limits, public=(RegistryError,), details=details, told=refusal_of, plans=settings.shortcuts
    )
    edge = Edge(engine, make_context, authorise, KeptAnswers() if settings.shortcuts else None, record)
    app = _App(
        routes=[
            Route(GRAPHQL + "/", _without_slash, methods=["GET", "POST"]),
            Route("/livez", alive),
            *hook_routes(settings.hook_secret.get_secret_value() if settings.hook_secret else None),
            *explorer.routes(EXPLORER),
        ],
        middleware=[
            Middleware(RequestLog, record=record),
            Middleware(SameSite, hosts=None if settings.requires_sign_in else _names(settings)),
            Middleware(Straight, path=GRAPHQL, to=edge),
        ],
        exception_handlers={HTTPException: _misdirected},  # type: ignore[dict-item]  # any ASGI answer will do
        lifespan=_lifespan(settings, limits, timings, with_demo=with_demo),
    )
    app.state.edge, app.state.record, app.state.spans = edge, record, spans
    return app


class _App(Starlette):
    """Starlette without its last resort, which would only stand before ours: nothing gets past RequestLog."""

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = ExceptionMiddleware(self.router, handlers=self.exception_handlers)
        for middleware, arguments, options in reversed(self.user_middleware):
            app = middleware(app, *arguments, **options)
        return app


def _lifespan(
    settings: Settings, limits: Limits, timings: Timings, *, with_demo: bool
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with connect(places_of(settings), timings) as stores:
            registry = _registry(settings, limits, stores)
            served = object_routes(stores.objects) if isinstance(stores.objects, LocalObjects) else []
            app.router.routes.extend([*served, *git_routes(stores.service), *_operations(app, registry, timings)])
            app.state.registry = registry
            owner = Actor(settings.actor_name, settings.actor_email)
            app.state.sign_in = SignIn(registry.access, owner, _issuer(settings))
            await registry.start()
            if with_demo and settings.catalog_url is None and not registry.catalogue.projects:
                await demo.create(registry, owner)
            workers = _workers(registry, partial(_judge, app), settings.sync_seconds, stores)
            try:
                yield
            finally:
                await _end(workers)
                await app.state.edge.close_all()
                await registry.close()
                if app.state.spans:
                    await app.state.spans.close()

    return lifespan


def _operations(app: Starlette, registry: Registry, timings: Timings) -> list[Route]:
    edge, examination = app.state.edge, Examination(registry, timings)
    numbers = Metrics(registry, examination, app.state.record, edge.connections, edge.kept, timings)
    return operation_routes(examination.health, numbers)


def _registry(settings: Settings, limits: Limits, stores: Connected) -> Registry:
    return Registry(
        Stores(
            git=stores.git,
            catalogue=stores.catalogue,
            cache=stores.cache,
            objects=stores.objects,
            queue=stores.queue,
            catalogue_url=settings.catalog_url,
            service=stores.service,
        ),
        stores.secret,
        max_changes=limits.commit_changes,
        max_size=limits.file_size,
        remote_seconds=settings.remote_seconds,
        sign_in=settings.requires_sign_in,
        strict_pushes=settings.strict_pushes,
    )


def _issuer(settings: Settings) -> Issuer | None:
    """Who says who people are, if anybody is trusted to."""
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    from app.registry.access.keys import Keys  # noqa: PLC0415 (a tenth of a second that only an issuer is worth)
    from app.registry.access.oidc import OidcIssuer  # noqa: PLC0415 (the same)

    return OidcIssuer(settings.oidc_issuer, settings.oidc_audience, Keys(keys_of(settings.oidc_issuer)))


def _workers(
    registry: Registry, judge: Callable[[], Awaitable[None]], sync_seconds: float, stores: Connected
) -> list[asyncio.Task[None]]:
    """What happens by itself, from now on."""
    following = (repeat(registry.follow, sync_seconds), listen(stores.cache.wakes(), registry.hear))
    workers = [*following, expire(registry.expiry), repeat(judge, JUDGE_SECONDS)]
    if registry.publisher:
        workers.append(publish(registry.publisher, registry.feed.more))
    return [asyncio.create_task(worker) for worker in workers]


async def _judge(app: Starlette) -> None:
    """Look at whether those who listen may still do so."""
    if app.state.sign_in.required:
        await app.state.edge.judge_all()


def places_of(settings: Settings) -> Places:
    """Where everything is kept."""
    return Places(
        data_dir=settings.data_dir.resolve(),
        base_url=settings.base_url,
        catalog_url=settings.catalog_url,
        redis_url=settings.redis_url,
        queue_url=settings.queue_url,
        objects_url=settings.objects_url,
        objects_multipart_bytes=settings.objects_multipart_bytes,
        git_credentials=settings.git_credentials,
        ssh_key=settings.ssh_key,
        ssh_known_hosts=settings.ssh_known_hosts,
        secret=settings.secret.get_secret_value() if settings.secret else None,
    )


async def _end(workers: list[asyncio.Task[None]]) -> None:
    for worker in workers:
        worker.cancel()
    for worker in workers:
        with suppress(asyncio.CancelledError):
            await worker


def _names(settings: Settings) -> set[str]:
    """The names callers may know this server by."""
    public = urlsplit(settings.base_url).hostname or ""
    return {*LOOPBACK_NAMES, public, f"[{public}]"}


async def _misdirected(_connection: HTTPConnection, error: Exception) -> Answer:
    """What routing says of a request: there is nothing at its path, or nothing for its method."""
    allow = (error.headers or {}).get("Allow") if isinstance(error, HTTPException) else None
    if allow:
        return refused(Refusal(Code.METHOD_NOT_ALLOWED, f"Ask with {allow} here.", headers={"allow": allow}))
    return refused(Refusal(Code.NOT_FOUND, "There is nothing at this address; the API is at /graphql."))


async def _without_slash(request: Request) -> Response:
    """The same request, method and body included, belongs to the path without the slash."""
    return RedirectResponse(URL(GRAPHQL).replace(query=request.url.query))
