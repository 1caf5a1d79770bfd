"""A hostile day: every input, one after the other, beside normal traffic, and what became of the server."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from tests.support.hostile import documents, framing, hooks, links, manifests, names, packs, remotes, sockets, tokens
from tests.support.hostile.day import Hostile, Target
from tests.support.hostile.traffic import TICK
from tests.support.server import ROOT

KINDS = (documents, framing, sockets, names, tokens, hooks, links, remotes, packs, manifests)
PAUSE = 0.01
"""Seconds between two inputs."""
QUIET = 0.5
"""Seconds before and after the inputs of one kind in which there is normal traffic alone."""
STALL = 0.25
"""Seconds for which nobody may be held up."""
TRIES = 3


@dataclass
class Record:
    """What was seen on such a day."""

    inputs: int = 0
    problems: list[str] = field(default_factory=list)
    stalls: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    before: int = 0
    after: int = 0

    @property
    def ratio(self) -> float:
        """How much of the normal traffic went on, half of the kinds left more."""
        return median(self.ratios.values())


class Traffic:
    """The normal traffic's program, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.ticks: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.ticks.append(json.loads(line))

    def rate(self, since: float, until: float) -> float:
        """Requests in each tick of a time."""
        return mean([tick["requests"] for tick in self._in(since, until)] or [0])

    def slowest(self, since: float, until: float) -> float:
        """The longest time the server took to say that it lives."""
        while not self.ticks or self.ticks[-1]["at"] < until:
            time.sleep(0.01)
        return max([tick["slowest"] for tick in self._in(since, until + 2 * TICK)], default=0.0)

    def _in(self, since: float, until: float) -> list[dict[str, Any]]:
        return [tick for tick in list(self.ticks) if since < tick["at"] <= until]

    def stop(self) -> list[str]:
        """End it; what failed meanwhile."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        self._thread.join()
        return [failure for tick in self.ticks for failure in tick["failures"]]


@contextmanager
def traffic(target: Target, record: Record) -> Iterator[Traffic]:
    """Normal traffic for the time of a block."""
    host, port = target.place
    command = [sys.executable, "-m", "tests.support.hostile.traffic", host, str(port), "demo"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        running = Traffic(process)
        try:
            yield running
        finally:
            record.failures += running.stop()


def memory(target: Target) -> int:
    """Bytes the server has in memory."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(target.server.process.pid)], capture_output=True, check=True)
    return int(shown.stdout) * 1024


def hostile_day(target: Target) -> Record:
    """Run it."""
    record, kinds = Record(), [(kind.__name__.rpartition(".")[2], list(kind.inputs())) for kind in KINDS]
    record.inputs = sum(len(inputs) for _, inputs in kinds)
    with traffic(target, record) as running, ThreadPoolExecutor(20) as patience:
        record.problems += _filled(target)
        record.before = memory(target)
        patient = [one for _, inputs in kinds for one in inputs if one.patient]
        waiting = [patience.submit(one.problem, target) for one in patient]
        suspects: list[Hostile] = []
        for name, inputs in kinds:
            record.ratios[name], more = _run(target, [one for one in inputs if not one.patient], running, record)
            suspects += more
        record.stalls = [one.name for one in suspects if _stalls(target, one, running)]
        record.problems += [problem for one in waiting if (problem := one.result())]
    record.after = _settled(target, record.before)
    return record


def _run(target: Target, inputs: Sequence[Hostile], running: Traffic, record: Record) -> tuple[float, list[Hostile]]:
    """The inputs of one kind; how much of the normal traffic went on, and which seem to have held up the server."""
    quiet = time.monotonic()
    time.sleep(QUIET)
    began, spans = time.monotonic(), []
    for one in inputs:
        since = time.monotonic()
        if problem := one.problem(target):
            record.problems.append(problem)
        spans.append((one, since, time.monotonic()))
        time.sleep(PAUSE)
    ended = time.monotonic()
    time.sleep(QUIET)
    normal = mean([running.rate(quiet, began), running.rate(ended, time.monotonic())])
    suspects = [one for one, since, until in spans if running.slowest(since, until) > STALL]
    return running.rate(began, ended) / normal, suspects


def _stalls(target: Target, one: Hostile, running: Traffic) -> bool:
    """Whether an input holds up the server every time it is sent, whatever else the machine does."""
    for _ in range(TRIES):
        since = time.monotonic()
        one.problem(target)
        if running.slowest(since, time.monotonic()) <= STALL:
            return False
        time.sleep(QUIET)
    return True


def _filled(target: Target) -> list[str]:
    """Fill what is kept, which has bounds, with what there is to keep; answers what was wrong."""
    inputs = [one for kind in (documents, manifests) for one in kind.inputs()]
    return [problem for one in inputs if (problem := one.problem(target))]


def _settled(target: Target, before: int) -> int:
    """The memory once it is back where it was, or after a while."""
    deadline = time.monotonic() + 10
    while (now := memory(target)) > allowed(before) and time.monotonic() < deadline:
        time.sleep(0.2)
    return now


def allowed(before: int) -> int:
    """How much memory counts as back where it was."""
    return before * 11 // 10 + (20 << 20)
