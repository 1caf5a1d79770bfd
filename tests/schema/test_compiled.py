"""Any query that was compiled is answered as graphql-core answers it, to the byte."""

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.http.body import encode_json
from app.http.engine import Engine, Result
from app.http.errors import Refusal
from app.registry.artifacts import ObjectRequest, pin_of
from app.registry.errors import RegistryError
from app.registry.model import Actor, Project
from app.registry.registry import Registry, Stores
from app.resolvers import projects
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.schema.build import build_schema
from app.stores.cache.memory import MemoryCache
from app.stores.git.memory import MemoryGit
from app.stores.objects import local
from app.stores.objects.local import LocalObjects
from app.stores.ports import NewCommit, ObjectKey, Signature
from tests.support.documents import Document, Writer
from tests.support.domain import Desk, put

ADA = Actor("Ada", "ada@example.org")
SCHEMA = build_schema()
LIMITS = Limits(page_size=20)
COMPILING = Engine(SCHEMA, LIMITS, public=(RegistryError,))
EXECUTING = Engine(SCHEMA, LIMITS, public=(RegistryError,), plans=False)
BYTES = b"some bytes"
STORED = ObjectRequest("sha256:" + hashlib.sha256(BYTES).hexdigest(), len(BYTES), "text/plain", "a.txt")
MISSING = ObjectRequest("sha256:" + "0" * 64, 5, None, None)
MANIFEST = """
words: {dataObjectId: 007, type: dataset, description: "Wörter 😀", labels: {stage: prod, old: }, rows: 12, none: null}
model/big:
  {dataObjectId: "123", type: model, config: {type: tsv, parts: [1, 2.5, {deep: true}]}, count: 90071992547409930000}
plain: {}
same: {dataObjectId: 123}
wrong: 3
"""


class World:
    """Some projects: with bytes, with branches, with a broken manifest, with nothing at all."""

    def __init__(self, runner: asyncio.Runner, root: Path) -> None:
        self.runner = runner
        git = MemoryGit()
        who = Signature(ADA.name, ADA.email, datetime.now(UTC))
        git.create("catalog", "main", NewCommit({}, "Begin", who, who))
        self.objects = LocalObjects(root, "http://testserver", b"s" * 32)
        self.objects.clean()
        stores = Stores(git, git.repository("catalog"), MemoryCache(), self.objects)
        self.git: Any = git
        self.registry = Registry(stores, b"s" * 32, max_changes=100, max_size=2**40)
        self.context = Context(self.registry, ADA, LIMITS)
        self.known: dict[str, list[Any]] = {}

    async def fill(self) -> None:
        desks = [await self._desk(name) for name in ("search/ranker", "search/broken", "empty")]
        desk, broken, _ = desks
        desk.push(MANIFEST)
        await desk.follow()
        path = self.objects.path(ObjectKey(desk.project.name, STORED.digest.removeprefix("sha256:")))
        path.parent.mkdir(parents=True)
        path.write_bytes(BYTES)
        await desk.commit(put("pinned", STORED, rows=1))
        await desk.commit(put("awaited", MISSING))
        await desk.rename("plain", "renamed")
        await desk.delete("same")
        await self.registry.branching.create(desk.project, "dev/x", "HEAD~1")
        desk.push("only: {here: [1]}\n", "dev/x")
        broken.push("good: {type: model}\n")
        broken.push("good: [\n")
        await self.registry.follow()
        for one in desks:
            await one.events()
        (upload,) = await self.registry.transfers.create(desk.project, [pin_of(MISSING)], checked=False)
        self.known = await self._worth_asking(upload.id)

    async def _desk(self, name: str) -> Desk:
        project = await self.registry.create_project(Project(name), "main", ADA)
        return Desk(self.registry, project, self.git.repository(name))

    async def _worth_asking(self, upload: str) -> dict[str, list[Any]]:
        query = """{ projects { nodes { id events(first: 3) { edges { cursor } }
          branches { nodes { id head { id oid } artifacts(first: 3) { edges { cursor node { id } } } } } } } }"""
        found = await EXECUTING.execute(EXECUTING.prepare(query), {}, self.context, "r")
        every = list(_strings(found["data"]))
        oids = [one for one in every if len(one) == 40]
        others = [one for one in every if len(one) != 40]
        revisions = ["HEAD", "HEAD~1", "main", "dev/x", "refs/heads/main", "nowhere", "HEAD~50", *oids[:3]]
        names = ["words", "model/big", "pinned", "awaited", "renamed", "good", "only", "none", "*", ""]
        return {
            "name": [*names, "search/ranker", "search/broken", "main", "dev/x"] * 2,
            "project": ["search/ranker"] * 3 + ["search/broken", "empty", "nowhere", "search/*"],
            "branch": ["main", "dev/x", "nowhere", "*"],
            "prefix": ["", "search/", "x"],
            "id": [*others, *[upload, "123"] * 10, "7", "", "x"],
            "after": [*[None] * 99, *others[:9], "x"],
            "first": [*[0, 1, 2, 3, 20] * 8, 21, -1],
            "expiresIn": [*[1, 60] * 4, 0, 10**9],
            "path": ["rows", "config.type", "/config/parts", "", "~"],
            "String": names,
            "ID": others,
            "Int": [0, 1, 7],
            "Float": [0, -1.5, 12, 1e300],
            "Boolean": [True, False],
            "GitRevision": revisions,
            "Digest": [STORED.digest],
        }

    def both(self, document: Document) -> tuple[Result, Result, bool]:
        """What the engine that compiles answers the second time, what the other one does, and whether a plan did it."""
        return self.runner.run(self._both(document))

    async def _both(self, document: Document) -> tuple[Result, Result, bool]:
        operation = COMPILING.prepare(document.text)
        assert operation.plans
        operation.plans._again = True  # noqa: SLF001 - as if it had been asked before
        answered = await COMPILING.execute(operation, document.variables, self.context, "request-1")
        planned = await operation.plans.answer(document.variables, self.context) is not None
        expected = await EXECUTING.execute(
            EXECUTING.prepare(document.text), document.variables, self.context, "request-1"
        )
        return answered, expected, planned


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Made once: queries change nothing. Its clocks stand still, or no two answers would be the same."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setattr(projects, "seconds_since", lambda moment: 1.5 if moment else None)
        patch.setattr(local, "time", SimpleNamespace(time=lambda: 1_800_000_000.0))
        world = World(runner, tmp_path_factory.mktemp("objects"))
        runner.run(world.fill())
        yield world
        runner.run(world.registry.close())


def compare(world: World, random: Any) -> None:
    document = Writer(random, SCHEMA._schema, world.known).document()  # noqa: SLF001 - its one name
    try:
        COMPILING.prepare(document.text)
    except Refusal:
        assume(False)  # noqa: FBT003 - hypothesis has no other word for it
    answered, expected, planned = world.both(document)
    failed = "errors" in expected
    assert planned is not failed
    if failed:  # which of several errors comes first is up to the clock
        assert ("errors" in answered, answered.get("data")) == (True, expected.get("data"))
    else:
        assert encode_json(answered) == encode_json(expected)


def over_the_schema(examples: int) -> Any:
    """What hypothesis is to do with a test over random documents."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


@over_the_schema(100)
@given(random=st.randoms(use_true_random=False))
def test_any_query_is_answered_as_graphql_core_does(world: World, random: Any) -> None:
    compare(world, random)


@pytest.mark.slow
@over_the_schema(3000)
@given(random=st.randoms(use_true_random=False))
def test_thousands_of_queries_are_answered_as_graphql_core_does(world: World, random: Any) -> None:
    compare(world, random)
