"""Whatever was kept of answers, each is what graphql-core answers at that moment, while all around it moves."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route

from app.http.answer import Answer
from app.http.body import encode_json
from app.http.engine import Engine
from app.http.errors import Refusal
from app.http.graphql import Edge
from app.http.headers import asks_anew
from app.http.kept import Asked, KeptAnswers
from app.registry.errors import RegistryError
from app.resolvers.context import Context
from tests.support.documents import Document, Writer
from tests.support.domain import ADA, GRACE, signed_in
from tests.support.happenings import KNOWN, Happenings, UnsureCache
from tests.support.served import (
    EXECUTING,
    LEFT,
    LIMITS,
    SCHEMA,
    World,
    clocks_standing_still,
    collecting_after,
    over_the_schema,
)

pytestmark = LEFT
ASKING = Engine(SCHEMA, LIMITS, public=(RegistryError,))
CALLERS = {"ada": ADA, "grace": GRACE}
ROUNDS = 10
PLAIN = (
    '{ project(name: "search/ranker") { branch(name: "dev/y") { name head { oid } } } }',
    '{ project(name: "search/broken") { defaultBranch { project { description } artifacts { nodes { entry } } } } }',
    '{ project(name: "search/ranker") { defaultBranch { name } branch(name: "*HEAD") { name } } }',
    '{ project(name: "search/ranker") { branches { totalCount nodes { id head { oid } manifest { state } } } } }',
    '{ project(name: "search/ranker") { commit(at: "v1") { oid } } }',
    '{ project(name: "search/ranker") { comparison(base: "v1", head: "main") { changes { nodes { name kind } } } } }',
    '{ artifact(project: "search/ranker", name: "new", branch: "main") { entry commit { oid } lastChange { kind } } }',
    '{ artifact(project: "search/ranker", name: "new", at: "v1") { entry } }',
    '{ artifacts(filter: {branch: "*", name: "new"}) { totalCount nodes { entry project { name } commit { oid } } } }',
    '{ dataObject(id: "123") { artifacts { nodes { name commit { oid } } } } }',
    "{ projects { totalCount nodes { name description manifestPath } } }",
    '{ project(name: "made/a") { name defaultBranch { name } } }',
)
"""Documents each of which rests on one thing."""


class Counted(KeptAnswers):
    """Says how often what is kept was given, and how often it did not stand any more."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def find(self, asked: Asked) -> Answer | None:
        found = super().find(asked)
        self._counts["given"] += found is not None
        self._counts["fallen"] += found is None and self._memory.get(asked) is not None
        return found


@dataclass
class Question:
    """A document as somebody asks it: again and again in the same words."""

    document: Document
    caller: str
    by_get: bool

    async def ask(self, client: httpx.AsyncClient, *, strong: bool) -> bytes:
        headers = {"x-caller": self.caller, **({"cache-control": "no-cache"} if strong else {})}
        asked: dict[str, Any] = {"query": self.document.text, "variables": self.document.variables}
        if self.by_get:
            asked["variables"] = json.dumps(asked["variables"])
            return (await client.get("/graphql", params=asked, headers=headers)).content
        return (await client.post("/graphql", json=asked, headers=headers)).content


@asynccontextmanager
async def serving(world: World, kept: KeptAnswers) -> AsyncIterator[httpx.AsyncClient]:
    async def make_context(connection: HTTPConnection) -> Context:
        caller = CALLERS[connection.headers["x-caller"]]
        return Context(world.registry, signed_in(caller), LIMITS, strong=asks_anew(connection.scope))

    app = Starlette(routes=[Route("/graphql", Edge(ASKING, make_context, kept=kept))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        yield client


def documents(random: Random, world: World) -> list[Document]:
    """Some of those that rest on one thing, and some over the whole schema whose answers are kept."""
    found = [Document(text, {}) for text in random.sample(PLAIN, 5)]
    while len(found) < 7:
        document = Writer(random, SCHEMA._schema, world.known | KNOWN).document()  # noqa: SLF001 - its one name
        try:
            operation = ASKING.prepare(document.text)
        except Refusal:
            continue
        if operation.lasting or random.random() < 0.1:
            found.append(document)
    return found


async def check(world: World, client: httpx.AsyncClient, question: Question, *, strong: bool) -> None:
    """Ask, and ask graphql-core the same.

    Where Git had to be asked, it is asked from now on: not before that is settled do both ask the same.
    """
    missed, before, answered = world.registry.branches.missed, None, b""
    while before != set(missed):
        before = set(missed)
        answered = await question.ask(client, strong=strong)
    document, context = (
        question.document,
        Context(world.registry, signed_in(CALLERS[question.caller]), LIMITS, strong=True),
    )
    expected = await EXECUTING.execute(EXECUTING.prepare(document.text), document.variables, context, "request-1")
    if "errors" in expected:  # which of several comes first is up to the clock
        got = json.loads(answered)
        assert ("errors" in got, got.get("data")) == (True, json.loads(encode_json(expected)).get("data"))
    else:
        assert (question, answered) == (question, encode_json(expected))


async def live(random: Random, root: Path, counts: Counter[str]) -> None:
    """A world of its own, which is asked some hundred times while it changes."""
    cache = UnsureCache()
    world = World(root, cache)
    await world.fill()
    other = world.server()
    await other.follow()
    happenings = Happenings(world, other, cache, random)
    asked = [Question(one, random.choice(list(CALLERS)), random.random() < 0.3) for one in documents(random, world)]
    asked.append(replace(asked[0], by_get=not asked[0].by_get))
    asked.append(replace(asked[1], caller="grace" if asked[1].caller == "ada" else "ada"))
    async with serving(world, Counted(counts)) as client:
        for _ in range(ROUNDS):
            for question in [*asked, *random.choices(asked, k=3)]:
                await check(world, client, question, strong=random.random() < 0.03)
            await happenings.happen()
    await other.close()
    await world.registry.close()


def live_through(examples: int, root: Path) -> None:
    counts: Counter[str] = Counter()

    @over_the_schema(examples)
    @given(random=st.randoms(use_true_random=True))
    def run(random: Random) -> None:
        with clocks_standing_still(), collecting_after(), asyncio.Runner() as runner:
            runner.run(live(random, root, counts))

    run()
    assert counts["given"] > 1.5 * ROUNDS * examples, counts  # or nothing was proved
    assert counts["fallen"] > 0.5 * ROUNDS * examples, counts


def test_an_answer_that_was_kept_is_what_graphql_core_answers_now(tmp_path: Path) -> None:
    live_through(20, tmp_path)


@pytest.mark.slow
def test_thousands_of_answers_that_were_kept_are_what_graphql_core_answers_now(tmp_path: Path) -> None:
    live_through(60, tmp_path)
