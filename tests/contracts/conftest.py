"""Caches and buckets of every kind, for the suites of their ports."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import boto3
import pytest
import redis.asyncio

from app.stores.cache.memory import MemoryCache
from app.stores.cache.redis import RedisCache
from app.stores.cache.valkey import PrivateValkey
from app.stores.objects.bucket import Address
from app.stores.ports import Cache
from tests.support import queue, s3, swift


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateValkey]:
    server = PrivateValkey(tmp_path_factory.mktemp("valkey"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest, valkey: PrivateValkey) -> AsyncIterator[Cache]:
    if request.param == "memory":
        yield MemoryCache()
        return
    client = redis.asyncio.Redis.from_url(valkey.url)
    await client.flushall()
    await client.aclose()
    cache = RedisCache(valkey.url, timeout=5)
    yield cache
    await cache.close()


@pytest.fixture
async def other(cache: Cache, valkey: PrivateValkey) -> AsyncIterator[Cache]:
    """The same cache as another server has it."""
    if isinstance(cache, MemoryCache):
        yield cache
        return
    other = RedisCache(valkey.url, timeout=5, pause=0.05)
    yield other
    await other.close()


@pytest.fixture(scope="session")
def swift_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("swift")
    if reason := swift.lacking(folder):
        pytest.skip(reason)
    with swift.swift(folder) as url:
        yield url


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Bucket]:
    """Our own strict one, to look into and to set."""
    for name, value in s3.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3.strict_s3() as running:
        yield running


@pytest.fixture
def bucket_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Address]]:
    """The way to an empty place in a bucket: our own strict one, Swift's, or moto's, which believes everybody."""
    with ExitStack() as running:

        def at(kind: str) -> Address:
            for name, value in {"strict": s3, "swift": swift, "moto": queue}[kind].CREDENTIALS.items():
                monkeypatch.setenv(name, value)
            if kind == "swift":
                address = Address.parse(request.getfixturevalue("swift_url"))
            elif kind == "strict":
                address = Address.parse(running.enter_context(s3.strict_s3()).setting("some/prefix"))
            else:
                address = Address.parse(_moto(running.enter_context(queue.sqs())))
            return replace(address, prefix=f"{address.prefix}{secrets.token_hex(8)}/")

        yield at


def _moto(endpoint: str) -> str:
    client = boto3.client(
        "s3", queue.REGION, endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.create_bucket(Bucket="bytes", CreateBucketConfiguration={"LocationConstraint": queue.REGION})
    return f"s3://bytes?region={queue.REGION}&endpoint={endpoint}"
