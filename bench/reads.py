"""Reads beside the floor: a route of the same framework that does one GET of the cache.

Measured are this server, stock Strawberry over the same schema, and, where `--mlflow` names an interpreter that has it,
MLflow's registry server. All take turns in one run, each beside a floor of the same minute, because a machine's mood
changes: only the ratios count. The answers are compared with what they have to be before and after, and their number
and size meanwhile. At the end another server is watched under each load.
"""

import json
import sys
import tempfile
import threading
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import mlflow_server
from common import Client, arguments, entry, free_port, put, running
from load import NUMBER, Figures, load
from processor import seconds_of, settle
from redis import Redis
from results import FLOOR, MLFLOW, OTHERS_COMMIT, REGISTRY, STOCK, Load, figures_of, show_figures
from shapes import BUSY, SHAPES, known_already, posted, prepare, project_name
from stages import Shares, shares

from app.stores.cache.valkey import server_binary

FLOOR_ANSWER = b'{"data":{"artifact":{"name":"artifact-0000","dataObjectId":"dataset-000000","type":"dataset"}}}'
KINDS = {
    "one artifact": ("distinct", "distinct" + OTHERS_COMMIT, "computed", "repeated", "strong"),
    "page of 100": ("computed", "repeated", "repeated" + OTHERS_COMMIT, "not modified"),
    "nested": ("computed", "repeated"),
}
KINDS_OF_MANY = ("distinct", "computed", "repeated")
"""What is asked of more than one worker."""
WORKERS = (1, 2)
SAMPLE = 100  # of so many requests one is checked
COMMITS_A_SECOND = 10
STOCK_CONNECTIONS = 2
"""To each worker of stock Strawberry: they keep it as busy as more would, and some answers come within a round."""
WARM_UP = 1  # seconds


class Server(NamedTuple):
    """A process that listens."""

    pid: int
    port: int


@dataclass(frozen=True)
class Site:
    """All that is measured: the servers of each kind when so many of them work together, and the cache they share.

    What the `watched` one does it writes into the file `told`.
    """

    cache: int
    servers: dict[tuple[str, int], list[Server]]
    watched: Server
    told: Path

    def used_by(self, one: Load) -> list[Server]:
        """The workers a load is for."""
        return self.servers[one.server, one.workers]


@contextmanager
def site(folder: Path, mlflow: str) -> Iterator[Site]:
    """Every server, each in a process of its own.

    One registry is alone, with default settings and so with a cache of its own. Several workers, those with stock
    Strawberry among them, share a data directory and a cache, as several servers on one machine do.
    """
    with ExitStack() as stack:

        def start(name: str, *command: str, program: str = sys.executable, **settings: str) -> Server:
            port = free_port()
            filled = [part.format(port=port) for part in command]
            process = stack.enter_context(running(filled, port, folder / f"{name}.log", program, **settings))
            return Server(process.pid, port)

        socket, here = folder / "cache.sock", Path(__file__).parent
        options = ["--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
        cache = start("cache", "--port", "{port}", *options, program=server_binary())
        with Redis(unix_socket_path=str(socket)) as client:
            client.mset({variables["name"]: FLOOR_ANSWER for variables in SHAPES["one artifact"].variables})
        shared = {"REGISTRY_REDIS_URL": f"unix://{socket}", "FLOOR_REDIS": f"unix://{socket}"}
        serve = ["-m", "app.cli", "serve", "--no-demo", "--port", "{port}", "--data-dir"]
        floor = ["-m", "uvicorn", "floor:app", "--app-dir", str(here), "--port", "{port}", "--loop", "uvloop"]
        quiet = ["--http", "httptools", "--no-access-log", "--log-level", "warning"]
        alone = start("registry", *serve, str(folder / "alone"))
        ours = [start("registry-1", *serve, str(folder / "shared"), **shared)]
        told, watch = folder / "told.json", [str(here / "stages.py"), str(folder / "told.json"), *serve[2:]]
        watched = start("watched", *watch, str(folder / "watched"))
        for first in (alone, watched, *ours):
            prepare(first.port)
        ours.append(start("registry-2", *serve, str(folder / "shared"), **shared))
        stock = [
            start(f"stock-{n}", str(here / "stock.py"), str(folder / "shared"), "{port}", **shared) for n in (1, 2)
        ]
        floors = [start(f"floor-{n}", *floor, *quiet, **shared) for n in (1, 2)]
        servers = {(REGISTRY, 1): [alone], (REGISTRY, 2): ours}
        servers |= {(name, n): two[:n] for name, two in ((STOCK, stock), (FLOOR, floors)) for n in WORKERS}
        if mlflow:
            servers[MLFLOW, 1] = [Server(*stack.enter_context(mlflow_server.mlflow(Path(mlflow), folder)))]
        yield Site(cache.pid, servers, watched, told)


def loads(*, mlflow: bool) -> list[Load]:
    """Everything that is measured in a round, in this order: each floor right before what is compared with it."""
    found = []
    for workers in WORKERS:
        for shape, asked in KINDS.items():
            found.append(Load(FLOOR, shape, "GET", workers))
            used = [kind for kind in asked if workers == 1 or kind in KINDS_OF_MANY]
            found += [Load(REGISTRY, shape, kind, workers) for kind in used]
            found.append(Load(STOCK, shape, "distinct", workers))
            if mlflow and workers == 1 and shape in mlflow_server.BESIDE:
                found.append(Load(MLFLOW, shape, mlflow_server.BESIDE[shape], workers))
    return found


def requests_of(one: Load, site: Site) -> list[bytes]:
    """What is sent, in turn."""
    shape = SHAPES[one.shape]
    if one.server == FLOOR:
        names = [variables["name"] for variables in SHAPES["one artifact"].variables]
        return [f"GET /{name} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode() for name in names]
    if one.server == MLFLOW:
        return mlflow_server.requests()[one.kind]
    if one.server == STOCK:
        return posted(shape, "/stock")
    kind = one.kind.removesuffix(OTHERS_COMMIT)
    if kind == "not modified":
        return [known_already(shape, site.used_by(one)[0].port)]
    asked = posted(shape, numbered=kind == "computed", strong=kind == "strong")
    return asked[:1] if kind == "repeated" else asked


def check(one: Load, requests: Sequence[bytes], site: Site) -> int:
    """The bytes of an answer. Asks each worker some of it, and stops on an answer that is not as it has to be."""
    shape = SHAPES[one.shape]
    for server in site.used_by(one):
        client = Client(server.port)
        for at in range(0, len(requests), SAMPLE):
            head, body = client.exchange(requests[at].replace(NUMBER, b"1" * 16))
            if one.kind == "not modified":
                assert head.startswith(b"HTTP/1.1 304"), head
            elif one.server == MLFLOW:
                mlflow_server.check(json.loads(body), one.kind, at)
            elif one.server == FLOOR:
                assert body == FLOOR_ANSWER, (head, body)
            else:
                found = json.loads(body)
                assert found == {"data": shape.expected(shape.variables[at])}, (one, found)
        client.close()
    return len(head) + 4 + len(body)


def press(one: Load, requests: Sequence[bytes], size: int, site: Site, asked: Namespace) -> Figures:
    """One round of a load. Stops the run when answers failed, or were not as long as they have to be."""
    used = site.used_by(one)
    pids = [site.cache, *(server.pid for server in used)]
    before = seconds_of(pids)
    beside = committing(used[0].port) if one.others_commit else nullcontext([])
    connections = STOCK_CONNECTIONS * one.workers if one.server == STOCK else asked.connections
    with beside as commits:
        figures = load([server.port for server in used], requests, asked.seconds, connections)
    settle(pids)
    assert not figures["failed"], f"{one}: {figures['failed']:.0f} requests failed"
    length, answers = figures["bytes"], figures["answers"]
    assert answers, f"{one}: nothing was answered within {asked.seconds} seconds; try longer rounds"
    assert abs(length - answers * size) <= 0.02 * length + connections * size, (one, length, answers, size)
    spent = (seconds_of(pids) - before) / answers * 1e6
    return {**figures, "processor_us": spent, "commits": len(commits) / figures["seconds"]}


@contextmanager
def committing(port: int) -> Iterator[list[int]]:
    """Somebody who commits to another branch of the first project all the time of a block: the commits."""
    made: list[int] = []
    done = threading.Event()

    def commit() -> None:
        client, due = Client(port), monotonic()
        for number in count():
            if done.wait(due - monotonic()):
                break
            put(client, project_name(0), [entry(0) | {"metadata": {"revision": number, "at": due}}], BUSY)
            made.append(number)
            due += 1 / COMMITS_A_SECOND
        client.close()

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        yield made
    finally:
        done.set()
        thread.join()


def measure(site: Site, asked: Namespace) -> dict[Load, list[Figures]]:
    """Some rounds of everything, after one that does not count."""
    everything = {one: requests_of(one, site) for one in loads(mlflow=(MLFLOW, 1) in site.servers)}
    sizes = {one: check(one, requests, site) for one, requests in everything.items()}
    warm = Namespace(**{**vars(asked), "seconds": WARM_UP})
    rounds: dict[Load, list[Figures]] = {one: [] for one in everything}
    for number in range(asked.rounds + 1):
        print(f"round {number} of {asked.rounds}", file=sys.stderr)
        for one, requests in everything.items():
            rounds[one].append(press(one, requests, sizes[one], site, asked if number else warm))
    for one, requests in everything.items():
        check(one, requests, site)
    return {one: found[1:] for one, found in rounds.items()}


def profile(site: Site, asked: Namespace) -> dict[str, Shares]:
    """What one worker of the registry spends its time on, under each load."""
    found = {}
    for one in loads(mlflow=False):
        if one.server == REGISTRY and one.workers == 1 and not one.others_commit:
            requests = requests_of(one, site)
            work = partial(load, [site.watched.port], requests, asked.seconds, asked.connections)
            work()
            found[one.title] = shares(site.watched.pid, site.told, work)
    return found


def main() -> None:
    asked = arguments(__doc__ or "", seconds=2, rounds=5, connections=16, mlflow="")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, site(Path(folder), asked.mlflow) as started:
        rounds = measure(started, asked)
        stages = profile(started, asked)
    beside = mlflow_server.version_of(Path(asked.mlflow)) if asked.mlflow else ""
    figures = {**figures_of(rounds, asked, beside), "stages": stages}
    if asked.json:
        print(json.dumps(figures, indent=1))
    else:
        show_figures(figures)


if __name__ == "__main__":
    main()
