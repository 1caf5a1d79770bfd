"""The floor of a lookup: one GET of the same kind of cache, behind the same server and framework, and nothing else."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.stores.cache.valkey import PrivateValkey

NAMES = int(os.environ.get("FLOOR_NAMES", "100"))
ANSWER = b'{"data":{"artifact":{"name":"artifact-0000","dataObjectId":"dataset-000000","type":"dataset"}}}'


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    with tempfile.TemporaryDirectory(prefix="floor-") as folder:
        valkey = PrivateValkey(Path(folder))
        await valkey.start()
        app.state.redis = Redis.from_url(valkey.url)
        for number in range(NAMES):
            await app.state.redis.set(f"artifact-{number:04}", ANSWER)
        try:
            yield
        finally:
            await app.state.redis.aclose()
            await valkey.stop()


async def _get(request: Request) -> Response:
    found = await request.app.state.redis.get(request.path_params["name"])
    return Response(found, media_type="application/json") if found else Response(status_code=404)


app = Starlette(routes=[Route("/{name}", _get)], lifespan=_lifespan)
