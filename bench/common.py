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
PUT = """mutation($project: String!, $branch: String, $changes: [ArtifactChangeInput!]!) {
  commitArtifacts(input: {project: $project, branch: $branch, changes: $changes}) { __typename }
}"""
CREATE_BRANCH = """mutation($project: String!, $name: String!) {
  createBranch(input: {project: $project, name: $name}) { __typename }
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
        top, content = self.exchange(head.encode() + body)
        assert top.startswith(b"HTTP/1.1 200"), (top, content)
        return content

    def exchange(self, request: bytes) -> tuple[bytes, bytes]:
        """Send a request as it is: the head and the body of the answer."""
        self._socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        while len(body) < length_of(head):
            body += self._receive()
        return head, body

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _receive(self) -> bytes:
        piece = self._socket.recv(65536)
        assert piece, "the server hung up"
        return piece


@dataclass
class Series:
    """The rounds of one thing measured: how many a second, the median of how long each took, and each (seconds)."""

    rates: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def add(self, latencies: Sequence[float], seconds: float) -> None:
        """One more round."""
        self.rates.append(len(latencies) / seconds)
        self.medians.append(median(latencies))
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


def length_of(head: bytes) -> int:
    """How many bytes follow the head of an answer."""
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)


def request(query: str, **variables: Any) -> bytes:
    """The body of a GraphQL request."""
    return json.dumps({"query": query, "variables": variables}).encode()


def entry_name(number: int) -> str:
    """What the entries of the measured manifests are called."""
    return f"artifact-{number:04}"


def fill(client: Client, project: str, entries: int, first: int = 0) -> None:
    """A new project with a manifest of ordinary entries, numbered from `first` on."""
    assert client.ask(CREATE, name=project)["createProject"]["__typename"] == "CreateProjectSuccess"
    numbers = range(first, first + entries)
    for start in range(0, entries, BATCH):
        put(client, project, [entry(number) for number in numbers[start : start + BATCH]])


def put(client: Client, project: str, entries: Sequence[dict[str, Any]], branch: str | None = None) -> None:
    """One commit of these entries to a branch, the default one when none is named."""
    done = client.ask(PUT, project=project, branch=branch, changes=[{"put": one} for one in entries])
    assert done["commitArtifacts"]["__typename"] == "CommitArtifactsSuccess", done


def entry(number: int) -> dict[str, Any]:
    """An ordinary entry."""
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
def running(
    command: Sequence[str], port: int, log: Path, program: str = sys.executable, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that listens on `port`, Python by default, for the time of a block; ended by its own process id."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *command],
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


def arguments(description: str, **defaults: float | str) -> argparse.Namespace:
    """The options of a benchmark: its own numbers, and `--json`."""
    parser = argparse.ArgumentParser(description=description)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"default: {value}")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def show(series: dict[str, dict[str, float]], ratios: dict[str, dict[str, float]], unit: str) -> None:
    """The figures as two tables."""
    show_series(series, unit)
    print()
    show_ratios(ratios)


def show_series(series: dict[str, dict[str, float]], unit: str) -> None:
    """How many a second, and how long each took."""
    width = max(map(len, series))
    print(f"{'':{width}}  {unit + '/s':>10}  {'(rounds)':>15}  {'p50 ms':>8}  {'p99 ms':>8}")
    for name, one in series.items():
        spread = f"{one['least']:.0f}-{one['most']:.0f}"
        print(f"{name:{width}}  {one['per_second']:10.0f}  {spread:>15}  {one['p50_ms']:8.2f}  {one['p99_ms']:8.2f}")


def show_ratios(ratios: dict[str, dict[str, float]]) -> None:
    """How many times, and what is wanted."""
    width = max(map(len, ratios), default=0)
    for name, one in ratios.items():
        spread = f"{one['least']:.2f}-{one['most']:.2f}"
        wanted = f"  wanted: {one['wanted']:.2f} or more" if "wanted" in one else ""
        print(f"{name:{width}}  {one['median']:10.2f}  {spread:>15}{wanted}")
