"""A cache server of a test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from app.stores.cache.redis import RedisCache
from app.stores.cache.valkey import PrivateValkey


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[PrivateValkey]:
    server = PrivateValkey(tmp_path / "cache")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def cache(valkey: PrivateValkey) -> AsyncIterator[RedisCache]:
    cache = RedisCache(valkey.url, timeout=0.3, pause=0.3)
    yield cache
    await cache.close()


@pytest.fixture
async def raw(valkey: PrivateValkey) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(valkey.url)
    yield client
    await client.aclose()
