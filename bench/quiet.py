"""The event loop while large manifests come in: `GET /livez` every few milliseconds beside git that pushes.

A manifest of 10 000 entries is pushed by stock git again and again, each time as soon as the last one is served and
its entries were read; one entry differs from push to push, or every one. Beside it stand a server with nothing to do,
and one beside which the same pushes go to a repository that is none of its own: what those cost is the machine's.
An answer is late by the time since its request was due, so that a stall counts for all that it holds up.
"""

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from common import CREATE, Client, arguments, entry_name, registry

PROJECT = "large"
MANIFEST = "artifacts.yml"
EVERY = 0.005  # seconds between two requests
ABOVE_IDLE = 2.0  # milliseconds
READ = """query($name:String!){artifact(project:"large",name:$name){metadata}}"""

Figures = dict[str, float]


def write(repository: Path, pushes: int, entries: int, *, every: bool) -> list[str]:
    """A repository with so many versions of the manifest, in which one entry or every one changes; their commits."""
    git(repository.parent, "init", "--quiet", "--bare", str(repository))
    stream = []
    for number in range(pushes):
        text = b"".join(_entry(place, number if every or place == entries // 2 else 0) for place in range(entries))
        stream.append(b"commit refs/heads/main\ncommitter A <a@example.org> %d +0000\n" % (1_767_225_600 + number))
        stream.append(b"data 7\nChange\n\nM 100644 inline %s\ndata %d\n%s\n" % (MANIFEST.encode(), len(text), text))
    git(repository, "fast-import", "--quiet", given=b"".join(stream))
    return git(repository, "rev-list", "--reverse", "main").split()


def _entry(number: int, revision: int) -> bytes:
    return (
        f"{entry_name(number)}:\n  dataObjectId: dataset-{number:06}\n  type: dataset\n"
        f"  description: Documents of group {number}, cleaned and split\n"
        f"  labels: {{language: en, split: train}}\n  rows: {1000 + number}\n  revision: {revision}\n"
    ).encode()


def git(folder: Path, *command: str, given: bytes = b"") -> str:
    """What git says in a folder."""
    done = subprocess.run(["git", "-C", str(folder), *command], input=given, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


@contextmanager
def bystander(port: int) -> Iterator[list[float]]:
    """Somebody who asks whether the server lives all the time of a block: how late each answer was, in milliseconds."""
    late: list[float] = []
    done = threading.Event()

    def ask() -> None:
        client, due = Client(port), time.perf_counter()
        while not done.wait(due - time.perf_counter()):
            client.send("GET", "/livez")
            late.append((time.perf_counter() - due) * 1000)
            due += EVERY
        client.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield late
    finally:
        done.set()
        thread.join()


def summary(late: list[float]) -> Figures:
    ordered = sorted(late)
    return {"p50_ms": ordered[len(late) // 2], "p99_ms": ordered[len(late) * 99 // 100], "most_ms": ordered[-1]}


def push(source: Path, commits: list[str], target: Path, served: Callable[[int], object]) -> None:
    """Push one commit after the other, waiting after each until it is served."""
    for number, commit in enumerate(commits):
        git(source, "push", "--quiet", "--force", str(target), f"{commit}:refs/heads/main")
        served(number)


def await_served(port: int, name: str, revision: int) -> None:
    """Ask for an entry until it is that of the revision."""
    client = Client(port)
    while (found := client.ask(READ, name=name)["artifact"]) is None or found["metadata"]["revision"] != revision:
        time.sleep(0.05)
    client.close()


def measure(folder: Path, asked: Any) -> dict[str, Figures]:
    """One server, and what becomes of the bystander meanwhile."""
    one, every = (folder / name for name in ("one.git", "every.git"))
    commits = {source: write(source, asked.pushes, asked.entries, every=source is every) for source in (one, every)}
    elsewhere = folder / "elsewhere.git"
    git(folder, "init", "--quiet", "--bare", str(elsewhere))
    with registry(folder) as (port, repositories):
        client, hosted = Client(port), repositories / f"{PROJECT}.git"
        client.ask(CREATE, name=PROJECT)
        client.close()
        served = partial(await_served, port, entry_name(asked.entries // 2))
        acts: dict[str, Callable[[], object]] = {
            "nothing comes in": lambda: time.sleep(asked.seconds),
            "git pushes elsewhere": lambda: push(every, commits[every], elsewhere, lambda _: time.sleep(1)),
            "one entry changes": lambda: push(one, commits[one], hosted, served),
            "every entry changes": lambda: push(every, commits[every], hosted, served),
        }
        found = {}
        for name, act in acts.items():
            time.sleep(1)
            with bystander(port) as late:
                act()
            found[name] = summary(late)
    return found


def main() -> None:
    asked = arguments(__doc__ or "", entries=10_000, pushes=12, seconds=5)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = measure(Path(folder), asked)
    if asked.json:
        print(json.dumps({**found, "wanted_above_idle_ms": ABOVE_IDLE}, indent=2))
        return
    print(f"{'/livez while':20}  {'p50 ms':>8}  {'p99 ms':>8}  {'most ms':>8}  {'above idle':>10}")
    for name, one in found.items():
        above = one["p99_ms"] - found["nothing comes in"]["p99_ms"]
        print(f"{name:20}  {one['p50_ms']:8.2f}  {one['p99_ms']:8.2f}  {one['most_ms']:8.2f}  {above:10.2f}")
    print(f"\nwanted: p99 at most {ABOVE_IDLE:.0f} ms above idle")


if __name__ == "__main__":
    main()
