"""One branch and many subscribers: deliveries a second beside Strawberry's own application, and the lag beside stalled.

First everybody hears the same commits, through the registry and through Strawberry's application on the same schema, in
the same process, in turn. Then commits come at a steady pace while some subscribers never read. Each subscriber has to
get every event, once and in order: what it got is compared with what the others got, byte for byte.
"""

import json
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

from common import Client, arguments, fill, free_port, ratio, running

WANTED_RATIO = 3.0
WANTED_LAG = 2.0  # seconds
WANTED_GROWTH = 64.0  # MB
PATHS = {"registry": "/graphql", "stock Strawberry": "/stock"}
PROJECT = "bench"
PUT = """mutation($name: String!, $metadata: JSON!) { commitArtifacts(input: {project: "bench", changes: [{put: {
  name: $name, type: "model", metadata: $metadata}}]}) { __typename } }"""
CALM_COMMITS = 20
SETTLING = 1.0  # seconds until what was subscribed has surely begun
NUMBERS = count()
Figures = dict[str, float]


@dataclass(frozen=True)
class Heard:
    """What the subscribers of one run heard: when each event of each came, and the names of the artifacts.

    `streams` is how many different streams of bytes there were.
    """

    times: list[list[float]]
    streams: int
    names: list[str]


class Subscribers:
    """A process of subscribers that all listen."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._input, self._output = process.stdin, process.stdout
        assert self._output.readline() == "ready\n"
        time.sleep(SETTLING)

    def wait(self, events: int) -> float:
        """When all had heard so many events."""
        while int(self._output.readline()) < events:
            pass
        return time.monotonic()

    def end(self) -> Heard:
        """What they heard."""
        self._input.close()
        *_, last = self._output
        found = json.loads(last)
        return Heard(found["times"], len(set(found["digests"])), found["names"])


@contextmanager
def subscribers(port: int, path: str, listening: int, stalled: int = 0) -> Iterator[Subscribers]:
    """Subscribers for the time of a block."""
    command = [sys.executable, str(Path(__file__).with_name("subscribers.py")), str(port), path]
    with subprocess.Popen(
        [*command, str(listening), str(stalled)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Subscribers(process)
        finally:
            process.terminate()


class Writer:
    """Commits one entry at a time, each under a new name."""

    def __init__(self, port: int) -> None:
        self._client = Client(port)
        self.names: list[str] = []
        self.acknowledged: list[float] = []

    def commit(self, size: int = 0) -> None:
        """One commit, with so many characters of metadata."""
        name = f"model-{next(NUMBERS):06}"
        done = self._client.ask(PUT, name=name, metadata={"accuracy": 0.93, "notes": "x" * size})
        assert done["commitArtifacts"]["__typename"] == "CommitArtifactsSuccess", done
        self.acknowledged.append(time.monotonic())
        self.names.append(name)

    def check(self, heard: Heard, listening: int) -> None:
        """Everybody heard of every commit, once, in order."""
        assert [len(times) for times in heard.times] == [len(self.names)] * listening, "some are missing, or came twice"
        assert heard.names == self.names, "the order is not that of the commits"
        assert heard.streams == 1, "not everybody got the same"
        self._client.close()


def flood(port: int, path: str, listening: int, commits: int) -> float:
    """Commits one after the other: deliveries a second, from the first commit to the last delivery."""
    with subscribers(port, path, listening) as there:
        writer = Writer(port)
        started = time.monotonic()
        for _ in range(commits):
            writer.commit()
        ended = there.wait(commits)
        writer.check(there.end(), listening)
    return listening * commits / (ended - started)


def calm(port: int, path: str, listening: int, commits: int) -> list[float]:
    """Commits that wait until all have heard of the last: seconds from each acknowledgement to the last subscriber."""
    with subscribers(port, path, listening) as there:
        writer = Writer(port)
        for number in range(commits):
            writer.commit()
            there.wait(number + 1)
        heard = there.end()
        writer.check(heard, listening)
    return [max(times) - at for *times, at in zip(*heard.times, writer.acknowledged, strict=True)]


def paced(port: int, pid: int, asked: Namespace) -> Figures:
    """Commits at a steady rate beside subscribers that never read: the lag of the healthy, and what memory grew by."""
    healthy = asked.steady - asked.stalled
    before = peak = _resident(pid)
    with subscribers(port, "/graphql", healthy, asked.stalled) as there:
        writer = Writer(port)
        started = time.monotonic()
        for number in range(round(asked.rate * asked.seconds)):
            time.sleep(max(0.0, started + number / asked.rate - time.monotonic()))
            writer.commit(asked.size)
            peak = max(peak, _resident(pid))
        there.wait(len(writer.names))
        peak = max(peak, _resident(pid))
        heard = there.end()
        writer.check(heard, healthy)
    lags = [time - at for times in heard.times for time, at in zip(times, writer.acknowledged, strict=True)]
    return {**_quantiles(lags), "growth_mb": (peak - before) / 1e6}


def _quantiles(seconds: list[float]) -> Figures:
    ordered = sorted(seconds)
    return {"p50_ms": ordered[len(ordered) // 2] * 1000, "p99_ms": ordered[len(ordered) * 99 // 100] * 1000}


def _resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def main() -> None:
    asked = arguments(
        __doc__ or "",
        subscribers=1000,
        commits=50,
        rounds=2,
        steady=500,
        stalled=50,
        rate=5.0,
        seconds=60.0,
        size=8192,
    )
    rates: dict[str, list[float]] = {name: [] for name in PATHS}
    waits: dict[str, list[float]] = {name: [] for name in PATHS}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        with _both(Path(folder)) as port:
            fill(Client(port), PROJECT, 1)
            for _ in range(asked.rounds):
                for name, path in PATHS.items():
                    rates[name].append(flood(port, path, asked.subscribers, asked.commits))
                    waits[name] += calm(port, path, asked.subscribers, CALM_COMMITS)
        lag = _alone(Path(folder), asked)
    _report(rates, {name: _quantiles(found) for name, found in waits.items()}, lag, as_json=asked.json)


@contextmanager
def _both(folder: Path) -> Iterator[int]:
    """The registry with Strawberry's own application beside its own: the port."""
    port = free_port()
    command = [str(Path(__file__).with_name("stock.py")), str(folder / "both"), str(port)]
    with running(command, port, folder / "both.log"):
        yield port


def _alone(folder: Path, asked: Namespace) -> Figures:
    """The registry as a user starts it, at a steady pace."""
    port = free_port()
    command = ["-m", "app.cli", "serve", "--no-demo", "--port", str(port), "--data-dir", str(folder / "alone")]
    with running(command, port, folder / "alone.log") as process:
        fill(Client(port), PROJECT, 1)
        return paced(port, process.pid, asked)


def _report(rates: dict[str, list[float]], waits: dict[str, Figures], lag: Figures, *, as_json: bool) -> None:
    found = ratio(*rates.values())
    if as_json:
        series = {name: {"per_second": median(rates[name]), **waits[name]} for name in rates}
        print(json.dumps({"fanout": series, "ratio": found, "paced": lag}, indent=2))
        return
    print(f"{'':16}  {'deliveries/s':>12}  {'last one p50 ms':>15}  {'p99 ms':>8}")
    for name, one in waits.items():
        print(f"{name:16}  {median(rates[name]):12.0f}  {one['p50_ms']:15.1f}  {one['p99_ms']:8.1f}")
    print(
        f"registry / stock  {found['median']:.2f}  ({found['least']:.2f}-{found['most']:.2f})  wanted: {WANTED_RATIO}"
    )
    print(f"beside stalled: p50 {lag['p50_ms']:.1f} ms, p99 {lag['p99_ms']:.1f} ms  wanted: {WANTED_LAG * 1000:.0f}")
    print(f"memory: +{lag['growth_mb']:.1f} MB  wanted: {WANTED_GROWTH:.0f} or less")


if __name__ == "__main__":
    main()
