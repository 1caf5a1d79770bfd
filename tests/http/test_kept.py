"""Which answers are kept, for whom, for how long and in how much room."""

import gc
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route

from app.http.answer import lasting
from app.http.engine import Engine, Result
from app.http.graphql import Edge
from app.http.headers import asks_anew
from app.http.kept import LARGEST, Asked, KeptAnswers
from app.http.negotiation import PLAIN_JSON, RESPONSE_JSON
from app.registry.errors import RegistryError
from app.registry.model import Project
from app.registry.registry import Registry
from app.resolvers.context import Context
from app.resolvers.footing import Footing
from app.resolvers.limits import Limits
from app.schema.build import build_schema
from app.schema.node import encode
from app.stores.errors import RepositoryNotFoundError
from app.stores.git.memory import MemoryGit
from tests.support.domain import ADA, GRACE, Desk, signed_in

NAMES = '{ project(name: "p") { defaultBranch { artifacts { nodes { name } } } } }'
ROWS = 'query($v: JSON!) { artifacts(filter: {metadata: [{path: "rows", eq: $v}]}) { nodes { name } } }'
NO_CACHE = {"cache-control": "no-cache"}


class Counting(Engine):
    """Says how often it was asked at all."""

    executed = 0

    async def execute(self, *asked: Any) -> Result:
        self.executed += 1
        return await super().execute(*asked)


@dataclass
class Served:
    """A project, and the edge that serves it, which keeps answers."""

    desk: Desk
    engine: Counting
    client: httpx.AsyncClient

    async def post(self, query: str, headers: dict[str, str] | None = None, **variables: Any) -> httpx.Response:
        asked = {"query": query, "variables": variables}
        return await self.client.post("/graphql", json=asked, headers=headers)

    async def get(self, query: str, method: str = "GET", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, "/graphql", params={"query": query}, headers=named)


class Eager(KeptAnswers):
    """Keeps what was asked for once: what that is about is the test at the end."""

    def _again(self, digest: int) -> bool:
        del digest
        return True


@pytest.fixture
async def served(registry: Registry) -> AsyncIterator[Served]:
    git = registry._stores.git  # noqa: SLF001 - what people push goes around the registry
    assert isinstance(git, MemoryGit)
    desk = Desk(registry, await registry.create_project(Project("p"), "main", ADA), git.repository("p"))
    await desk.put("a", rows=1)

    async def make_context(connection: HTTPConnection) -> Context:
        caller = GRACE if "x-grace" in connection.headers else ADA
        return Context(registry, signed_in(caller), Limits(), strong=asks_anew(connection.scope))

    engine = Counting(build_schema(), Limits(), public=(RegistryError,))
    app = Starlette(routes=[Route("/graphql", Edge(engine, make_context, kept=Eager()))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        yield Served(desk, engine, client)


def names(answer: httpx.Response) -> list[str]:
    return [node["name"] for node in answer.json()["data"]["project"]["defaultBranch"]["artifacts"]["nodes"]]


async def test_an_answer_is_made_once_until_what_it_rests_on_moves(served: Served) -> None:
    answers = [await served.post(NAMES) for _ in range(3)]
    assert served.engine.executed == 1
    assert [names(one) for one in answers] == [["a"]] * 3
    await served.desk.put("b")
    assert names(await served.post(NAMES)) == ["a", "b"]


async def test_what_another_project_does_makes_no_answer_anew(served: Served) -> None:
    registry = served.desk.registry
    other = await registry.create_project(Project("q"), "main", ADA)
    await served.post(NAMES)
    await registry.branching.create(other, "dev", "HEAD")
    await served.post(NAMES)
    assert served.engine.executed == 1


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer { name } }",
        '{ project(name: "p") { viewerCanWrite } }',
        '{ project(name: "p") { sync { state lagSeconds } } }',
        '{ project(name: "p") { events { nodes { id } } } }',
        '{ artifact(project: "p", name: "a") { object { state download { url } } } }',
        "{ artifacts(filter: {objectState: [READY]}) { totalCount } }",
        "query($f: ArtifactFilter) { artifacts(filter: $f) { totalCount } }",
        '{ artifact(project: "p", name: "a", at: "main") { name } }',
        '{ project(name: "p") { commit { oid } } }',
        '{ project(name: "p") { branch(name: "nowhere") { name } } }',
        f'{{ node(id: "{encode("Commit", "p", "0" * 40)}") {{ id }} }}',
        f'{{ node(id: "{encode("Branch", "p", "nowhere")}") {{ id }} }}',
    ],
)
async def test_what_may_change_unnoticed_is_made_each_time(served: Served, query: str) -> None:
    answers = [(await served.post(query)).json() for _ in range(2)]
    assert served.engine.executed == 2
    assert "errors" not in answers[0]


async def test_a_search_that_left_something_out_is_made_anew(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreadable(*_: object) -> None:
        raise RepositoryNotFoundError("gone")

    query = "{ artifacts { nodes { name } } }"
    with monkeypatch.context() as patch:
        patch.setattr(served.desk.registry.manifests, "get", unreadable)
        assert (await served.post(query)).json()["data"]["artifacts"]["nodes"] == []
    assert (await served.post(query)).json()["data"]["artifacts"]["nodes"] == [{"name": "a"}]


@pytest.mark.parametrize(
    "query",
    [
        '{ project(name: "p") { branches(first: 1000) { totalCount } } }',
        '{ project(name: "p") { name branches(after: "x") { totalCount } } }',
        '{ artifact(project: "p", name: "a", branch: "main", at: "main") { name } }',
    ],
)
@pytest.mark.parametrize("send", [Served.post, Served.get])
async def test_errors_are_never_kept(served: Served, query: str, send: Any) -> None:
    answers = [await send(served, query) for _ in range(2)]
    assert served.engine.executed == 2
    assert all("errors" in one.json() for one in answers)


async def test_a_mutation_is_done_each_time(served: Served) -> None:
    query = """mutation { commitArtifacts(input: {project: "p", changes: [{delete: "a"}]}) { __typename } }"""
    done = [(await served.post(query)).json()["data"]["commitArtifacts"]["__typename"] for _ in range(2)]
    assert done == ["CommitArtifactsSuccess", "NotFoundError"]


async def test_who_asks_anew_is_told_what_the_cache_says_now(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await served.post(NAMES)
    asked: list[str] = []
    cache = served.desk.registry._stores.cache  # noqa: SLF001 - what is asked of it
    pointer = cache.pointer

    async def counted(project: str, field: str) -> bytes | None:
        asked.append(field)
        return await pointer(project, field)

    monkeypatch.setattr(cache, "pointer", counted)
    for _ in range(3):
        assert names(await served.post(NAMES, NO_CACHE)) == ["a"]
    assert (served.engine.executed, len(asked)) == (4, 3)
    await served.post(NAMES)
    assert (served.engine.executed, len(asked)) == (4, 3)


async def test_two_callers_share_no_answer(served: Served) -> None:
    for headers in ({}, {"x-grace": "yes"}) * 2:
        await served.post(NAMES, headers)
    assert served.engine.executed == 2


async def test_values_that_only_look_alike_are_not_the_same(served: Served) -> None:
    await served.desk.put("yes", rows=True)
    await served.desk.put("text", rows="1")
    found = {}
    for value in (1, 1.0, True, "1") * 2:
        answer = await served.post(ROWS, v=value)
        found[json.dumps(value)] = [node["name"] for node in answer.json()["data"]["artifacts"]["nodes"]]
    assert found == {"1": ["a"], "1.0": ["a"], "true": ["yes"], '"1"': ["text"]}
    assert served.engine.executed == 4


async def test_each_method_has_headers_of_its_own(served: Served) -> None:
    for _ in range(2):
        posted, got = await served.post(NAMES), await served.get(NAMES)
        assert posted.content == got.content
        assert (posted.headers["cache-control"], "etag" in posted.headers) == ("no-store", False)
        assert (got.headers["cache-control"], "etag" in got.headers) == ("private, no-cache", True)
    assert served.engine.executed == 2


async def test_each_media_type_has_a_head_of_its_own(served: Served) -> None:
    for media_type in (PLAIN_JSON, RESPONSE_JSON) * 2:
        answer = await served.get(NAMES, accept=media_type)
        assert answer.headers["content-type"].startswith(media_type)
    assert served.engine.executed == 2


async def test_a_client_that_has_the_kept_answer_is_told_so_until_it_falls(served: Served) -> None:
    first = await served.get(NAMES)
    again = await served.get(NAMES, if_none_match=first.headers["etag"])
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert served.engine.executed == 1
    await served.desk.put("b")
    changed = await served.get(NAMES, if_none_match=first.headers["etag"])
    assert (changed.status_code, names(changed)) == (200, ["a", "b"])


async def test_a_head_is_answered_from_what_was_kept_for_a_get(served: Served) -> None:
    got, head = await served.get(NAMES), await served.get(NAMES, "HEAD")
    assert head.headers == got.headers
    assert served.engine.executed == 1


async def test_a_persisted_document_is_kept_under_its_digest_too(served: Served) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(NAMES.encode()).hexdigest()}}
    await served.client.post("/graphql", json={"query": NAMES, "extensions": extensions})
    for _ in range(2):
        assert names(await served.client.post("/graphql", json={"extensions": extensions})) == ["a"]
    assert served.engine.executed == 2
    await served.desk.put("b")
    assert names(await served.client.post("/graphql", json={"extensions": extensions})) == ["a", "b"]


async def test_a_document_is_taught_again_though_its_answer_is_kept(served: Served) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(NAMES.encode()).hexdigest()}}
    for _ in range(2):
        assert names(await served.client.post("/graphql", json={"query": NAMES, "extensions": extensions})) == ["a"]
    assert served.engine.executed == 2


async def test_a_request_that_is_refused_is_refused_again(served: Served) -> None:
    await served.post(NAMES)
    body = json.dumps({"query": NAMES, "variables": {}}).encode()
    refused = await served.client.post("/graphql", content=body, headers={"content-type": "text/plain"})
    assert refused.status_code == 415
    assert (await served.get(NAMES, accept="image/png")).status_code == 406


class Ground:
    """What an answer may rest on."""

    def __init__(self, *, firm: bool = True) -> None:
        self.firm = firm
        self.standing = True

    def stands(self) -> bool:
        return self.standing


def asked(number: int, size: int = 0, accept: int = 3) -> Asked:
    content = str(number).encode().ljust(size)
    return Asked.of({"headers": [(b"accept", b"*/*".ljust(accept))]}, content, None, safe=False)


def answer(size: int) -> Any:
    return lasting(b"x" * size, PLAIN_JSON, tagged=False, lasts=True)


def test_what_rests_on_nothing_firm_is_not_kept() -> None:
    kept = Eager()
    kept.keep(asked(1), answer(10), Ground(firm=False))
    assert kept.find(asked(1)) is None


def test_an_answer_is_found_while_it_stands_and_no_longer() -> None:
    kept, ground, made = Eager(), Ground(), answer(10)
    kept.keep(asked(1), made, ground)
    assert kept.find(asked(1)) is made
    ground.standing = False
    assert kept.find(asked(1)) is None


@pytest.mark.parametrize(("request_size", "answer_size"), [(0, LARGEST + 1), (LARGEST // 2, LARGEST // 2 + 1)])
def test_what_is_larger_than_the_largest_is_not_kept(request_size: int, answer_size: int) -> None:
    kept = Eager()
    kept.keep(asked(1, request_size), answer(answer_size), Ground())
    assert kept.find(asked(1, request_size)) is None


@pytest.mark.parametrize(
    ("body", "accept", "reply"), [(10_000, 3, 0), (0, 3, 10_000), (5_000, 3, 5_000), (0, 10_000, 0)]
)
def test_those_asked_for_longest_ago_make_room(body: int, accept: int, reply: int) -> None:
    kept = Eager(room=100_000)
    for number in range(20):
        kept.keep(asked(number, body, accept), answer(reply), Ground())
        kept.find(asked(0, body, accept))
    held = [number for number in range(20) if kept.find(asked(number, body, accept))]
    assert 7 <= len(held) <= 10
    assert held == [0, *range(21 - len(held), 20)]


async def test_an_answer_is_not_firm_when_branches_moved_between_two_looks(served: Served) -> None:
    footing = Footing(served.desk.registry)
    footing.on_branches(served.desk.project)
    footing.on_branches(served.desk.project)
    assert footing.firm
    await served.desk.put("b")
    footing.on_branches(served.desk.project)
    assert not footing.firm


async def test_an_answer_is_not_firm_when_anything_moved_between_two_searches(served: Served) -> None:
    footing = Footing(served.desk.registry)
    footing.on_search()
    footing.on_search()
    assert footing.firm
    await served.desk.put("b")
    footing.on_search()
    assert not footing.firm


async def test_an_answer_falls_when_something_moves_after_it_was_begun(served: Served) -> None:
    footing = Footing(served.desk.registry)
    footing.on_branches(served.desk.project)
    assert footing.stands()
    await served.desk.put("b")
    assert not footing.stands()


async def test_what_an_answer_rests_on_keeps_no_catalogue_of_before_in_memory(served: Served) -> None:
    registry = served.desk.registry
    footing, before = Footing(registry), registry.catalogue.projects
    await registry.create_project(Project("q"), "main", ADA)
    assert not footing.stands()
    assert not any(one is before for one in gc.get_referents(footing))


async def test_contexts_of_one_caller_hash_alike_however_they_ask(registry: Registry) -> None:
    contexts = {Context(registry, signed_in(ADA), Limits()), Context(registry, signed_in(ADA), Limits(), strong=True)}
    assert len(contexts) == 1
    assert Context(registry, signed_in(GRACE), Limits()) not in contexts


def test_an_answer_is_kept_when_it_was_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.http.kept.REMEMBERED", 3)
    kept = KeptAnswers()
    for number in (1, 1, 2, 3, 4, 2):  # of more than three nobody remembers that they came
        kept.keep(asked(number), answer(10), Ground())
    assert [number for number in range(5) if kept.find(asked(number))] == [1]
