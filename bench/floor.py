"""The floor of a read: one GET of the same cache, behind the same server and framework, and nothing else.

`FLOOR_REDIS` is where the cache is; the answer lies there under every name that is asked for.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.redis = Redis.from_url(os.environ["FLOOR_REDIS"])
    yield
    await app.state.redis.aclose()


async def _get(request: Request) -> Response:
    found = await request.app.state.redis.get(request.path_params["name"])
    return Response(found, media_type="application/json") if found else Response(status_code=404)


app = Starlette(routes=[Route("/{name}", _get)], lifespan=_lifespan)
