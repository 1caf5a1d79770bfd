"""What the benchmarks share: a started server, a client that costs next to nothing, and figures."""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 120
STOP_SECONDS = 15
BATCH = 100  # changes in one mutation

CREATE = """mutation($name: String!) { createProject(input: {name: $name}) { __typename } }"""
PUT = """mutation($project: String!, $changes: [ArtifactChangeInput!]!) {
  commitArtifacts(input: {project: $project, changes: $changes}) { __typename }
}"""


class Client:
    """One keep-alive connection, one request at a time: a blocking socket leaves the processors to the server."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"127.0.0.1:{port}"

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of an operation. Stops the run when it has errors."""
        answer = json.loads(self.send("POST", "/graphql", request(query, **variables)))
        assert "errors" not in answer, answer
        return answer["data"]

    def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer. Stops the run when the status is not 200."""
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        top, _, content = received.partition(b"\r\n\r\n")
        assert top.startswith(b"HTTP/1.1 200"), received
        length = int(top.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(content) < length:
            content += self._receive()
        return content

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _receive(self) -> bytes:
        piece = self._socket.recv(65536)
        assert piece, "the server hung up"
        return piece


@dataclass
class Series:
    """The rounds of one thing measured: how many a second, and how long each took (seconds)."""

    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def add(self, latencies: Sequence[float], seconds: float) -> None:
        """One more round."""
        self.rates.append(len(latencies) / seconds)
        self.latencies += latencies

    def summary(self) -> dict[str, float]:
        """Medians over the rounds, and how far the rounds were apart."""
        ordered = sorted(self.latencies)
        return {
            "per_second": median(self.rates),
            "least": min(self.rates),
            "most": max(self.rates),
            "p50_ms": ordered[len(ordered) // 2] * 1000,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
        }


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """The median of the ratios of neighbouring rounds, which noise that lasts longer than a round does not touch."""
    each = [one / other for one, other in zip(above, below, strict=True)]
    return {"median": median(each), "least": min(each), "most": max(each)}


def request(query: str, **variables: Any) -> bytes:
    """The body of a GraphQL request."""
    return json.dumps({"query": query, "variables": variables}).encode()


def entry_name(number: int) -> str:
    """What the entries of the measured manifests are called."""
    return f"artifact-{number:04}"


def fill(client: Client, project: str, entries: int) -> None:
    """A new project with a manifest of ordinary entries."""
    assert client.ask(CREATE, name=project)["createProject"]["__typename"] == "CreateProjectSuccess"
    for start in range(0, entries, BATCH):
        changes = [{"put": _entry(number)} for number in range(start, min(start + BATCH, entries))]
        done = client.ask(PUT, project=project, changes=changes)
        assert done["commitArtifacts"]["__typename"] == "CommitArtifactsSuccess", done


def _entry(number: int) -> dict[str, Any]:
    return {
        "name": entry_name(number),
        "dataObjectId": f"dataset-{number:06}",
        "type": "dataset",
        "description": f"Documents of group {number}, cleaned and split",
        "labels": [{"key": "language", "value": "en"}, {"key": "split", "value": "train"}],
        "metadata": {"rows": 1000 + number, "source": f"corpus/{number}", "licence": "CC-BY-4.0", "revision": 0},
    }


@contextmanager
def registry(folder: Path) -> Iterator[tuple[int, Path]]:
    """The registry as a user starts it, on a port of its own: the port, and where its repositories are."""
    port, data = free_port(), folder / "data"
    command = ["-m", "app.cli", "serve", "--no-demo", "--port", str(port), "--data-dir", str(data)]
    with running(command, port, folder / "registry.log"):
        yield port, data / "git"


@contextmanager
def running(command: Sequence[str], port: int, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python program that listens on `port`, for the time of a block; ended by its own process id."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**variables, "PYTHONPATH": str(ROOT), **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _await(process, port, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(ConnectionRefusedError):
            Client(port).close()
            return
        time.sleep(0.01)
    sys.exit(f"The server did not start:\n{log.read_text()}")


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def arguments(description: str, **defaults: float) -> argparse.Namespace:
    """The options of a benchmark: its own numbers, and `--json`."""
    parser = argparse.ArgumentParser(description=description)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"default: {value}")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def show(series: dict[str, dict[str, float]], ratios: dict[str, dict[str, float]], unit: str) -> None:
    """The figures as two tables."""
    width = max(map(len, [*series, *ratios]))
    print(f"{'':{width}}  {unit + '/s':>10}  {'(rounds)':>15}  {'p50 ms':>8}  {'p99 ms':>8}")
    for name, one in series.items():
        spread = f"{one['least']:.0f}-{one['most']:.0f}"
        print(f"{name:{width}}  {one['per_second']:10.0f}  {spread:>15}  {one['p50_ms']:8.2f}  {one['p99_ms']:8.2f}")
    print()
    for name, one in ratios.items():
        spread = f"{one['least']:.2f}-{one['most']:.2f}"
        wanted = f"  wanted: {one['wanted']:.2f} or more" if "wanted" in one else ""
        print(f"{name:{width}}  {one['median']:10.2f}  {spread:>15}{wanted}")
