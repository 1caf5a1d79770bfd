"""Which adapter stands behind each port: the only place that names them."""

import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.stores.cache.memory import MemoryCache
from app.stores.cache.redis import RedisCache
from app.stores.cache.valkey import PrivateValkey
from app.stores.errors import StoreError
from app.stores.git.hosted import DiskRepository, HostedGit
from app.stores.objects.local import LocalObjects
from app.stores.ports import Cache, GitHost, NewCommit, Queue, Repository, Signature
from app.stores.secret import signing_secret

STARTING_SECONDS = 5.0
"""For which a server that is going to share the directory may still be alone in it."""


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

    Only servers that name a cache may share a directory. The first of them, still alone, takes away what a killed
    server left. Raises StoreError.
    """
    with _lock(data_dir) as lock:
        alone = lock.alone()
        if not alone and redis_url is None:
            raise lock.in_use()
        if not alone:
            lock.share()
        secret = signing_secret(data_dir / "secret")
        objects = LocalObjects(data_dir / "objects", base_url, secret)
        if alone:
            objects.clean()
        git = HostedGit(data_dir / "git")
        catalogue = _catalogue(data_dir / "catalog.git")
        queue = queue_at(queue_url) if queue_url else None
        if redis_url is not None:
            lock.share()
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


def look_into(data_dir: Path) -> tuple[GitHost, Repository, Cache]:
    """The repositories of a data directory, to read while servers may run on it, and a cache of one's own.

    Raises StoreError when there are none.
    """
    if not (data_dir / "catalog.git").is_dir():
        raise StoreError(f"There is no registry in {data_dir}. Name the server's --data-dir.")
    return HostedGit(data_dir / "git"), DiskRepository(data_dir / "catalog.git"), MemoryCache()


def queue_at(url: str) -> Queue:
    """The queue of that address; nothing is asked of it yet. Raises StoreError for one that cannot be used."""
    from app.stores.events.sqs import Address, SqsQueue  # noqa: PLC0415 (half a second that only a queue is worth)

    try:
        return SqsQueue(Address.parse(url))
    except ValueError as error:
        raise StoreError(f"REGISTRY_QUEUE_URL cannot be used: {error}.") from error


class _Lock:
    """The lock of a data directory. The operating system lets go of it even when the process is killed."""

    def __init__(self, descriptor: int, data_dir: Path) -> None:
        self._descriptor = descriptor
        self._data_dir = data_dir

    def alone(self) -> bool:
        """Whether no other server was there; if so, none comes until the lock is shared."""
        return self._take(fcntl.LOCK_EX)

    def share(self) -> None:
        """Let in other servers that share. Raises DataDirectoryInUseError when there is one that does not."""
        deadline = time.monotonic() + STARTING_SECONDS
        while not self._take(fcntl.LOCK_SH):
            if time.monotonic() > deadline:
                raise self.in_use()
            time.sleep(0.05)  # another server is just starting

    def in_use(self) -> DataDirectoryInUseError:
        """The refusal."""
        return DataDirectoryInUseError(
            f"Another server runs on {self._data_dir}. Stop it, or choose another --data-dir. Several servers run on "
            "one when all have the same REGISTRY_REDIS_URL."
        )

    def _take(self, kind: int) -> bool:
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def _lock(data_dir: Path) -> Iterator[_Lock]:
    """Make the directory and open its lock."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        message = f"{data_dir} cannot hold the data: {error.strerror}. Make room there, or choose another --data-dir."
        raise StoreError(message) from error
    try:
        yield _Lock(descriptor, data_dir)
    finally:
        os.close(descriptor)
