"""The map of the server: which parts there are and how they hold together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app import demo
from app.http import explorer
from app.http.engine import Engine
from app.http.git import git_routes
from app.http.graphql import Edge
from app.http.headers import asks_anew
from app.http.hooks import hook_routes
from app.http.kept import KeptAnswers
from app.http.objects import object_routes
from app.http.straight import Straight
from app.observability import RequestLog
from app.registry.errors import RegistryError
from app.registry.model import Actor
from app.registry.registry import Registry, Stores
from app.registry.remotes import refusal_of
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.schema.build import build_schema
from app.schema.errors import details
from app.security import LOOPBACK_NAMES, SameSite
from app.settings import Settings
from app.stores.connect import Connected, Places, connect
from app.stores.objects.local import LocalObjects
from app.workers.expire import expire
from app.workers.follow import listen, repeat
from app.workers.publish import publish

GRAPHQL = "/graphql"
EXPLORER = Path(__file__).parent / "explorer"


def create_app(settings: Settings, *, with_demo: bool = False) -> Starlette:
    """The ASGI application. Its stores are opened and closed with its lifespan."""
    limits = Limits()
    caller = Actor(settings.actor_name, settings.actor_email)

    async def make_context(connection: HTTPConnection) -> Context:
        return Context(connection.app.state.registry, caller, limits, strong=asks_anew(connection.scope))

    engine = Engine(
        build_schema(), limits, public=(RegistryError,), details=details, told=refusal_of, plans=settings.shortcuts
    )
    edge = Edge(engine, make_context, kept=KeptAnswers() if settings.shortcuts else None)
    app = _App(
        routes=[
            Route(GRAPHQL + "/", _without_slash, methods=["GET", "POST"]),
            Route("/livez", _alive),
            Route("/readyz", _ready),
            *hook_routes(settings.hook_secret.get_secret_value() if settings.hook_secret else None),
            *explorer.routes(EXPLORER),
        ],
        middleware=[
            Middleware(RequestLog),
            Middleware(SameSite, hosts=_names(settings)),
            Middleware(Straight, path=GRAPHQL, to=edge),
        ],
        lifespan=_lifespan(settings, caller, limits, with_demo=with_demo),
    )
    app.state.edge = edge
    return app


class _App(Starlette):
    """Starlette without its last resort, which would only stand before ours: nothing gets past RequestLog."""

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = ExceptionMiddleware(self.router, handlers=self.exception_handlers)
        for middleware, arguments, options in reversed(self.user_middleware):
            app = middleware(app, *arguments, **options)
        return app


def _lifespan(
    settings: Settings, caller: Actor, limits: Limits, *, with_demo: bool
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with connect(places_of(settings)) as stores:
            registry = _registry(settings, limits, stores)
            served = object_routes(stores.objects) if isinstance(stores.objects, LocalObjects) else []
            app.router.routes.extend([*served, *git_routes(stores.service)])
            app.state.registry = registry
            await registry.start()
            if with_demo and settings.catalog_url is None and not registry.catalogue.projects:
                await demo.create(registry, caller)
            workers = _workers(registry, settings.sync_seconds, stores)
            try:
                yield
            finally:
                await _end(workers)
                await app.state.edge.close_all()
                await registry.close()

    return lifespan


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
        strict_pushes=settings.strict_pushes,
    )


def _workers(registry: Registry, sync_seconds: float, stores: Connected) -> list[asyncio.Task[None]]:
    """What happens by itself, from now on."""
    following = (repeat(registry.follow, sync_seconds), listen(stores.cache.wakes(), registry.hear))
    workers = [*following, expire(registry.expiry)]
    if registry.publisher:
        workers.append(publish(registry.publisher, registry.feed.more))
    return [asyncio.create_task(worker) for worker in workers]


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


async def _without_slash(request: Request) -> Response:
    """The same request, method and body included, belongs to the path without the slash."""
    return RedirectResponse(URL(GRAPHQL).replace(query=request.url.query))


async def _alive(_request: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def _ready(request: Request) -> Response:
    """Ready once the first look at Git is over, which is before the first request is taken."""
    registry: Registry = request.app.state.registry
    return JSONResponse({"status": "ready", "projects": len(registry.catalogue.projects)})
