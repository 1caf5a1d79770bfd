"""Pages of 20 out of everything: distinct filters with values never asked for before, while another client commits.

The repositories are written before the server starts. The first search, which makes the index, is told apart, and how
long others waited for a small answer meanwhile.
"""

import hashlib
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import SystemRandom
from typing import Any

from common import Client, arguments, entry_name, free_port, running

from app.stores.git.hosted import DiskRepository, HostedGit
from app.stores.objects.local import LocalObjects
from app.stores.ports import NewCommit, ObjectKey, Signature

COMMITS_A_SECOND = 5
LOOKUP_SECONDS = 0.005
DICE = SystemRandom()
WANTED_MS = 100
WHO = Signature("Ada", "ada@example.org", datetime.now(UTC))
TYPES = ("dataset", "model", "metrics", "report")
TAGS = ("nlp", "vision", "audio", "tabular", "daily", "weekly")
SEARCH = """query($filter: ArtifactFilter) { artifacts(first: 20, filter: $filter) {
  totalCount nodes { name dataObjectId type project { name } } pageInfo { hasNextPage endCursor } } }"""
DATA_OBJECT = "query($id: ID!) { dataObject(id: $id) { artifacts { totalCount nodes { name project { name } } } } }"
COMMIT = """mutation($project: String!, $name: String!, $patch: JSON!) {
  commitArtifacts(input: {project: $project, changes: [{patch: {name: $name, patch: $patch}}]}) { __typename } }"""

Filter = dict[str, Any]
Figures = dict[str, float]


def metadata(path: str, **condition: Any) -> Filter:
    return {"metadata": [{"path": path, **condition}]}


def word() -> str:
    return f"{DICE.randrange(10**6):06}"


KINDS: dict[str, Callable[[], Filter]] = {
    "everything": dict,
    "project": lambda: {"project": f"*{word()[:2]}"},
    "name": lambda: {"name": entry_name(int(word()[:2]))},
    "name, glob": lambda: {"name": f"*{word()[0]}?"},
    "type": lambda: {"type": DICE.sample(TYPES, 2)},
    "label": lambda: {"label": {"key": "split", "value": DICE.choice(("train", "test"))}},
    "text": lambda: {"text": word()[:3]},
    "metadata eq": lambda: metadata("rows", eq=int(word())),
    "metadata in": lambda: metadata("rows", **{"in": [int(word()) for _ in range(100)]}),
    "metadata range": lambda: metadata("rows", gt=int(word()), lte=int(word()) + 500_000),
    "metadata range, any column": lambda: metadata("columns.size", gte=int(word()[:2])),
    "metadata contains text": lambda: metadata("source", contains=word()[:2]),
    "metadata contains element": lambda: metadata("tags", contains=DICE.choice(TAGS)),
    "metadata contains members": lambda: metadata("config", contains={"seed": int(word()[:3])}),
    "metadata exists": lambda: metadata(DICE.choice(("config.seed", "missing")), exists=False),
    "object PENDING": lambda: {"objectState": ["PENDING"], **metadata("rows", gt=int(word()))},
    "object READY": lambda: {"objectState": ["READY"], **metadata("rows", gt=int(word()))},
    "all together": lambda: {
        "project": "team-*",
        "branch": "*",
        "name": "artifact-*",
        "type": list(TYPES[:3]),
        "label": {"key": "language"},
        "text": "group",
        "metadata": [{"path": "rows", "lt": int(word())}, {"path": "tags", "contains": DICE.choice(TAGS)}],
    },
}


def project_name(number: int) -> str:
    return f"team-{number % 20:02}/project-{number:04}"


def build(data: Path, projects: int, entries: int) -> None:
    """A data directory as a server would have left it."""
    git, objects = HostedGit(data / "git"), LocalObjects(data / "objects", "http://localhost", b"")
    names = [project_name(number) for number in range(projects)]
    for name in names:
        manifest = {one: _entry(name, number, objects) for number, one in enumerate(map(entry_name, range(entries)))}
        git.create(name, "main", NewCommit({"artifacts.yml": _yaml(manifest)}, "Begin\n", WHO, WHO))
    catalogue = _yaml({name: {"description": f"Everything of {name}"} for name in names})
    DiskRepository.create(data / "catalog.git", "main", NewCommit({"projects.yml": catalogue}, "Begin\n", WHO, WHO))


def _entry(project: str, number: int, objects: LocalObjects) -> dict[str, Any]:
    """An ordinary entry. One in ten awaits its bytes, one in ten has them in the store."""
    entry: dict[str, Any] = {
        "dataObjectId": f"{project}-{number:06}",
        "type": DICE.choice(TYPES),
        "description": f"Documents of group {word()}, cleaned and split",
        "labels": {"language": "en", "split": DICE.choice(("train", "test"))},
        "rows": int(word()),
        "source": f"corpus/{word()}",
        "licence": "CC-BY-4.0",
        "tags": DICE.sample(TAGS, 2),
        "columns": [{"name": "id", "size": 8}, {"name": "text", "size": int(word()[:2])}],
        "config": {"type": "tsv", "hasHeader": True, "seed": int(word()[:3])},
    }
    if number % 10 < 2:
        content = f"{project} {number}".encode()
        entry["object"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        if number % 10 == 0:
            entry["object"]["state"] = "pending"
        else:
            place = objects.path(ObjectKey(project, entry["object"]["sha256"]))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    return entry


def _yaml(entries: dict[str, dict[str, Any]]) -> bytes:
    lines = [
        f"{name}:\n" + "".join(f"  {k}: {json.dumps(v)}\n" for k, v in one.items()) for name, one in entries.items()
    ]
    return "".join(lines).encode()


@contextmanager
def meanwhile(act: Callable[[Client], object], port: int, pause: float) -> Iterator[list[float]]:
    """Another client acts again and again for the time of a block: how long each act took, in milliseconds."""
    enough = threading.Event()
    taken: list[float] = []

    def run() -> None:
        client = Client(port)
        while not enough.wait(pause):
            taken.append(timed(act, client)[0])
        client.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield taken
    finally:
        enough.set()
        thread.join()


def timed(act: Callable[..., Any], *given: Any, **named: Any) -> tuple[float, Any]:
    """How long something took, in milliseconds, and what came of it."""
    started = time.perf_counter()
    found = act(*given, **named)
    return (time.perf_counter() - started) * 1000, found


def commit(client: Client, projects: int, entries: int) -> None:
    """Change an entry of some project."""
    project, name = project_name(DICE.randrange(projects)), entry_name(DICE.randrange(entries))
    done = client.ask(COMMIT, project=project, name=name, patch={"rows": int(word())})
    assert done["commitArtifacts"]["__typename"] == "CommitArtifactsSuccess", done


def measure(client: Client, rounds: int, projects: int, entries: int) -> dict[str, list[float]]:
    """How long each search took, in milliseconds."""
    taken: dict[str, list[float]] = {kind: [] for kind in (*KINDS, "dataObject")}
    for _ in range(rounds):
        for kind, make in KINDS.items():
            milliseconds, data = timed(client.ask, SEARCH, filter=make())
            taken[kind].append(milliseconds)
            assert len(data["artifacts"]["nodes"]) == min(20, data["artifacts"]["totalCount"]), data
        identifier = f"{project_name(DICE.randrange(projects))}-{DICE.randrange(entries):06}"
        milliseconds, data = timed(client.ask, DATA_OBJECT, id=identifier)
        taken["dataObject"].append(milliseconds)
        assert data["dataObject"]["artifacts"]["totalCount"] == 1, data
    return taken


def summary(taken: list[float]) -> Figures:
    ordered = sorted(taken)
    return {"p50_ms": ordered[len(ordered) // 2], "p95_ms": ordered[len(ordered) * 95 // 100], "most_ms": ordered[-1]}


def resident(pid: int) -> float:
    """The memory a process has, in MB."""
    return int(subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True).stdout) / 1000


def main() -> None:
    asked = arguments(__doc__ or "", projects=1000, entries=100, rounds=20)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        data, port = Path(folder) / "data", free_port()
        build(data, asked.projects, asked.entries)
        serve = ["-m", "app.cli", "serve", "--no-demo", "--port", str(port), "--data-dir", str(data)]
        with running(serve, port, Path(folder) / "registry.log") as process:
            client, before = Client(port), resident(process.pid)
            with meanwhile(lambda other: other.ask("{ viewer { name } }"), port, LOOKUP_SECONDS) as waits:
                first, found = timed(client.ask, SEARCH)
            total = found["artifacts"]["totalCount"]
            assert total == asked.projects * asked.entries, total
            indexed = resident(process.pid)
            write = partial(commit, projects=asked.projects, entries=asked.entries)
            with meanwhile(write, port, 1 / COMMITS_A_SECOND) as commits:
                taken = measure(client, asked.rounds, asked.projects, asked.entries)
            memory = {"before_mb": before, "indexed_mb": indexed, "after_mb": resident(process.pid)}
            client.close()
    searches = {kind: summary(each) for kind, each in taken.items()}
    searches["all of them"] = summary([one for each in taken.values() for one in each])
    facts = {"entries": total, "commits": len(commits), "first_ms": first, **memory}
    report(searches, facts, summary(waits), as_json=asked.json)


def report(searches: dict[str, Figures], facts: Figures, waits: Figures, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"searches": searches, **facts, "meanwhile": waits, "wanted_p95_ms": WANTED_MS}, indent=2))
        return
    width = max(map(len, searches))
    print(f"{'':{width}}  {'p50 ms':>8}  {'p95 ms':>8}  {'most ms':>8}")
    for kind, one in searches.items():
        print(f"{kind:{width}}  {one['p50_ms']:8.1f}  {one['p95_ms']:8.1f}  {one['most_ms']:8.1f}")
    print(
        f"\n{facts['entries']:.0f} entries, {facts['commits']:.0f} commits meanwhile; wanted: {WANTED_MS} ms at most."
    )
    print(f"The first search took {facts['first_ms'] / 1000:.1f} s.", end=" ")
    print(f"Others waited {waits['p50_ms']:.1f} ms meanwhile, {waits['p95_ms']:.1f} at p95.")
    print(
        f"Memory: {facts['before_mb']:.0f} MB, indexed {facts['indexed_mb']:.0f}, at the end {facts['after_mb']:.0f}."
    )


if __name__ == "__main__":
    main()
