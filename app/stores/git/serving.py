"""Hosted repositories for Git clients elsewhere: stock git answers fetches, and checks what is pushed.

Each clone runs a process of its own, so many of them slow down each other and nobody else.
"""

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from app.stores.errors import RepositoryNotFoundError, ServiceBusyError
from app.stores.git.hosted import DiskRepository
from app.stores.git.quarantine import Quarantine, quarantined
from app.stores.git.stock import plain_environment
from app.stores.serving import RefUpdate

FETCHES = 4  # at a time
LOOKS = 8  # at what there is to fetch, which takes milliseconds
PUSHES = 4  # received or landed at a time; each has up to half a GiB
REQUESTS = 32  # to fetch, received or answered at a time; each has up to 32 MiB
LEAST_FREE = 1 << 30  # bytes of the disk: two pushes are unpacked at a time, and writes through the API go on
WAITING_SECONDS = 60.0
PORTION = 1 << 16
NICE = 10  # so that whoever asks the server itself comes first
CONFIG = (
    *("-c", "uploadpack.allowFilter=true", "-c", "pack.threads=1", "-c", "core.bigFileThreshold=16m"),
    *("-c", "safe.directory=*", "-c", "advice.graftFileDeprecated=false"),
)
OURS_ALONE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
log = logging.getLogger("ml_registry.git")


class StockService:
    """The hosted repositories below `root`, served with the stock client at `git`; see GitService."""

    def __init__(self, root: Path, git: str) -> None:
        self._root = root
        self._git = git
        self._fetches = asyncio.Semaphore(FETCHES)
        self._looks = asyncio.Semaphore(LOOKS)
        self._pushes = asyncio.Semaphore(PUSHES)
        self._requests = asyncio.Semaphore(REQUESTS)

    async def advertise(self, name: str, protocol: str) -> bytes:
        """See GitService."""
        nothing = asyncio.subprocess.DEVNULL
        uploading = self._uploading(name, protocol, nothing, "--http-backend-info-refs")
        async with _room(self._looks), uploading as parts:
            return b"".join([part async for part in parts])

    @asynccontextmanager
    async def fetch(self, name: str, protocol: str, request: BinaryIO) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """See GitService."""
        async with _room(self._fetches), self._uploading(name, protocol, request) as parts:
            yield parts

    @asynccontextmanager
    async def draft(self, *, pushing: bool) -> AsyncIterator[BinaryIO]:
        """See GitService."""
        async with _room(self._pushes if pushing else self._requests):
            with tempfile.TemporaryFile(dir=self._root) as file:
                yield file

    def full(self) -> bool:
        """See GitService."""
        return shutil.disk_usage(self._root).free < LEAST_FREE

    def refs(self, name: str) -> tuple[str, Mapping[str, str]]:
        """See GitService."""
        return DiskRepository(self._path(name)).named_refs()

    def incoming(self, name: str, updates: Sequence[RefUpdate], pack: BinaryIO) -> AbstractContextManager[Quarantine]:
        """See GitService."""
        return quarantined(self._git, self._path(name), updates, pack)

    def _path(self, name: str) -> Path:
        path = self._root / f"{name}.git"
        if not path.is_dir():
            raise RepositoryNotFoundError(f"There is no repository of project {name!r}.")
        return path

    @asynccontextmanager
    async def _uploading(
        self, name: str, protocol: str, request: IO[bytes] | int, *options: str
    ) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """What `git upload-pack` says to a request; it ends with the block."""
        process = await asyncio.create_subprocess_exec(
            *(self._git, *CONFIG, "upload-pack", "--stateless-rpc", "--strict", *options, str(self._path(name))),
            stdin=request,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**plain_environment(), **OURS_ALONE, "GIT_PROTOCOL": protocol},
            limit=PORTION,
        )
        try:
            with suppress(ProcessLookupError):  # it may have said all already
                os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
            yield _portions(process)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _portions(process: asyncio.subprocess.Process) -> AsyncGenerator[bytes, None]:
    """What a process says. When it fails, it has told the client so in its own way."""
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    while portion := await process.stdout.read(PORTION):
        yield portion
    if await process.wait():
        log.info("git upload-pack ended with %s", process.returncode)


@asynccontextmanager
async def _room(places: asyncio.Semaphore) -> AsyncIterator[None]:
    """Room for one more. Raises ServiceBusyError."""
    try:
        await asyncio.wait_for(places.acquire(), WAITING_SECONDS)
    except TimeoutError as error:
        raise ServiceBusyError("Too many clients are being served right now; try again in a moment.") from error
    try:
        yield
    finally:
        places.release()
