"""Whatever befalls the cache, answers are right and nearly as fast, writes go on, and it is healed once it is back."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest
import redis

from tests.support.api import Work, eventually, new_project
from tests.support.elsewhere import Elsewhere, There, elsewhere
from tests.support.git import clone, git, push_file
from tests.support.listen import socket
from tests.support.redis import FAULTS, PASSWORD, Fault, Redis
from tests.support.server import Server, running

pytestmark = pytest.mark.slow

HEALED = 10.0
"""Seconds within which the cache holds what it should, once it is back."""
SERVED = """query($p: String!) {
  project(name: $p) {
    defaultBranch { name head { oid } }
    branches(first: 50) { nodes {
      name head { oid } artifacts(first: 100) { nodes { name } } history(first: 100) { nodes { oid } } } }
    main: branch(name: "main") { head { oid } } next: branch(name: "next") { head { oid } } }
  artifacts(first: 100, filter: {project: $p}) { nodes { name } } }"""
HEAD = "query($p: String!, $b: String!) { project(name: $p) { branch(name: $b) { head { oid } } } }"
faults = pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared: Redis) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("data") / "var", "--no-demo", REGISTRY_REDIS_URL=shared.url) as server:
        yield server
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def work(server: Server, shared: Redis) -> Work:
    """A project of two branches that the cache knows."""
    return begun(new_project(server), shared)


def begun(work: Work, shared: Redis) -> Work:
    work.put("first", type="m")
    work.mutate("createBranch", project=work.name, name="next")
    work.put("second", type="m")
    healed(shared, work)
    return work


# ── What Git has, what is served, and what the cache holds ───────────────────────────────────


def in_git(work: Work) -> dict[str, Any]:
    """What SERVED has to answer, by the stock client."""
    refs = git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads", at=work.repository)
    heads = dict(line.split() for line in refs.splitlines())
    names = {branch: sorted(re.findall(r"^([\w-]+):", work.text(branch), re.MULTILINE)) for branch in heads}
    logs = {
        branch: git("log", "--format=%H", branch, "--", "artifacts.yml", at=work.repository).split() for branch in heads
    }
    return {
        "project": {
            "defaultBranch": {"name": "main", "head": {"oid": heads["main"]}},
            "branches": {
                "nodes": [
                    {
                        "name": branch,
                        "head": {"oid": oid},
                        "artifacts": {"nodes": [{"name": name} for name in names[branch]]},
                        "history": {"nodes": [{"oid": one} for one in logs[branch]]},
                    }
                    for branch, oid in sorted(heads.items())
                ]
            },
            "main": {"head": {"oid": heads["main"]}},
            "next": {"head": {"oid": heads["next"]}} if "next" in heads else None,
        },
        "artifacts": {"nodes": [{"name": name} for name in names["main"]]},
    }


def served(work: Work) -> dict[str, Any]:
    return work.server.ask(SERVED, p=work.name)


def served_head(work: Work, branch: str = "main") -> str:
    oid: str = work.server.ask(HEAD, p=work.name, b=branch)["project"]["branch"]["head"]["oid"]
    return oid


def cached_heads(shared: Redis, name: str) -> dict[str, str]:
    """Where the cache says the branches of a project stand; its default one under `*HEAD`."""
    with closing(shared.client()) as client:
        stored: dict[bytes, bytes] = client.hgetall(f"ml-registry:3:pointers:{name}")
    heads = {}
    for field, value in stored.items():
        if (match := re.match(rb"\d+=[0-9a-f]{16}(\[.*\])$", value)) and field != b"*WHOLE":
            _, _, at = json.loads(match[1])
            heads[field.decode()] = at["commit"]
    return heads if b"*WHOLE" in stored else {}


def expected_heads(work: Work) -> dict[str, str]:
    refs = git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads", at=work.repository)
    heads = dict(line.split() for line in refs.splitlines())
    return {**heads, "*HEAD": heads["main"]}


def healed(shared: Redis, work: Work) -> None:
    """The cache is as Git is, within HEALED seconds."""

    def as_git_is() -> bool:
        try:
            return cached_heads(shared, work.name) == expected_heads(work)
        except (redis.RedisError, ValueError, LookupError):
            return False

    eventually(as_git_is, HEALED)


def looked_up(shared: Redis) -> int:
    """How many pointers the cache was asked for."""
    with closing(shared.client()) as client:
        stats: dict[str, dict[str, int]] = client.info("commandstats")
    return stats.get("cmdstat_hget", {"calls": 0})["calls"]


def p95(call: Callable[[], object], count: int = 40) -> float:
    """Seconds that all but one in twenty calls take at most."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return quantiles(took, n=20)[-1]


# ── A project that lies here ─────────────────────────────────────────────────────────────────


@faults
def test_answers_are_what_git_has_before_after_and_while_the_cache_is_away(
    work: Work, shared: Redis, tmp_path: Path, fault: Fault
) -> None:
    tree = clone(work.repository, tmp_path / "tree")
    with fault(shared):
        assert served(work) == in_git(work)
        work.put("third", type="m", branch="next")
        work.put("third", type="m")
        assert served(work) == in_git(work)
        work.mutate("createBranch", project=work.name, name="other")
        assert served(work) == in_git(work)
        git("pull", "--quiet", at=tree)
        push_file(tree, "artifacts.yml", b"by-hand: {type: m}\n")
        eventually(lambda: served(work) == in_git(work), 3)
        work.mutate("deleteBranch", project=work.name, name="next")
        assert served(work) == in_git(work)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert served(work) == in_git(work)
        time.sleep(0.05)


@faults
def test_what_is_written_is_served_at_once_whatever_the_cache_does(work: Work, shared: Redis, fault: Fault) -> None:
    def write(name: str, branch: str) -> None:
        oid = work.put(name, type="m", branch=branch)
        found = work.artifact(name, branch)
        assert found
        assert found["commit"]["oid"] == oid == served_head(work, branch) == work.head(branch)

    with fault(shared):
        for number in range(6):
            write(f"during-{number}", ("main", "next")[number % 2])
    for number in range(40):  # it is back, and for a while lacks what was written: to one branch now, to both before
        write(f"after-{number}", "main" if number < 35 else "next")
        assert served_head(work, "next") == work.head("next")
        time.sleep(0.03)


@faults
def test_reads_are_at_most_three_times_slower_and_a_little(work: Work, shared: Redis, fault: Fault) -> None:
    others = [begun(new_project(work.server), shared) for _ in range(2)]

    def read() -> None:
        for one in (work, *others):
            one.artifact("first")

    def bounded() -> bool:
        healthy = p95(read, 20) / 3
        with fault(shared):
            away = p95(read, 20) / 3
        healed(shared, work)
        return away <= 3 * healthy + 0.3

    assert any(bounded() for _ in range(3))


@faults
def test_a_subscriber_hears_everything_once_and_in_order(work: Work, shared: Redis, fault: Fault) -> None:
    with socket(work.server, filter={"project": work.name}) as listener:

        def hear() -> str:
            heard: str = listener.next(10)["node"]["commit"]
            return heard

        written = [work.put("before")]
        heard = [next(filter(written[0].__eq__, iter(hear, None)))]  # what was written earlier may be told just now
        with fault(shared):
            written += [work.put(f"during-{number}", branch=("main", "next")[number % 2]) for number in range(8)]
            heard += [hear() for _ in range(8)]
        written += [work.put(f"after-{number}") for number in range(5)]
        heard += [hear() for _ in range(5)]
        assert listener.nothing()
    for branch in ("main", "next"):
        line = git("rev-list", "--reverse", branch, at=work.repository).split()
        assert [oid for oid in heard if oid in line] == [oid for oid in written if oid in line]


@faults
def test_the_cache_holds_what_git_has_soon_after_it_is_back_and_is_asked_again(
    work: Work, shared: Redis, fault: Fault
) -> None:
    with fault(shared):
        work.put("third", type="m", branch="next")
        work.artifact("first")
        time.sleep(0.5)
    healed(shared, work)
    asked = looked_up(shared)
    eventually(lambda: work.artifact("first") and looked_up(shared) > asked, 3)
    assert served(work) == in_git(work)


@pytest.mark.parametrize("name", ["flushed", "killed", "set back"])
def test_what_nobody_asks_for_is_healed_too(work: Work, shared: Redis, name: str) -> None:
    with FAULTS[name](shared):
        pass
    healed(shared, work)


def test_a_wrong_password_at_the_start_is_no_reason_not_to_serve_and_heals_when_it_is_right(
    tmp_path: Path, shared: Redis
) -> None:
    with ExitStack() as stack:
        locked = ExitStack()
        locked.enter_context(FAULTS["locked"](shared))
        stack.callback(locked.close)
        server = stack.enter_context(running(tmp_path / "var", "--no-demo", REGISTRY_REDIS_URL=shared.url))
        work = new_project(server)
        work.put("first")
        work.mutate("createBranch", project=work.name, name="next")
        assert served(work) == in_git(work)
        assert PASSWORD not in server.log.read_text()
        locked.close()
        healed(shared, work)
        assert served(work) == in_git(work)


def test_the_log_says_once_that_the_cache_is_away_and_once_that_it_is_back(tmp_path: Path, shared: Redis) -> None:
    with running(tmp_path / "var", "--no-demo", REGISTRY_REDIS_URL=shared.url) as server:
        work = begun(new_project(server), shared)
        with FAULTS["cut off"](shared):
            eventually(lambda: "the cache is away" in server.log.read_text())
            for _ in range(5):
                work.put(f"at-{time.time_ns()}")
                time.sleep(0.5)
        eventually(lambda: "the cache is back" in server.log.read_text())
        log = server.log.read_text()
    assert (log.count("the cache is away"), log.count("the cache is back"), log.count("not cached")) == (1, 1, 0)


# ── A project that lies elsewhere, where the registry looks seldom ───────────────────────────


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    with elsewhere(tmp_path_factory.mktemp("elsewhere")) as found:
        yield found


@pytest.fixture(scope="module")
def remote(there: Elsewhere, shared: Redis) -> Iterator[There]:
    there.repository(manifest=b"first: {type: m}\n")
    with there.server(REGISTRY_REDIS_URL=shared.url) as server:
        work = there.project(server)
        work.mutate("createBranch", project=work.name, name="next")
        yield work


@faults
def test_a_project_elsewhere_is_served_right_and_healed_as_soon(remote: There, shared: Redis, fault: Fault) -> None:
    healed(shared, remote)
    with fault(shared):
        for number in range(4):
            branch = ("main", "next")[number % 2]
            oid = remote.put(f"during-{number}", metadata={"at": time.time_ns()}, branch=branch)
            assert served_head(remote, branch) == oid
        assert served(remote) == in_git(remote)
    assert served(remote) == in_git(remote)
    healed(shared, remote)
    assert served(remote) == in_git(remote)


# ── Two servers, of which one loses the cache they share ─────────────────────────────────────


def stale_for(pair: list[Work], seconds: float) -> float:
    """For how long, at most, one of them served a head that Git had not."""
    since: dict[int, float] = {}
    longest = 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for number, work in enumerate(pair):
            before = work.head()
            if served_head(work) in (before, work.head()):
                since.pop(number, None)
            else:
                longest = max(longest, time.monotonic() - since.setdefault(number, time.monotonic()))
        time.sleep(0.02)
    return longest


parted = pytest.mark.parametrize("moods", [{"open": False}, {"alive": False}], ids=["refused", "silent"])


@parted
def test_of_two_servers_that_part_neither_serves_an_old_head_for_long(
    tmp_path: Path, shared: Redis, moods: dict[str, Any]
) -> None:
    with ExitStack() as stack:
        straight = f"redis://127.0.0.1:{shared.port}"
        urls = (shared.url, straight)
        one, two = [stack.enter_context(running(tmp_path / "var", "--no-demo", REGISTRY_REDIS_URL=url)) for url in urls]
        alone = begun(new_project(one), shared)
        pair = [alone, Work(two, alone.name)]
        eventually(lambda: served(pair[1]) == in_git(alone))
        with shared.way.being(**moods):
            for number in range(4):
                pair[number % 2].put(f"during-{number}")
                assert served_head(alone) == alone.head()
                assert stale_for(pair, 1.5) < 2
        alone.put("after")
        assert stale_for(pair, 5) < 2
        healed(shared, alone)


@parted
def test_of_two_replicas_that_part_neither_serves_an_old_head_ten_seconds_later(
    tmp_path: Path, shared: Redis, moods: dict[str, Any]
) -> None:
    with ExitStack() as stack:
        host = stack.enter_context(elsewhere(tmp_path))
        host.repository()
        (one,) = host.replicas(stack, 1, REGISTRY_REDIS_URL=shared.url)
        settings = host.shared | {"REGISTRY_REDIS_URL": f"redis://127.0.0.1:{shared.port}"}
        two = stack.enter_context(host.server("replica-1", **settings))
        alone = host.project(one)
        pair: list[Work] = [alone, alone.through(two)]
        eventually(lambda: two.ask("query($p: String!) { project(name: $p) { name } }", p=alone.name)["project"])
        with shared.way.being(**moods):
            for number in range(4):
                oid = pair[number % 2].put(f"during-{number}")
                assert served_head(pair[number % 2]) == oid
        assert stale_for(pair, HEALED + 2) < HEALED
        assert stale_for(pair, 1) == 0
        healed(shared, alone)
