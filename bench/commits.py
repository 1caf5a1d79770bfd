"""Commits: a bare loop of dulwich, one writer over HTTP, and several writers together on one branch.

Each puts one entry of a manifest anew, and goes on when that is on the disk. All three take turns in one run, because a
machine's mood changes from minute to minute: only the ratios count. At the end every commit that was acknowledged has
to be in Git, and Git has to find nothing wrong.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from common import Client, Series, arguments, entry, fill, ratio, registry, request, show
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

Run: TypeAlias = Callable[[float], list[float]]
"""Commits for so many seconds: how long each took."""
MANIFEST = "artifacts.yml"
MAIN = Ref(b"refs/heads/main")
WARM_UP = 0.5  # seconds
WANTED_ALONE = 1 / 3  # a mutation takes three times as long as a bare commit at most
WANTED_TOGETHER = 1.5  # times one writer

COMMIT = """mutation($project: String!, $put: PutArtifactInput!) {
  commitArtifacts(input: {project: $project, changes: [{put: $put}]}) {
    __typename ... on CommitArtifactsSuccess { changed commit { oid } }
  }
}"""


class Bare:
    """The least a commit can be: three objects on the disk and a branch moved by compare-and-swap, in one thread."""

    def __init__(self, path: Path, manifest: bytes) -> None:
        with Repo.init_bare(path, mkdir=True) as made:
            config = made.get_config()
            config.set((b"core",), b"fsyncObjectFiles", b"true")
            config.write_to_path()
        self._repo = Repo(str(path))
        self._before, _, self._after = manifest.partition(b"revision: 0\n")
        self._head: ObjectID | None = None
        self.made = 0

    def run(self, seconds: float) -> list[float]:
        """Commit for a while: how long each took."""
        taken, end = [], time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            self._commit()
            taken.append(time.perf_counter() - started)
        return taken

    def close(self) -> None:
        """Let go of the repository."""
        self._repo.close()

    def _commit(self) -> None:
        self.made += 1
        blob = Blob.from_string(b"%srevision: %d\n%s" % (self._before, self.made, self._after))
        tree = Tree()
        tree.add(MANIFEST.encode(), 0o100644, blob.id)
        commit = Commit()
        commit.tree, commit.parents = tree.id, [self._head] if self._head else []
        commit.author = commit.committer = b"Ada <ada@example.org>"
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"Update an entry\n"
        for new in (blob, tree, commit):
            self._repo.object_store.add_object(new)
        moved = (
            self._repo.refs.set_if_equals(MAIN, self._head, commit.id)
            if self._head
            else self._repo.refs.add_if_new(MAIN, commit.id)
        )
        assert moved
        self._head = commit.id


class Writer:
    """A client that changes one entry after the other, its own ones only, and remembers what was acknowledged."""

    def __init__(self, port: int, project: str, numbers: range) -> None:
        self._client = Client(port)
        self._project = project
        self._numbers = numbers
        self.acknowledged: list[str] = []

    def run(self, seconds: float) -> list[float]:
        """Commit for a while: how long each took, as the client sees it."""
        taken, end = [], time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            count = len(self.acknowledged)
            new = entry(self._numbers[count % len(self._numbers)])
            new["metadata"]["revision"] = count + 1
            body = request(COMMIT, project=self._project, put=new)
            answer = self._client.send("POST", "/graphql", body)
            taken.append(time.perf_counter() - started)
            self.acknowledged.append(_commit_of(answer))
        return taken

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def _commit_of(answer: bytes) -> str:
    done = json.loads(answer)["data"]["commitArtifacts"]
    assert done.get("changed"), done
    oid: str = done["commit"]["oid"]
    return oid


def together(pool: ThreadPoolExecutor, writers: list[Writer], seconds: float) -> list[float]:
    """Let all writers commit at the same time."""
    return [one for taken in pool.map(lambda writer: writer.run(seconds), writers) for one in taken]


def verify(repository: Path, before: int, writers: list[Writer]) -> int:
    """Every acknowledged commit is on the branch, and no other; Git finds nothing wrong. Answers how many."""
    acknowledged = [oid for writer in writers for oid in writer.acknowledged]
    found = _git(repository, "rev-list", "main").split()
    assert set(acknowledged) <= set(found), "an acknowledged commit is not in Git"
    assert len(set(acknowledged)) == len(acknowledged) == len(found) - before, (len(acknowledged), len(found), before)
    assert int(_git(repository, "rev-list", "--count", "main")) == len(found)
    _git(repository, "fsck", "--full", "--strict")
    return len(acknowledged)


def _git(repository: Path, *command: str) -> str:
    done = subprocess.run(["git", "-C", repository, *command], capture_output=True, text=True, check=True)
    return done.stdout


def main() -> None:
    asked = arguments(__doc__ or "", seconds=2.0, rounds=6, entries=1000, writers=8)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, registry(Path(folder)) as (port, git):
        setup = Client(port)
        for project in ("alone", "crowded"):
            fill(setup, project, asked.entries)
        setup.close()
        repositories = {name: git / f"{name}.git" for name in ("alone", "crowded")}
        before = {name: int(_git(path, "rev-list", "--count", "main")) for name, path in repositories.items()}
        bare = Bare(Path(folder) / "bare.git", _git(repositories["alone"], "show", f"main:{MANIFEST}").encode())
        one = Writer(port, "alone", range(asked.entries))
        many = [Writer(port, "crowded", range(at, asked.entries, asked.writers)) for at in range(asked.writers)]
        with ThreadPoolExecutor(len(many)) as pool:
            runs: dict[str, Run] = {
                "dulwich alone, no server": bare.run,
                "one writer": one.run,
                f"{len(many)} writers, one branch": lambda seconds: together(pool, many, seconds),
            }
            series = measure(runs, asked.rounds, asked.seconds)
        checked = {
            "alone": verify(repositories["alone"], before["alone"], [one]),
            "crowded": verify(repositories["crowded"], before["crowded"], many),
        }
        for each in (bare, one, *many):
            each.close()
    alone, single, crowd = series.values()
    ratios = {
        "p50 of dulwich alone / of one writer": {**ratio(alone.medians, single.medians), "wanted": WANTED_ALONE},
        "together / one writer": {**ratio(crowd.rates, single.rates), "wanted": WANTED_TOGETHER},
    }
    report(series, ratios, checked, "in Git", as_json=asked.json)


def measure(runs: dict[str, Run], rounds: int, seconds: float, warm_up: float = WARM_UP) -> dict[str, Series]:
    """All of them in turns, so that each round has the same mood of the machine."""
    series = {name: Series() for name in runs}
    for run in runs.values():
        run(warm_up)
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            taken = run(seconds)
            series[name].add(taken, time.perf_counter() - started)
    return series


def report(
    series: dict[str, Series],
    ratios: dict[str, dict[str, float]],
    checked: dict[str, int],
    where: str,
    *,
    as_json: bool,
) -> None:
    """Print the figures; `where` the acknowledged commits were found."""
    figures = {name: each.summary() for name, each in series.items()}
    if as_json:
        print(json.dumps({"commits": figures, "ratios": ratios, "verified": checked}, indent=2))
        return
    show(figures, ratios, "commits")
    print(f"\nAll {sum(checked.values())} acknowledged commits are {where}, and git fsck has nothing to say.")


if __name__ == "__main__":
    main()
