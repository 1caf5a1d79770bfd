"""Which adapter stands behind each port: the only place that names them."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.stores.cache.memory import MemoryCache
from app.stores.cache.redis import RedisCache
from app.stores.cache.valkey import PrivateValkey
from app.stores.errors import RefMovedError, RemoteUnavailableError, StoreError
from app.stores.git import stock
from app.stores.git.credentials import Credentials
from app.stores.git.hosted import DiskRepository, HostedGit
from app.stores.git.mirrored import Mirrors
from app.stores.git.serving import StockService
from app.stores.objects.local import LocalObjects
from app.stores.ports import Cache, GitHost, KeySource, NewCommit, ObjectStore, Queue, Repository, Signature
from app.stores.secret import shared_secret, signing_secret
from app.stores.serving import GitService
from app.stores.timed import TimedGit, TimedRepository
from app.stores.timings import Timings

STARTING_SECONDS = 5.0
"""For which a server that is going to share the directory may still be alone in it."""


class DataDirectoryInUseError(StoreError):
    """Another server runs on this data directory."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is kept, as the settings say; what they do not name is kept in the data directory.

    `base_url` is how callers reach this server.
    """

    data_dir: Path
    base_url: str
    catalog_url: str | None = None
    redis_url: str | None = None
    queue_url: str | None = None
    objects_url: str | None = None
    objects_multipart_bytes: int = 0
    git_credentials: Path | None = None
    ssh_key: Path | None = None
    ssh_known_hosts: Path | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """Every store, open."""

    git: GitHost
    catalogue: Repository
    cache: Cache
    objects: ObjectStore
    queue: Queue | None
    secret: bytes
    service: GitService | None = None
    """None where the stock git client is not on the PATH."""


@asynccontextmanager
async def connect(places: Places, timings: Timings | None = None) -> AsyncIterator[Connected]:
    """Open the stores, and start a private cache when none is named; both end with the block.

    Only servers that name a cache may share a directory. The first of them, still alone, takes away what a killed
    server left. `timings` says how long they take. Raises StoreError.
    """
    timings = timings or Timings()
    data_dir, redis_url, queue_url = places.data_dir, places.redis_url, places.queue_url
    with _lock(data_dir) as lock:
        alone = lock.alone()
        if not alone and redis_url is None:
            raise lock.in_use()
        if not alone:
            lock.share()
        secret = shared_secret(places.secret) if places.secret else signing_secret(data_dir / "secret")
        objects = await _objects(places, secret, timings, alone=alone)
        mirrors = _mirrors(places)
        git = TimedGit(HostedGit(data_dir / "git", mirrors), timings)
        catalogue = TimedRepository(await asyncio.to_thread(_catalogue, places, mirrors), timings)
        queue = queue_at(queue_url, timings) if queue_url else None
        service = _service(data_dir / "git")
        if redis_url is not None:
            lock.share()
            yield Connected(git, catalogue, _named(redis_url, timings), objects, queue, secret, service)
            return
        valkey = PrivateValkey(data_dir / "cache")
        await valkey.start()
        try:
            yield Connected(git, catalogue, RedisCache(valkey.url, timings=timings), objects, queue, secret, service)
        finally:
            await valkey.stop()


def _service(root: Path) -> GitService | None:
    git = stock.find()
    return StockService(root, git.path) if git else None


def _mirrors(places: Places) -> Mirrors:
    credentials = Credentials(places.git_credentials)
    root = places.data_dir / "mirrors"
    return Mirrors(root, credentials, ssh_key=places.ssh_key, known_hosts=places.ssh_known_hosts)


def _catalogue(places: Places, mirrors: Mirrors) -> Repository:
    """The repository that lists the projects; begun, with an empty first commit, when it is not there yet."""
    path = places.data_dir / "catalog.git"
    registry = Signature("ML Registry", "ml-registry@localhost", datetime.now(UTC))
    first = NewCommit({}, "Begin the catalogue of projects\n", registry, registry)
    if places.catalog_url is not None:
        return _catalogue_at(mirrors, places.catalog_url, first)
    if not path.exists():
        DiskRepository.create(path, "main", first)
    return DiskRepository(path)


def _catalogue_at(mirrors: Mirrors, url: str, first: NewCommit) -> Repository:
    """Where nobody answers, a copy that was made before will do."""
    try:
        catalogue = mirrors.at(url)
        with suppress(RemoteUnavailableError):
            catalogue.fetch()
        if not catalogue.refs().heads:
            with suppress(RefMovedError):  # another server was first
                catalogue.write_commits("main", None, [first])
    except StoreError as error:
        raise StoreError(f"The catalogue at REGISTRY_CATALOG_URL cannot be used. {error}") from error
    return catalogue


def _named(redis_url: str, timings: Timings) -> RedisCache:
    """Raises StoreError, which repeats nothing of the URL: what is wrong in it may be a part of its password."""
    try:
        return RedisCache(redis_url, timings=timings)
    except ValueError:
        message = (
            "REGISTRY_REDIS_URL cannot be used. Write redis://:password@host:6379/0, rediss://… or unix://…, and in "
            "the password %2F for a slash, %3F for a question mark, %23 for a #, %40 for an @."
        )
        raise StoreError(message) from None


def look_into(places: Places) -> tuple[GitHost, Repository, Cache]:
    """The repositories of a registry, to read while servers may run on them, and a cache of one's own.

    Raises StoreError when there are none.
    """
    mirrors = _mirrors(places)
    if places.catalog_url is None and not (places.data_dir / "catalog.git").is_dir():
        raise StoreError(f"There is no registry in {places.data_dir}. Name the server's --data-dir.")
    return HostedGit(places.data_dir / "git", mirrors), _catalogue(places, mirrors), MemoryCache()


async def _objects(places: Places, secret: bytes, timings: Timings, *, alone: bool) -> ObjectStore:
    """The bucket, asked what it can do, or the data directory's own folder. Raises StoreError."""
    if places.objects_url is None:
        local = LocalObjects(places.data_dir / "objects", places.base_url, secret)
        if alone:
            local.clean()
        return local
    from app.stores.objects.bucket import Address  # noqa: PLC0415 (half a second that only a bucket is worth)
    from app.stores.objects.s3 import S3Objects  # noqa: PLC0415 (the same)

    try:
        bucket = S3Objects(Address.parse(places.objects_url), places.objects_multipart_bytes, timings)
    except ValueError as error:
        raise StoreError(f"REGISTRY_OBJECTS_URL cannot be used: {error}.") from error
    await bucket.start()
    return bucket


def keys_of(issuer: str) -> KeySource:
    """The keys of an issuer; nothing is asked of it yet. Raises StoreError for an address that cannot be used."""
    from app.stores.keys.discovery import PublishedKeys  # noqa: PLC0415 (a client that only an issuer is worth)

    try:
        return PublishedKeys(issuer)
    except ValueError as error:
        raise StoreError(f"REGISTRY_OIDC_ISSUER cannot be used. {error}") from error


def queue_at(url: str, timings: Timings | None = None) -> Queue:
    """The queue of that address; nothing is asked of it yet. Raises StoreError for one that cannot be used."""
    from app.stores.events.sqs import Address, SqsQueue  # noqa: PLC0415 (half a second that only a queue is worth)

    try:
        return SqsQueue(Address.parse(url), timings=timings)
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
