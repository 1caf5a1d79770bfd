"""Servers killed at random under writers, with a moody queue: what arrives is what Git says happened, in its order."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
import redis
import yaml

from tests.support.api import Work, eventually, new_project
from tests.support.git import clone, git
from tests.support.moody import moody
from tests.support.queue import CREDENTIALS, Sqs, sqs
from tests.support.server import Server, free_port, start

KILLS = 32
WRITERS = 3
PROJECTS = ("a", "b/c", "d")
BRANCHES = ("main", "next", "try/it")
BY_HAND = "by/hand"


# ── What Git says happened, by stock git and PyYAML alone ────────────────────────────────────


def event_id(project: str, branch: str, commit: str, entry: str, kind: str) -> str:
    return hashlib.sha256(f"{project}\0{branch}\0{commit}\0{entry}\0{kind}".encode()).hexdigest()


def entries_at(repository: Path, commits: list[str]) -> list[dict[str, Any]]:
    """What the manifest says at each commit."""
    asked = "".join(f"{commit}:artifacts.yml\n" for commit in commits).encode()
    command = ["git", "-C", str(repository), "cat-file", "--batch"]
    told = subprocess.run(command, input=asked, capture_output=True, check=True).stdout
    found: list[dict[str, Any]] = []
    while told:
        head, _, told = told.partition(b"\n")
        if head.endswith(b"missing"):
            found.append({})
            continue
        size = int(head.split()[2])
        found.append(yaml.load(told[:size], yaml.CSafeLoader) or {})
        told = told[size + 1 :]
    return found


def told_by_git(project: str, repository: Path, branch: str, begun: str) -> list[str]:
    """The ids of a branch's events: it was made at `begun`, and every commit since did what its manifest says."""
    since = git("rev-list", "--first-parent", "--reverse", f"{begun}..{branch}", at=repository).split()
    ids = [event_id(project, branch, begun, "", "BRANCH_CREATED")]
    versions = entries_at(repository, [begun, *since])
    for commit, (was, now) in zip(since, pairwise(versions), strict=True):
        for name in sorted(was.keys() | now.keys()):
            if was.get(name) != now.get(name):
                kind = "ADDED" if name not in was else "REMOVED" if name not in now else "MODIFIED"
                ids.append(event_id(project, branch, commit, name, f"ARTIFACT_{kind}"))
    return ids


# ── Those who write ──────────────────────────────────────────────────────────────────────────


@dataclass
class Registry:
    """A registry whose servers are killed and started again, each at its address, all on the same data."""

    servers: list[Server]
    begun: dict[tuple[str, str], str]
    gone: list[Server] = field(default_factory=list)
    acknowledged: list[tuple[str, str, str]] = field(default_factory=list)
    over: Event = field(default_factory=Event)

    def write(self, seed: int) -> None:
        """Commit one thing after the other, through whichever server is up, until it is over."""
        dice = random.Random(seed)  # noqa: S311 - the same choices every time
        while not self.over.is_set():
            project, branch = dice.choice(PROJECTS), dice.choice(BRANCHES)
            names = [f"{seed}/{dice.randrange(6)}" for _ in range(dice.randrange(1, 3))]
            changes = [{"put": {"name": name, "type": f"t{dice.random()}"}} for name in dict.fromkeys(names)]
            try:
                done = Work(dice.choice(self.servers), project).commit(*changes, branch=branch)
            except (httpx.TransportError, ValueError):
                time.sleep(0.05)
                continue
            assert done["__typename"] == "CommitArtifactsSuccess", done
            self.acknowledged.append((project, branch, done["commit"]["oid"]))
            time.sleep(dice.random() / 8)

    def push(self, tree: Path) -> None:
        """Push some commits together, now and then, whether a server is there or not."""
        dice = random.Random(9)  # noqa: S311 - the same choices every time
        while not self.over.is_set():
            for _ in range(dice.randrange(1, 4)):
                text = "".join(f"{name}: {{n: '{dice.random()}'}}\n" for name in "xy" if dice.random() < 0.8)
                (tree / "artifacts.yml").write_text(text)
                git("add", "artifacts.yml", at=tree)
                git("commit", "--quiet", "--allow-empty", "-m", "By hand", at=tree)
            git("push", "--quiet", "origin", "HEAD:main", at=tree)
            self.acknowledged.append((BY_HAND, "main", git("rev-parse", "HEAD", at=tree)))
            time.sleep(dice.random() * 2)

    def stop(self) -> None:
        """End the servers, and let go of all connections."""
        for server in self.servers:
            if server.process.poll() is None:
                assert server.stop() == 0
        for server in (*self.gone, *self.servers):
            server.client.close()

    def git(self, project: str) -> Path:
        """The repository of a project."""
        return self.servers[0].git(project)

    def logged(self) -> str:
        """What the servers of all times said."""
        return "".join(server.log.read_text() for server in self.servers)

    def told(self) -> dict[tuple[str, str], list[str]]:
        """By branch, the ids of everything that happened."""
        return {
            (project, branch): told_by_git(project, self.git(project), branch, begun)
            for (project, branch), begun in self.begun.items()
        }


def begin(servers: list[Server]) -> Registry:
    """Projects and branches to write to, all of them known to the registry."""
    server = servers[0]
    begun = {}
    for name in (*PROJECTS, BY_HAND):
        work = new_project(server, name)
        begun[name, "main"] = work.head()
        for branch in BRANCHES[1:] if name in PROJECTS else ():
            made = work.mutate("createBranch", project=name, name=branch)
            begun[name, branch] = made["branch"]["head"]["oid"]
    return Registry(servers, begun)


@contextmanager
def cache_server(folder: Path) -> Iterator[redis.Redis]:
    """A cache that outlives servers."""
    port = free_port()
    binary = next(iter(sorted(Path(sys.prefix).rglob("valkey-server"))))
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process, redis.Redis(port=port) as client:
        try:
            eventually(lambda: _answers(client))
            yield client
        finally:
            process.terminate()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


# ── The test ─────────────────────────────────────────────────────────────────────────────────


def kill_again_and_again(registry: Registry, environment: dict[str, str], flush: redis.Redis | None) -> None:
    """SIGKILL to one of the servers at random moments, and another on the same data at its address."""
    dice = random.Random(flush is not None)  # noqa: S311 - the same moments every time
    for _ in range(KILLS):
        time.sleep(0.1 + dice.random() * 0.8)
        place = dice.randrange(len(registry.servers))
        server = registry.servers[place]
        server.stop(signal.SIGKILL)
        registry.gone.append(server)
        if flush:
            flush.flushall()
        port = int(server.url.rpartition(":")[2])
        registry.servers[place] = start(server.data_dir, "--no-demo", port=port, **environment)
        if flush and dice.random() < 0.5:
            flush.flushall()


@contextmanager
def begun(data_dir: Path, servers: int, environment: dict[str, str]) -> Iterator[Registry]:
    """A registry of so many servers for the time of a block."""
    registry = begin([start(data_dir, "--no-demo", port=free_port(), **environment) for _ in range(servers)])
    try:
        yield registry
    finally:
        registry.stop()


def everything_is_written(
    registry: Registry, tree: Path, environment: dict[str, str], flush: redis.Redis | None
) -> None:
    """All that three writers and a person do while the servers die under them; each must have heard no lie."""
    with ThreadPoolExecutor(WRITERS + 1) as pool:
        writing: list[Future[None]] = [pool.submit(registry.write, seed) for seed in range(WRITERS)]
        writing.append(pool.submit(registry.push, tree))
        try:
            kill_again_and_again(registry, environment, flush)
        finally:
            registry.over.set()
        for one in writing:
            one.result()
    assert len(registry.acknowledged) > KILLS
    for project, branch, commit in registry.acknowledged:
        git("merge-base", "--is-ancestor", commit, branch, at=registry.git(project))


@contextmanager
def consuming(queue: Sqs) -> Iterator[list[dict[str, Any]]]:
    """What a consumer received of a queue, repeats and all, in order; complete once the block is over."""
    received: list[dict[str, Any]] = []
    over = Event()

    def consume() -> None:
        while not over.wait(0.05):
            received.extend(queue.received())

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(consume)
        try:
            yield received
        finally:
            over.set()
            done.result()
    received.extend(queue.received())
    queue.client.close()


def first_deliveries(received: list[dict[str, Any]]) -> dict[str, list[str]]:
    """By group, the ids in the order in which they first came; a repeat has the same body."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for one in received:
        about = one["Attributes"]
        body = found[about["MessageGroupId"]].setdefault(about["MessageDeduplicationId"], one["Body"])
        assert body == one["Body"]
        assert json.loads(body)["id"] == about["MessageDeduplicationId"]
    return {group: list(bodies) for group, bodies in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("flushed", [False, True], ids=["one server", "two servers and a cache that is flushed"])
def test_what_is_delivered_is_what_git_says_happened_however_often_servers_are_killed(
    tmp_path: Path, *, flushed: bool
) -> None:
    with sqs() as endpoint, moody(endpoint, flushed) as (way, address), cache_server(tmp_path) as cache:
        queue = Sqs(endpoint)
        environment = {**CREDENTIALS, "REGISTRY_QUEUE_URL": queue.url(address)}
        if flushed:
            environment["REGISTRY_REDIS_URL"] = f"redis://127.0.0.1:{cache.connection_pool.connection_kwargs['port']}"
        with consuming(queue) as received, begun(tmp_path / "var", 1 + flushed, environment) as registry:
            tree = clone(registry.git(BY_HAND), tmp_path / "tree")
            everything_is_written(registry, tree, environment, cache if flushed else None)
            told = registry.told()
            ids = {one for branch in told.values() for one in branch}
            ended = time.monotonic()
            eventually(lambda: ids <= way.accepted.keys(), 90)
            drained = time.monotonic() - ended
        group = {branch: hashlib.sha256("\0".join(branch).encode()).hexdigest() for branch in told}
        assert first_deliveries(received) == {group[branch]: ids for branch, ids in told.items()}
        assert way.refused
        assert way.lost
        assert "Traceback" not in registry.logged()
    print(  # noqa: T201 - the figures of the run
        f"{KILLS} kills, {len(registry.acknowledged)} acknowledged, {len(ids)} events accepted "
        f"{sum(way.accepted.values())} times; {way.refused} refused, {way.failed} requests failed, {way.lost} answers "
        f"lost; drained in {drained:.1f} s"
    )
