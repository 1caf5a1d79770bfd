"""Which adapter stands behind each port: the only place that names them."""

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.stores.cache.redis import RedisCache
from app.stores.cache.valkey import PrivateValkey
from app.stores.errors import StoreError
from app.stores.git.hosted import DiskRepository, HostedGit
from app.stores.objects.local import LocalObjects
from app.stores.ports import Cache, GitHost, NewCommit, Queue, Repository, Signature
from app.stores.secret import signing_secret


class DataDirectoryInUseError(StoreError):
    """Another server runs on this data directory."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Every store, open."""

    git: GitHost
    catalogue: Repository
    cache: Cache
    objects: LocalObjects
    queue: Queue | None
    secret: bytes


@asynccontextmanager
async def connect(
    data_dir: Path, base_url: str, redis_url: str | None, queue_url: str | None
) -> AsyncIterator[Connected]:
    """Open the stores of a data directory, and start a private cache when none is named; both end with the block.

    Raises StoreError.
    """
    with _alone(data_dir):
        secret = signing_secret(data_dir / "secret")
        objects = LocalObjects(data_dir / "objects", base_url, secret)
        objects.clean()
        git = HostedGit(data_dir / "git")
        catalogue = _catalogue(data_dir / "catalog.git")
        queue = queue_at(queue_url) if queue_url else None
        if redis_url is not None:
            yield Connected(git, catalogue, _named(redis_url), objects, queue, secret)
            return
        valkey = PrivateValkey(data_dir / "cache")
        await valkey.start()
        try:
            yield Connected(git, catalogue, RedisCache(valkey.url), objects, queue, secret)
        finally:
            await valkey.stop()


def _catalogue(path: Path) -> DiskRepository:
    """The repository that lists the projects; made, with an empty first commit, when it is not there yet."""
    if not path.exists():
        registry = Signature("ML Registry", "ml-registry@localhost", datetime.now(UTC))
        DiskRepository.create(path, "main", NewCommit({}, "Begin the catalogue of projects\n", registry, registry))
    return DiskRepository(path)


def _named(redis_url: str) -> RedisCache:
    try:
        return RedisCache(redis_url)
    except ValueError as error:
        raise StoreError(f"REGISTRY_REDIS_URL cannot be used: {error}.") from error


def queue_at(url: str) -> Queue:
    """The queue of that address; nothing is asked of it yet. Raises StoreError for one that cannot be used."""
    from app.stores.events.sqs import Address, SqsQueue  # noqa: PLC0415 (half a second that only a queue is worth)

    try:
        return SqsQueue(Address.parse(url))
    except ValueError as error:
        raise StoreError(f"REGISTRY_QUEUE_URL cannot be used: {error}.") from error


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Make the directory and hold a lock in it that the operating system lets go of even when the process is killed."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        message = f"{data_dir} cannot hold the data: {error.strerror}. Make room there, or choose another --data-dir."
        raise StoreError(message) from error
    try:
        _lock(descriptor, data_dir)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, data_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        message = f"Another server runs on {data_dir}. Stop it, or choose another --data-dir."
        raise DataDirectoryInUseError(message) from error
