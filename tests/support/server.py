"""The real server in a process of its own, and a client that speaks to it as anybody would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support import canaries
from tests.support.codes import check

ROOT = Path(__file__).resolve().parents[2]
STARTING_SECONDS = 30


@dataclass
class Server:
    """A started server; `process` is its own, so that signals go to nobody else."""

    process: subprocess.Popen[bytes]
    url: str
    data_dir: Path
    log: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        shown, hooks = {"cookie": f"session={canaries.COOKIE}"}, {"response": [check]}
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False, headers=shown, event_hooks=hooks)

    def git(self, project: str) -> Path:
        """Where a hosted project's repository lies."""
        return self.data_dir / "git" / f"{project}.git"

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation; an AssertionError when it has errors."""
        answer = self.post(query, **variables).json()
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def post(self, query: str, **variables: Any) -> httpx.Response:
        """The raw answer to an operation."""
        body = json.dumps({"query": query, "variables": variables})  # half a surrogate pair goes as an escape
        return self.client.post("/graphql", content=body, headers={"content-type": "application/json"})

    def valkey(self) -> int:
        """The process id of its private cache."""
        return int((self.data_dir / "cache" / "valkey.pid").read_text())

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10) -> int:
        """Send a signal and wait for the end; answers the exit status."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def runs(pid: int) -> bool:
    """Whether there is such a process; the remains of one that nobody waited for are none."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(shown.stdout.strip()) and not shown.stdout.startswith("Z")


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def spawn(data_dir: Path, *options: str, port: int, **environment: str) -> tuple[subprocess.Popen[bytes], Path]:
    """A server's process, ready or not, and the file that all it says goes to."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    log = data_dir.parent / f"{data_dir.name}-{port}.log"
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--data-dir", str(data_dir), *options]
    variables = {"PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT), "REGISTRY_ACTOR_NAME": "Ada"}
    variables |= {"REGISTRY_ACTOR_EMAIL": "ada@example.org", **environment}
    variables = canaries.seeded({**os.environ, **environment}) | variables
    with log.open("ab") as output:
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=output, stderr=output)
    return process, log


def start(data_dir: Path, *options: str, port: int | None = None, **environment: str) -> Server:
    """A server on a data directory, ready to be asked."""
    port = port or free_port()
    process, log = spawn(data_dir, *options, port=port, **environment)
    server = Server(process, f"http://127.0.0.1:{port}", data_dir, log)
    _await(server)
    return server


@contextmanager
def running(data_dir: Path, *options: str, port: int | None = None, **environment: str) -> Iterator[Server]:
    """A server for the time of a block, which said nothing secret all the while."""
    server = start(data_dir, *options, port=port, **environment)
    try:
        yield server
    finally:
        server.client.close()
        if server.process.poll() is None:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                server.stop(signal.SIGKILL)
                raise
    assert not (found := canaries.heard(server.log.read_bytes())), f"secrets are in the log: {found}"


def _await(server: Server) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if server.client.get("/readyz", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    server.process.kill()
    server.process.wait()
    raise AssertionError(f"the server did not start:\n{server.log.read_text()}")
