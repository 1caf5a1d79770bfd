"""Load on a server: the same few requests in turn, on some connections, each used again as soon as it was answered.

It comes from wrk where there is one. Else from a client in Python, which needs several times the processor and so
makes fast servers look slower than they are.
"""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle
from pathlib import Path
from typing import Any

import uvloop
from common import length_of

NUMBER = b"\x01"
"""Where a request has this byte, a number of sixteen digits is put that no other request has."""
FIRST_NUMBER = 10**15
NUMBERS_A_RUN = 10**8
SCRIPT = Path(__file__).with_name("load.lua")
PATIENCE = 10  # seconds until an answer counts as failed
RUNS = count()

Figures = dict[str, float]


def source() -> str:
    """Where the load comes from."""
    if not shutil.which("wrk"):
        return "a client in Python"
    return subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.partition(" [")[0]


def load(ports: Sequence[int], requests: Sequence[bytes], seconds: int, connections: int) -> Figures:
    """Ask for a while, with the connections spread over the ports: answers, bytes, failures, and milliseconds.

    The percentiles are those of the port that answered more slowly.
    """
    share = connections // len(ports)
    if shutil.which("wrk"):
        with ThreadPoolExecutor(len(ports)) as pool:
            parts = list(pool.map(lambda port: _wrk(port, requests, seconds, share), ports))
    else:
        parts = uvloop.run(_in_python(ports, requests, seconds, share))
    together = {name: sum(part[name] for part in parts) for name in ("answers", "bytes", "failed")}
    return together | {name: max(part[name] for part in parts) for name in ("seconds", "p50_ms", "p99_ms")}


def _wrk(port: int, requests: Sequence[bytes], seconds: int, connections: int) -> Figures:
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{PATIENCE}s", "-s", str(SCRIPT)]
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\0".join(requests))
        file.flush()
        script = ["--", file.name, str(_numbers())]
        command = ["wrk", *options, f"http://127.0.0.1:{port}", *script]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _numbers() -> int:
    """The first of the numbers of a run."""
    return FIRST_NUMBER + next(RUNS) * NUMBERS_A_RUN


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete, until the time is over."""

    def __init__(self, requests: Iterator[bytes], end: float) -> None:
        self.taken: list[float] = []
        self.bytes = self.failed = 0
        self.over = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._end = end
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Some bytes of an answer, perhaps the last ones."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < length_of(head):
            return
        now = time.perf_counter()
        self.taken.append(now - self._asked)
        self.bytes += len(self._received)
        self.failed += head[9:10] not in b"23"
        if now < self._end:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The end, or a failure when it was not to be yet."""
        self.failed += error is not None or time.perf_counter() < self._end
        self.over.set_result(None)

    def _ask(self) -> None:
        self._received = b""
        self._asked = time.perf_counter()
        self._transport.write(next(self._requests))


async def _in_python(ports: Sequence[int], requests: Sequence[bytes], seconds: int, connections: int) -> list[Figures]:
    return await asyncio.gather(*(_python(port, requests, seconds, connections) for port in ports))


async def _python(port: int, requests: Sequence[bytes], seconds: int, connections: int) -> Figures:
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    numbers = count(_numbers())
    numbered = (one.replace(NUMBER, b"%d" % next(numbers)) if NUMBER in one else one for one in cycle(requests))
    made = [
        (await loop.create_connection(lambda: _Connection(numbered, began + seconds), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(one.over for one in made))
    taken = sorted(each for one in made for each in one.taken)
    return {
        "answers": len(taken),
        "bytes": sum(one.bytes for one in made),
        "seconds": time.perf_counter() - began,
        "failed": sum(one.failed for one in made),
        "p50_ms": taken[len(taken) // 2] * 1000,
        "p99_ms": taken[len(taken) * 99 // 100] * 1000,
    }
