"""What a query takes by graphql-core, by a plan, and as JSON: in this process, on memory stores, in microseconds.

"Bare" is the same query without the fields of the artifacts: what finding them takes, by either. What a field takes is
the rest, its resolver included. "Plan" makes every page anew; "kept" has the JSON of those that never change.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from common import arguments

from app.http.body import encode_json
from app.http.engine import Engine, Result
from app.http.plans.plan import Plans
from app.http.plans.texts import Texts
from app.registry.access.identity import Identity
from app.registry.model import Actor, Project
from app.registry.registry import Registry, Stores
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.resolvers.paging import Page
from app.schema.build import build_schema
from app.stores.cache.memory import MemoryCache
from app.stores.git.memory import MemoryGit
from app.stores.objects.local import LocalObjects
from app.stores.ports import NewCommit, Signature

ADA = Actor("Ada", "ada@example.org")
PROJECTS, BRANCHES, ENTRIES = 20, 3, 100
ENTRY = (
    "artifact-{0:04}: {{dataObjectId: {0}, type: dataset, description: An entry., labels: [a, b], rows: 12, x: 1.5}}\n"
)
FIELDS = "name dataObjectId type description labels { key value } metadata object { digest } project { name }"
PAGE = """query($project: String!, $branch: String!) {
  project(name: $project) { branch(name: $branch) { artifacts(first: 100) { %s } } } }"""
NESTED = """query($first: Int!) {
  projects(first: $first) { nodes { name branches(first: 3) { nodes { name artifacts(first: 10) { %s } } } } } }"""
ONE = "query($project: String!, $name: String!) { artifact(project: $project, name: $name) { %s } }"
SHAPES = {
    "one artifact": (ONE % "name dataObjectId type", ONE % "__typename"),
    "page of 100": (PAGE % f"nodes {{ {FIELDS} }}", PAGE % "totalCount"),
    "20 x 3 x 10": (NESTED % "nodes { name dataObjectId type }", NESTED % "totalCount"),
}
"""What is asked, and the same without the fields, which is what finding it takes."""
VARIABLES = {"project": "team/p-00", "branch": "main", "name": "artifact-0007", "first": PROJECTS}


class Nothing(Texts):
    """Texts of which none is kept."""

    def of(self, number: int, select: Callable[[Sequence[Any], Any], Any], page: Page[Any], run: Any) -> Any:
        """What `select` makes of the nodes, every time."""
        del number
        return select(page.nodes, run)


def leaves(value: Any) -> int:
    """How many fields an answer has, those that hold others included."""
    if isinstance(value, dict):
        return sum(1 + leaves(one) for one in value.values())
    return sum(map(leaves, value)) if isinstance(value, list) else 0


async def filled(root: Path) -> Registry:
    """A registry with what is asked for."""
    git = MemoryGit()
    who = Signature(ADA.name, ADA.email, datetime.now(UTC))
    git.create("catalog", "main", NewCommit({}, "Begin", who, who))
    objects = LocalObjects(root, "http://localhost", b"s" * 32)
    objects.clean()
    stores = Stores(git, git.repository("catalog"), MemoryCache(), objects)
    registry = Registry(stores, b"s" * 32, max_changes=100, max_size=1)
    file = NewCommit({"artifacts.yml": "".join(map(ENTRY.format, range(ENTRIES))).encode()}, "Fill", who, who)
    for number in range(PROJECTS):
        project = await registry.create_project(Project(f"team/p-{number:02}"), "main", ADA)
        repository = git.repository(project.name)
        (head,) = repository.write_commits("main", repository.head("main"), [file])
        for branch in range(1, BRANCHES):
            repository.create_branch(f"dev-{branch}", head)
    await registry.follow()
    return registry


async def taken(engine: Engine, query: str, context: Context) -> tuple[float, Result]:
    """Microseconds a query takes, and its answer."""
    began = time.perf_counter()
    answer = await engine.execute(engine.prepare(query), VARIABLES, context, "r")
    assert "errors" not in answer, answer
    return (time.perf_counter() - began) * 1e6, answer


def encoding(answer: Result) -> float:
    """Microseconds an answer takes to become JSON."""
    began = time.perf_counter()
    encode_json(answer)
    return (time.perf_counter() - began) * 1e6


async def measure(rounds: int, registry: Registry) -> dict[str, dict[str, float]]:
    """Medians over rounds in which all kinds take turns."""
    schema, context = build_schema(), Context(registry, Identity(ADA, frozenset()), Limits())
    kinds = ("graphql-core", "plan", "kept")
    engines = {kind: Engine(schema, Limits(), plans=kind != "graphql-core") for kind in kinds}
    engines["plan"]._plans = partial(Plans, schema, Nothing())  # noqa: SLF001  no server wants that
    figures = {}
    for name, (query, bare) in SHAPES.items():
        fields = leaves((await taken(engines["graphql-core"], query, context))[1]["data"])
        times: dict[str, list[float]] = {kind: [] for kind in (*kinds, "bare", *(f"JSON of {kind}" for kind in kinds))}
        for _ in range(rounds):
            for kind, engine in engines.items():
                microseconds, answer = await taken(engine, query, context)
                times[kind].append(microseconds)
                times[f"JSON of {kind}"].append(encoding(answer))
            times["bare"].append((await taken(engines["plan"], bare, context))[0])
        row = {kind: median(one) for kind, one in times.items()}
        a_field = {f"a field by {kind}": (row[kind] - row["bare"]) / fields for kind in engines}
        figures[name] = {"fields": fields, **row, **a_field, "times": row["graphql-core"] / row["plan"]}
    return figures


async def run(rounds: int) -> dict[str, dict[str, float]]:
    """The figures of every shape, in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        registry = await filled(Path(folder))
        try:
            return await measure(rounds, registry)
        finally:
            await registry.close()


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__ or "", rounds=300)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run(given.rounds))
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    for name, row in figures.items():
        print(name)
        for kind, one in row.items():
            print(f"  {kind:24} {one:10.2f}")


if __name__ == "__main__":
    main()
