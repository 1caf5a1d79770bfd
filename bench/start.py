"""A start beside the stock git client: 1 000 hosted projects of ten branches, few with a manifest of their own.

From the start of the process until /readyz answers, the start of the interpreter and all it imports left out and told
apart: with nothing but Git there, with the journal too, and with everything as the last server left it. Beside the
first two stands the time in which git lists the refs of each project and prints each distinct manifest; beside the last
a bare scan that reads every ref file.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from common import Client, arguments, free_port, ratio, running

from app.stores.cache.valkey import server_binary
from app.stores.git.hosted import DiskRepository, HostedGit
from app.stores.ports import NewCommit, Signature

WHO = Signature("Bench", "bench@localhost", datetime(2026, 1, 1, tzinfo=UTC))
MANIFEST = "artifacts.yml"
WANTED_COLD, WANTED_WARM = 0.6, 4.0

Figures = dict[str, list[float]]


def build(data: Path, asked: Any) -> list[Path]:
    """A data directory no server has run on yet; where its repositories are."""
    hosted, common = HostedGit(data / "git"), manifest("common", asked.entries)
    names = [f"team-{number % 20:02}/project-{number:04}" for number in range(asked.projects)]
    for place, name in enumerate(names):
        hosted.create(name, "main", NewCommit({MANIFEST: common}, "Begin\n", WHO, WHO))
        stream = b"".join(
            branch(name, number, asked.entries if (place * asked.branches + number) % asked.own == 0 else 0)
            for number in range(1, asked.branches)
        )
        git(data / "git" / f"{name}.git", "fast-import", "--quiet", given=stream)
    catalogue = "".join(f"{name}: {{description: Everything of it}}\n" for name in names).encode()
    DiskRepository.create(data / "catalog.git", "main", NewCommit({"projects.yml": catalogue}, "Begin\n", WHO, WHO))
    return [data / "git" / f"{name}.git" for name in names]


def branch(project: str, number: int, entries: int) -> bytes:
    """A branch with a commit of its own onto main, for fast-import; its manifest too where it has entries."""
    text = manifest(f"{project} {number}", entries)
    file = b"M 100644 inline %s\ndata %d\n%s\n" % (MANIFEST.encode(), len(text), text) if entries else b""
    name = b"branch-%d" % number
    return (
        b"commit refs/heads/%s\ncommitter A <a@example.org> 1767225600 +0000\ndata %d\n%s\nfrom refs/heads/main\n%s\n"
        % (
            name,
            len(name),
            name,
            file,
        )
    )


def manifest(words: str, entries: int) -> bytes:
    """Ordinary entries, some of whose words are these."""
    return "".join(
        f"artifact-{number:05}:\n  dataObjectId: dataset-{number:06}\n  type: dataset\n"
        f"  description: Documents of {words}, cleaned and split\n  labels: {{language: en, split: train}}\n"
        f"  rows: {1000 + number}\n  source: corpus/{number}\n"
        for number in range(entries)
    ).encode()


def git(repository: Path, *command: str, given: bytes = b"") -> bytes:
    """What git says in a repository."""
    return subprocess.run(
        ["git", f"--git-dir={repository}", *command], input=given, stdout=subprocess.PIPE, check=True
    ).stdout


def list_refs(repositories: list[Path]) -> None:
    """What the stock client does: one program lists the refs of a project, another prints its distinct manifests."""
    for repository in repositories:
        heads = git(repository, "for-each-ref", "--format=%(objectname)", "refs/heads").split()
        with subprocess.Popen(
            ["git", f"--git-dir={repository}", "cat-file", "--batch-command"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as printer:
            assert printer.stdin
            assert printer.stdout
            printer.stdin.write(b"".join(b"info %s:%s\n" % (head, MANIFEST.encode()) for head in heads))
            printer.stdin.flush()
            blobs = {printer.stdout.readline().split()[0] for _ in heads}
            printer.stdin.write(b"".join(b"contents %s\n" % blob for blob in blobs))
            printer.stdin.close()
            assert len(printer.stdout.read()) > len(blobs)


def scan(repositories: list[Path]) -> None:
    """Read every ref file, and nothing else."""
    for repository in repositories:
        for folder, _, files in os.walk(repository / "refs"):
            for name in files:
                with open(f"{folder}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - a bare scan
                    file.read()


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def redis(folder: Path) -> Iterator[Path]:
    """A server of its own, so that a registry can be stopped and what it cached stays; its socket."""
    path = folder / "redis.sock"
    command = [server_binary(), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not path.exists():
            time.sleep(0.01)
        yield path
        process.terminate()


def flush(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"FLUSHALL\r\n")
        assert client.recv(100) == b"+OK\r\n"


def start(data: Path, cache: Path) -> float:
    """From the start of a process until it is ready, in seconds."""
    port = free_port()
    serve = ["-m", "app.cli", "serve", "--no-demo", "--port", str(port), "--data-dir", str(data)]
    started = time.perf_counter()
    with running(serve, port, data.parent / "registry.log", REGISTRY_REDIS_URL=f"unix://{cache}"):
        client = Client(port)
        assert json.loads(client.send("GET", "/readyz"))["status"] == "ready"
        taken = time.perf_counter() - started
        client.close()
    return taken


def measure(folder: Path, asked: Any) -> Figures:
    """Every round from the same data; what a server without projects takes is the interpreter's and is left out."""
    template, none, data = (folder / name for name in ("template", "none", "data"))
    repositories = [data / one.relative_to(template) for one in build(template, asked)]
    found: Figures = {name: [] for name in ("interpreter", "git", "cold", "flushed", "warm", "scan")}
    with redis(folder) as cache:
        start(none, cache)
        for _ in range(asked.rounds):
            subprocess.run(["cp", "-a", str(template), str(data)], check=True)
            flush(cache)
            found["interpreter"].append(start(none, cache))
            found["git"].append(seconds(lambda: list_refs(repositories)))
            found["cold"].append(start(data, cache) - found["interpreter"][-1])
            flush(cache)
            found["flushed"].append(start(data, cache) - found["interpreter"][-1])
            found["warm"].append(start(data, cache) - found["interpreter"][-1])
            found["scan"].append(seconds(lambda: scan(repositories)))
            shutil.rmtree(data)
    return found


def main() -> None:
    asked = arguments(__doc__ or "", projects=1000, branches=10, entries=20, own=20, rounds=3)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = measure(Path(folder), asked)
    ratios = {
        "empty cache, no journal / git": ratio(found["cold"], found["git"]) | {"wanted": WANTED_COLD},
        "empty cache / git": ratio(found["flushed"], found["git"]) | {"wanted": WANTED_COLD},
        "nothing changed / bare scan": ratio(found["warm"], found["scan"]) | {"wanted": WANTED_WARM},
    }
    if asked.json:
        print(json.dumps({"seconds": found, "ratios": ratios}, indent=2))
        return
    for name, taken in found.items():
        print(f"{name:12}  {median(taken):6.2f} s  ({min(taken):.2f}-{max(taken):.2f})")
    print()
    for name, one in ratios.items():
        print(
            f"{name:30}  {one['median']:6.2f}  ({one['least']:.2f}-{one['most']:.2f})  wanted: {one['wanted']} or less"
        )


if __name__ == "__main__":
    main()
