"""The real server in a process of its own, and a client that speaks to it as anybody would."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
STARTING_SECONDS = 30


@dataclass
class Server:
    """A started server; `process` is its own, so that signals go to nobody else."""

    process: subprocess.Popen[bytes]
    url: str
    data_dir: Path
    log: Path

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
        return httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10) -> int:
        """Send a signal and wait for the end; answers the exit status."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(data_dir: Path, *options: str, port: int | None = None, **environment: str) -> Server:
    """A server on a data directory, ready to be asked."""
    port = port or free_port()
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir.parent / f"{data_dir.name}-{port}.log"
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--data-dir", str(data_dir), *options]
    variables = {"PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT), "REGISTRY_ACTOR_NAME": "Ada"}
    variables |= {"REGISTRY_ACTOR_EMAIL": "ada@example.org", **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=output, stderr=output)
    server = Server(process, f"http://127.0.0.1:{port}", data_dir, log)
    _await(server)
    return server


@contextmanager
def running(data_dir: Path, *options: str, **environment: str) -> Iterator[Server]:
    """A server for the time of a block."""
    server = start(data_dir, *options, **environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def _await(server: Server) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if httpx.get(f"{server.url}/readyz", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    server.process.kill()
    server.process.wait()
    raise AssertionError(f"the server did not start:\n{server.log.read_text()}")
