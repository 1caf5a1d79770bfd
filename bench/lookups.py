"""Lookups of one artifact a second, beside the floor: a route of the same framework that does one GET of the cache.

The load comes from wrk where there is one, else from a client in Python that needs a good part of a processor itself.
"""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median

from common import Client, arguments, entry_name, fill, free_port, ratio, registry, request, running, show

PROJECT = "bench"
QUERY = 'query($n:String!){artifact(project:"bench",name:$n){name dataObjectId type}}'
SCRIPT = Path(__file__).with_name("lookups.lua")
WARM_UP = 0.5  # seconds
LOADS = {
    "floor": "one GET of the cache",
    "distinct": "lookup, name after name",
    "repeated": "lookup, one name again and again",
}

Figures = dict[str, float]


@contextmanager
def floor(folder: Path, names: int) -> Iterator[int]:
    """The floor in a process of its own, as the registry has one: its port."""
    port = free_port()
    server = ["-m", "uvicorn", "floor:app", "--app-dir", str(Path(__file__).parent), "--port", str(port)]
    options = ["--workers", "1", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    os.environ["FLOOR_NAMES"] = str(names)
    with running([*server, *options], port, folder / "floor.log"):
        yield port


def load(kind: str, port: int, seconds: float, connections: int, names: int) -> Figures:
    """One round of load: how many answers a second, and the latencies."""
    if shutil.which("wrk"):
        figures = _wrk(kind, port, seconds, connections, names)
    else:
        figures = asyncio.run(_in_python(kind, port, seconds, connections, names))
    assert not figures["failed"], f"{figures['failed']:.0f} requests failed"
    return figures


def _wrk(kind: str, port: int, seconds: float, connections: int, names: int) -> Figures:
    # wrk takes whole seconds only.
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}"]
    script = ["--", kind, str(names), json.dumps(QUERY)]
    done = subprocess.run(["wrk", *options, *script], capture_output=True, text=True, check=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


async def _in_python(kind: str, port: int, seconds: float, connections: int, names: int) -> Figures:
    taken: list[float] = []
    numbers, started = count(), time.perf_counter()
    end = started + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (begun := time.perf_counter()) < end:
            writer.write(_message(kind, entry_name(0 if kind == "repeated" else next(numbers) % names)))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
            taken.append(time.perf_counter() - begun)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(ask() for _ in range(connections)))
    ordered = sorted(taken)
    return {
        "answers": len(taken),
        "seconds": time.perf_counter() - started,
        "failed": 0,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
    }


def _message(kind: str, name: str) -> bytes:
    if kind == "floor":
        return f"GET /{name} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
    body = request(QUERY, n=name)
    head = f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def check(port: int, floor_port: int, names: int) -> None:
    """The answers are right: only statuses are looked at under load."""
    client = Client(port)
    for number in (0, 1, names - 1):
        found = client.ask(QUERY, n=entry_name(number))["artifact"]
        assert found == {"name": entry_name(number), "dataObjectId": f"dataset-{number:06}", "type": "dataset"}, found
    client.close()
    client = Client(floor_port)
    assert json.loads(client.send("GET", f"/{entry_name(names - 1)}"))["data"]
    client.close()


def main() -> None:
    asked = arguments(__doc__ or "", seconds=2.0, rounds=5, entries=100, connections=16)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        registry(Path(folder)) as (port, _),
        floor(Path(folder), asked.entries) as floor_port,
    ):
        client = Client(port)
        fill(client, PROJECT, asked.entries)
        client.close()
        check(port, floor_port, asked.entries)
        rounds: dict[str, list[Figures]] = {kind: [] for kind in LOADS}
        for number in range(asked.rounds + 1):
            for kind, found in rounds.items():
                target = floor_port if kind == "floor" else port
                seconds = asked.seconds if number else WARM_UP
                found.append(load(kind, target, seconds, asked.connections, asked.entries))
        check(port, floor_port, asked.entries)
    _report({kind: found[1:] for kind, found in rounds.items()}, as_json=asked.json)


def _report(rounds: dict[str, list[Figures]], *, as_json: bool) -> None:
    rates = {kind: [one["answers"] / one["seconds"] for one in found] for kind, found in rounds.items()}
    figures = {
        LOADS[kind]: {
            "per_second": median(rates[kind]),
            "least": min(rates[kind]),
            "most": max(rates[kind]),
            "p50_ms": median(one["p50_ms"] for one in found),
            "p99_ms": median(one["p99_ms"] for one in found),
        }
        for kind, found in rounds.items()
    }
    ratios = {f"{LOADS[kind]} / floor": ratio(rates[kind], rates["floor"]) for kind in ("distinct", "repeated")}
    client = "wrk" if shutil.which("wrk") else "python"
    if as_json:
        print(json.dumps({"client": client, "lookups": figures, "ratios": ratios}, indent=2))
        return
    print(f"The load comes from {client}.\n")
    show(figures, ratios, "answers")


if __name__ == "__main__":
    main()
