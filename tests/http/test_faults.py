"""Faults at every layer below the endpoint: masked, with an id, and the next request is answered."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection

from app.http.engine import Engine
from app.http.graphql import Edge
from app.http.record import Record
from app.observability import RequestLog
from app.registry.model import Project
from app.registry.registry import Registry
from app.resolvers import commits
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.schema import artifact
from app.schema.build import build_schema
from tests.support.codes import MASKED, check_soon
from tests.support.domain import ADA, Desk, put, signed_in

SECRET = "hunter2"
FAULTS = [
    OSError(28, SECRET, "/srv/secret"),
    KeyError(SECRET),
    RecursionError(SECRET),
    MemoryError(SECRET),
    UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
    AssertionError(SECRET),
    TimeoutError(SECRET),
    StopIteration(SECRET),
    ExceptionGroup(SECRET, [ValueError(SECRET)]),
    asyncio.CancelledError(SECRET),
]
SCHEMA = build_schema()


@pytest.fixture
async def desk(registry: Registry) -> Desk:
    project = await registry.create_project(Project("search/ranker"), "main", ADA)
    git: Any = registry._stores.git  # noqa: SLF001 - the place of faults
    desk = Desk(registry, project, git.repository(project.name))
    await desk.commit(put("words", rows=1))
    return desk


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async def make_context(_connection: HTTPConnection) -> Context:
        return Context(desk.registry, signed_in(ADA), Limits())

    transport = httpx.ASGITransport(RequestLog(Edge(Engine(SCHEMA, Limits()), make_context), Record()))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://faults", event_hooks={"response": [check_soon]}
    ) as client:
        yield client


def raising(fault: BaseException) -> Any:
    """Anything that may be called, and raises."""

    def fails(*_: object, **__: object) -> Any:
        raise fault

    return fails


def raising_later(fault: BaseException) -> Any:
    """Anything that may be awaited, and raises."""

    async def fails(*_: object, **__: object) -> Any:
        await asyncio.sleep(0)
        raise fault

    return fails


HISTORY = '{ project(name: "search/ranker") { branch(name: "main") { history(first: 2) { nodes { oid } } } } }'
WORDS = '{ artifact(project: "search/ranker", name: "words") { description metadata } }'
CHANGE = '{ artifact(project: "search/ranker", name: "words") { lastChange { kind } } }'
WRITE = """mutation { commitArtifacts(input: {project: "search/ranker", changes: [{delete: "words"}]}) {
  __typename ... on Error { code message } } }"""


QUERIES = {
    "schema": CHANGE,
    "resolver": HISTORY,
    "domain": HISTORY,
    "catalogue": WORDS,
    "write path": WRITE,
    "store that is read": CHANGE,
    "store that is written": WRITE,
}
"""What is asked while a layer is broken."""


async def ask(client: httpx.AsyncClient, query: str) -> httpx.Response:
    return await client.post("/graphql", json={"query": query}, headers={"accept": "application/graphql-response+json"})


def is_masked(answer: httpx.Response) -> None:
    assert answer.status_code in {294, 500}, answer.text
    assert SECRET not in answer.text
    assert "Error(" not in answer.text
    for error in answer.json()["errors"]:
        assert error["extensions"] == {"code": "INTERNAL", "requestId": answer.headers["x-request-id"]}
        assert MASKED.match(error["message"])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("layer", QUERIES)
async def test_a_fault_is_masked_wherever_it_happens_and_ends_nothing_else(
    client: httpx.AsyncClient, desk: Desk, monkeypatch: pytest.MonkeyPatch, layer: str, fault: BaseException
) -> None:
    query = QUERIES[layer]
    if layer == "store that is read":
        desk.push("words: {rows: 1}\nother: {}\n")
        await desk.follow()
    with monkeypatch.context() as broken:
        if layer == "schema":
            broken.setattr(artifact, "Change", raising(fault))
        elif layer == "resolver":
            broken.setattr(commits, "of_branch", raising_later(fault))
        elif layer == "domain":
            broken.setattr(type(desk.registry.history), "of_branch", raising_later(fault))
        elif layer == "store that is read":
            broken.setattr(type(desk.repository), "blob", raising(fault))
        elif layer == "store that is written":
            broken.setattr(type(desk.repository), "write_commits", raising(fault))
        elif layer == "write path":
            broken.setattr(desk.registry.artifacts, "commit", raising_later(fault))
        else:
            broken.setattr(desk.registry.catalogue, "get", raising(fault))
        is_masked(await ask(client, query))
    answer = await asyncio.wait_for(ask(client, WORDS), 10)
    assert (answer.status_code, answer.json()["data"]["artifact"]["metadata"]) == (200, {"rows": 1})
