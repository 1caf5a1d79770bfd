"""Histories beside the stock git client: a hundred thousand commits, of which one in a hundred touches the manifest.

Measured over HTTP against a started server: the first page of 20, warm; the first page ever, for which the whole index
is read, with git on the PATH and without; and the same for the history of one entry. Beside each stands what git
itself takes. While an index is read, another client asks for something else: its answers should not notice.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from common import CREATE, Client, arguments, registry

PROJECT, OTHER_PROJECT = "history", "other"
MANIFEST = "artifacts.yml"
FOLDERS, FILES = 40, 50
EVERY = 100  # commits, of which one touches the manifest
OF_BRANCH = """query($p:String!){project(name:$p){branch(name:"main"){
  history(first:20){nodes{oid headline author{name at}}}}}}"""
OF_ENTRY = """query($p:String!,$n:String!){artifact(project:$p,name:$n){
  history(first:20){nodes{kind commit{oid headline} fields{path before after}}}}}"""
OTHER = "{registry{version}}"

Figures = dict[str, float]


def write(repository: Path, commits: int, entries: int) -> None:
    """Commits of one changed file each onto `main`, in which the entries of the manifest change in turn."""
    command = ["git", "-C", str(repository), "fast-import", "--quiet", "--force"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as importer:
        assert importer.stdin
        for piece in _stream(commits, entries):
            importer.stdin.write(piece)
        importer.stdin.close()
        assert importer.wait() == 0
    subprocess.run(["git", "-C", str(repository), "commit-graph", "write", "--reachable"], check=True)


def _stream(commits: int, entries: int) -> Iterator[bytes]:
    lines = [_entry(number, 0) for number in range(entries)]
    for number in range(commits):
        when = 1_500_000_000 + 60 * number
        yield b"commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata 7\nChange\n\n" % when
        if number == 0:
            for place in range(FOLDERS * FILES):
                yield _file(place, 0)
        if number % EVERY == 0:
            revision = number // EVERY
            lines[revision % entries] = _entry(revision % entries, revision)
            text = b"".join(lines)
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (MANIFEST.encode(), len(text), text)
        else:
            yield _file(number * 7919 % (FOLDERS * FILES), number)


def _entry(number: int, revision: int) -> bytes:
    return (
        f"artifact-{number:05}:\n  dataObjectId: dataset-{number:06}\n  type: dataset\n"
        f"  labels: {{language: en, split: train}}\n  rows: {1000 + number}\n  revision: {revision}\n"
    ).encode()


def _file(place: int, content: int) -> bytes:
    text = b"%d\n" % content
    return b"M 100644 inline src/%02d/%02d.py\ndata %d\n%s\n" % (place // FILES, place % FILES, len(text), text)


def seconds(work: Callable[[], object], rounds: int = 1) -> float:
    """The median time of some work."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return median(taken)


def git(repository: Path, *options: str, rounds: int) -> float:
    """What `git log` takes for the manifest, in seconds."""
    command = ["git", "-C", str(repository), "log", "--format=%H", *options, "main", "--", MANIFEST]
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True), rounds)


@contextmanager
def bystander(port: int) -> Iterator[list[float]]:
    """Somebody who asks for something else all the time of a block: how long each answer took, in seconds."""
    taken: list[float] = []
    done = threading.Event()

    def ask() -> None:
        client = Client(port)
        while not done.is_set():
            taken.append(seconds(lambda: client.ask(OTHER)))
            time.sleep(0.002)
        client.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield taken
    finally:
        done.set()
        thread.join()


def p99(taken: list[float]) -> float:
    """The time that one answer in a hundred takes longer than."""
    return sorted(taken)[len(taken) * 99 // 100] if taken else 0.0


def measure(folder: Path, query: str, variables: dict[str, str], rounds: int) -> Figures:
    """Servers that know nothing yet: the first page for the first time and then again; the same with others at work."""
    with fresh(folder, query, variables) as (port, client):
        cold = seconds(lambda: client.ask(query, **variables))
        warm = seconds(lambda: client.ask(query, **variables), rounds)
        with bystander(port) as idle:
            time.sleep(1)
    with fresh(folder, query, variables) as (port, client), bystander(port) as busy:
        client.ask(query, **variables)
    return {"cold": cold, "warm": warm, "others idle p99": p99(idle), "others p99": p99(busy)}


@contextmanager
def fresh(folder: Path, query: str, variables: dict[str, str]) -> Iterator[tuple[int, Client]]:
    """A server just started, and a client; the document is known, so that it is not what is measured."""
    with registry(folder) as (port, _):
        client = Client(port)
        client.ask(query, **{**variables, "p": OTHER_PROJECT})
        yield port, client
        client.close()


@contextmanager
def without_git(folder: Path) -> Iterator[None]:
    """A PATH on which there is no git."""
    path, bare = os.environ["PATH"], folder / "bin"
    bare.mkdir()
    os.environ["PATH"] = str(bare)
    try:
        yield
    finally:
        os.environ["PATH"] = path


def run(folder: Path, query: str, commits: int, entries: int, rounds: int) -> dict[str, Figures]:
    """One repository: what the server takes with git on its PATH and without, and what git itself takes. In seconds."""
    with registry(folder) as (port, repositories):
        client = Client(port)
        for project in (PROJECT, OTHER_PROJECT):
            client.ask(CREATE, name=project)
        client.close()
    repository = repositories / f"{PROJECT}.git"
    write(repository, commits, entries)
    variables = {"p": PROJECT} | ({"n": f"artifact-{0:05}"} if query == OF_ENTRY else {})
    found = {"server": measure(folder, query, variables, rounds)}
    with without_git(folder):
        found["server without git"] = measure(folder, query, variables, rounds)
    found["git"] = {"cold": git(repository, rounds=5), "warm": git(repository, "-20", rounds=rounds)}
    shutil.rmtree(folder)
    return found


def main() -> None:
    asked = arguments(__doc__ or "", commits=100_000, entries=100, many=10_000, rounds=21)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        figures = {}
        for kind, (query, entries) in {
            f"branch, {asked.entries} entries": (OF_BRANCH, asked.entries),
            f"entry among {asked.entries}": (OF_ENTRY, asked.entries),
            f"entry among {asked.many}": (OF_ENTRY, asked.many),
        }.items():
            folder = Path(name) / str(len(figures))
            folder.mkdir()
            figures[kind] = run(folder, query, asked.commits, entries, asked.rounds)
    if asked.json:
        print(json.dumps(figures, indent=2))
    else:
        report(figures)


def report(figures: dict[str, dict[str, Figures]]) -> None:
    """Times, and how often they go into git's; `cold` beside all of `git log`, `warm` beside its first twenty lines."""
    print(f"{'':26}{'':20}{'cold s':>9}{'/ git':>7}{'warm ms':>9}{'/ git':>7}   others, p99 ms")
    for kind, found in figures.items():
        for who, one in found.items():
            ratios = [one[when] / found["git"][when] for when in ("cold", "warm")]
            times = f"{one['cold']:9.2f}{ratios[0]:7.2f}{one['warm'] * 1000:9.2f}{ratios[1]:7.2f}"
            others = (
                f"{one['others p99'] * 1000:.1f} (idle {one['others idle p99'] * 1000:.1f})" if who != "git" else ""
            )
            print(f"{kind:26}{who:20}{times}   {others}")
    print("\nwanted of a branch: cold 1.5 times git's or less, without git 40 times; warm less than git's")


if __name__ == "__main__":
    main()
