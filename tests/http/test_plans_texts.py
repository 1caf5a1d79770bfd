"""Pages whose nodes never change: their JSON is kept, for what was selected of them, and for nothing else."""

import gc
import json
import weakref
from collections.abc import Sequence
from typing import Any

import pytest

from app.http.body import Encoded, encode_json
from app.http.engine import Engine
from app.http.plans.texts import Texts
from app.registry.model import Actor, Project
from app.registry.registry import Registry
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.resolvers.paging import Page
from app.schema.build import build_schema
from tests.support.domain import Desk, signed_in

ADA = Actor("Ada", "ada@example.org")
SCHEMA = build_schema()
ARTIFACTS = """query($first: Int, $after: String) { project(name: "%s") { branch(name: "main") {
  artifacts(first: $first, after: $after) { nodes { %s } pageInfo { endCursor } } } } }"""


@pytest.fixture
async def desk(registry: Registry) -> Desk:
    project = await registry.create_project(Project("search/ranker"), "main", ADA)
    git: Any = registry._stores.git  # noqa: SLF001 - people push around the registry
    return Desk(registry, project, git.repository(project.name))


def page(token: object, nodes: Sequence[Any] = (1, 2)) -> Page[Any]:
    return Page(nodes, has_next=False, has_previous=False, total=None, scope=(), key=lambda n: (n,), token=token)


def test_what_is_selected_of_a_page_is_made_once() -> None:
    made: list[Any] = []

    def select(nodes: Sequence[Any], run: Any) -> list[Any]:
        made.append(run)
        return list(nodes)

    texts = Texts()
    assert [texts.of(7, select, page((1, 0, 2)), run) for run in "abc"] == [Encoded(b"[1,2]")] * 3
    assert made == ["a"]


def test_other_pages_other_selections_and_those_without_a_token_are_made_anew() -> None:
    texts = Texts()
    assert texts.of(1, lambda nodes, _: [*nodes], page("t"), None) == Encoded(b"[1,2]")
    assert texts.of(1, lambda nodes, _: [*nodes], page("u", (3,)), None) == Encoded(b"[3]")
    assert texts.of(2, lambda nodes, _: [0, *nodes], page("t"), None) == Encoded(b"[0,1,2]")
    assert texts.of(1, lambda nodes, _: [*nodes], page(None), None) == [1, 2]


@pytest.mark.parametrize("odd", ["\ud800", 2**70])
def test_a_kept_page_stands_beside_what_only_the_slower_encoder_writes(odd: Any) -> None:
    assert json.loads(encode_json([odd, Encoded(b'{"a":[1]}')])) == [odd, {"a": [1]}]


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ("name dataObjectId labels { key value } metadata object { digest } project { name }", True),
        ("x: name __typename", True),
        ("id", False),
        ("name object { size }", False),
        ("name project { viewerCanWrite }", False),
        ("name commit { oid }", False),
        ("name project { sync { lagSeconds } }", False),
    ],
)
async def test_only_what_follows_from_the_nodes_alone_is_kept(desk: Desk, fields: str, *, kept: bool) -> None:
    await desk.put("a", labels=[("x", None)], rows=1)
    query = ARTIFACTS % (desk.project.name, fields)
    found = await answers(desk, query, 3)
    page = found[-1]["data"]["project"]["branch"]["artifacts"]
    assert isinstance(page["nodes"], Encoded) is kept


async def test_a_kept_text_holds_no_plan(desk: Desk) -> None:
    await desk.put("a", rows=1)
    engine, context = Engine(SCHEMA, Limits()), Context(desk.registry, signed_in(ADA), Limits())
    operation = engine.prepare(ARTIFACTS % (desk.project.name, "name") + " " * 20_000)  # too long to be kept itself
    for _ in range(3):
        await engine.execute(operation, {}, context, "r")
    assert operation.plans
    (plan,) = operation.plans._made.values()  # noqa: SLF001 - what is to go
    assert plan
    function = weakref.ref(plan.function)
    del operation, plan
    gc.collect()
    assert function() is None


async def test_each_part_of_a_list_and_each_commit_has_nodes_of_its_own(desk: Desk) -> None:
    for name in "abc":
        await desk.put(name, rows=1)
    query, engine = ARTIFACTS % (desk.project.name, "name metadata"), Engine(SCHEMA, Limits())

    async def nodes(**variables: Any) -> list[Any]:
        context = Context(desk.registry, signed_in(ADA), Limits())
        found = json.loads(encode_json(await engine.execute(engine.prepare(query), variables, context, "r")))
        return [(node["name"], node["metadata"]) for node in found["data"]["project"]["branch"]["artifacts"]["nodes"]]

    for _ in range(3):
        assert await nodes(first=2) == [("a", {"rows": 1}), ("b", {"rows": 1})]
        assert await nodes(first=1) == [("a", {"rows": 1})]
    await desk.put("b", rows=2)
    assert await nodes(first=2) == [("a", {"rows": 1}), ("b", {"rows": 2})]


async def answers(desk: Desk, query: str, times: int) -> list[Any]:
    engine, context = Engine(SCHEMA, Limits()), Context(desk.registry, signed_in(ADA), Limits())
    return [await engine.execute(engine.prepare(query), {}, context, "r") for _ in range(times)]
