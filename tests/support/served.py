"""A registry that serves everything there can be, for queries over the whole schema."""

import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from app.http.engine import Engine
from app.registry.artifacts import ObjectRequest, pin_of
from app.registry.errors import RegistryError
from app.registry.model import Project
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
from tests.support.domain import ADA, Desk, put, signed_in

SECRET = b"s" * 32
SCHEMA = build_schema()
LIMITS = Limits(page_size=20)
EXECUTING = Engine(SCHEMA, LIMITS, public=(RegistryError,), plans=False)
"""What graphql-core does, and nothing else."""
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

    def __init__(self, root: Path, cache: MemoryCache) -> None:
        self.git = MemoryGit()
        who = Signature(ADA.name, ADA.email, datetime.now(UTC))
        self.git.create("catalog", "main", NewCommit({}, "Begin", who, who))
        self.objects = LocalObjects(root, "http://testserver", SECRET)
        self.objects.clean()
        self.stores = Stores(self.git, self.git.repository("catalog"), cache, self.objects)
        self.registry = self.server()
        self.known: dict[str, list[Any]] = {}

    def server(self) -> Registry:
        """A server on these stores; they may have several."""
        return Registry(self.stores, SECRET, max_changes=100, max_size=2**40)

    async def fill(self) -> None:
        """Make everything, and find out what is worth asking for."""
        desks = [await self._desk(name) for name in ("search/ranker", "search/broken", "empty")]
        desk, broken, _ = desks
        desk.push(MANIFEST)
        await desk.follow()
        path = self.objects.path(ObjectKey(desk.project.name, STORED.digest.removeprefix("sha256:")))
        path.parent.mkdir(parents=True, exist_ok=True)
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
        found = await EXECUTING.execute(
            EXECUTING.prepare(query), {}, Context(self.registry, signed_in(ADA), LIMITS), "r"
        )
        every = list(_strings(found["data"]))
        oids = [one for one in every if len(one) == 40]
        others = [one for one in every if len(one) != 40]
        revisions = ["HEAD", "HEAD~1", "main", "dev/x", "refs/heads/main", "nowhere", "HEAD~50", *oids[:3]]
        names = ["words", "model/big", "pinned", "awaited", "renamed", "good", "only", "none", "*", ""]
        return {
            "name": [*names, "search/ranker", "search/broken", "main", "dev/x"] * 2,
            "Query.project.name": ["search/ranker"] * 4 + ["search/broken", "empty", "nowhere"],
            "Project.branch.name": ["main", "dev/x", "nowhere"],
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


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


@contextmanager
def clocks_standing_still() -> Iterator[None]:
    """Or no two answers would be the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projects, "seconds_since", lambda moment: 1.5 if moment else None)
        patch.setattr(local, "time", SimpleNamespace(time=lambda: 1_800_000_000.0))
        yield


def over_the_schema(examples: int) -> Any:
    """What hypothesis is to do with a test over random documents."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


# graphql-core leaves what waits in one item of a list when another one fails.
LEFT = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@contextmanager
def collecting_after() -> Iterator[None]:
    """Collect nothing meanwhile: in a place that was generated without builtins, no filter of warnings works."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
