"""What operators and their machines ask: whether the server lives, whether it can serve, and in numbers how it does."""

import asyncio
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.http.answer import Answer, refused
from app.http.credentials import caller
from app.http.errors import Code, Refusal
from app.registry.access.identity import Role
from app.registry.access.policy import EVERYTHING
from app.registry.health import Health
from app.registry.registry import Registry

NEVER_KEPT = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


async def alive(_request: Request) -> Response:
    """`/livez`: the event loop turns. A server that does not answer here is to be started anew."""
    return JSONResponse({"status": "alive"}, headers=NEVER_KEPT)


def operation_routes(health: Callable[[], Health], collector: Collector) -> list[Route]:
    """`/readyz` and `/metrics`; the latter, which counts what there is, for those who may read everything."""
    numbers = CollectorRegistry(auto_describe=False)
    numbers.register(collector)
    ProcessCollector(registry=numbers)

    async def ready(_request: Request) -> Response:
        now = health()
        status = "unavailable" if now.failed else "degraded" if now.degraded else "ready"
        said = {"status": status, "degraded": dict(now.degraded), **({"failed": now.failed} if now.failed else {})}
        return JSONResponse(said, 503 if now.failed else 200, NEVER_KEPT)

    async def metrics(request: Request) -> Response | Answer:
        try:
            await _judge(request)
        except Refusal as refusal:
            return refused(refusal)
        text = await asyncio.to_thread(generate_latest, numbers)
        return Response(text, headers=NEVER_KEPT, media_type=CONTENT_TYPE_LATEST)

    return [Route("/readyz", ready), Route("/metrics", metrics)]


async def _judge(request: Request) -> None:
    """Raises Refusal unless the caller may read everything."""
    identity = await caller(request.app.state.sign_in, request.scope)
    registry: Registry = request.app.state.registry
    if (role := registry.access.role(identity, EVERYTHING)) < Role.READER:
        message = f"The numbers count every project: they take the role {Role.READER} in {EVERYTHING}; yours is {role}."
        raise Refusal(Code.FORBIDDEN, message)
