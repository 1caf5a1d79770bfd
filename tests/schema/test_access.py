"""What a caller may not see is answered as what is not there, whatever is asked for in whatever way."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLObjectType
from hypothesis import assume, given
from hypothesis import strategies as st

from app.http.body import encode_json
from app.http.engine import Engine
from app.http.errors import Refusal
from app.registry.access.identity import Identity
from app.registry.access.policy import ANYONE
from app.registry.errors import RegistryError
from app.resolvers import events
from app.resolvers.context import Context
from app.stores.cache.memory import MemoryCache
from tests.support.documents import Writer
from tests.support.domain import ADA, GRACE, Desk, push, put
from tests.support.served import (
    EXECUTING,
    LEFT,
    LIMITS,
    SCHEMA,
    STORED,
    World,
    clocks_standing_still,
    collecting_after,
    over_the_schema,
)

pytestmark = LEFT
COMPILING = Engine(SCHEMA, LIMITS, public=(RegistryError,))
NOBODY = Identity(ADA, frozenset({ANYONE, "user:ada"}))
READER = Identity(GRACE, frozenset({ANYONE, "user:grace"}))
POLICY = b"""
grants:
  - {who: ["user:grace"], role: reader, projects: ["search/*"]}
  - {who: ["user:lead"], role: admin, projects: ["search/*"]}
  - {who: ["user:root"], role: admin, projects: ["*"]}
"""
LEAD = Identity(ADA, frozenset({ANYONE, "user:lead"}))
ROOT = Identity(ADA, frozenset({ANYONE, "user:root"}))
MUTATIONS = {
    "createBranch": {"project": "search/ranker", "name": "x", "from": "main"},
    "deleteBranch": {"project": "search/ranker", "name": "dev/x"},
    "commitArtifacts": {"project": "search/ranker", "changes": [{"put": {"name": "x"}}]},
    "restoreArtifact": {"project": "search/ranker", "name": "words", "from": "HEAD"},
    "createUploads": {"project": "search/ranker", "objects": [{"digest": STORED.digest, "size": "10"}]},
    "syncProject": {"project": "search/ranker"},
}
"""Of every mutation about a project that is there, an input that an owner would be answered well."""


class Worlds:
    """One with projects, in which somebody may do nothing, and one without any."""

    def __init__(self, runner: asyncio.Runner, full: World, empty: World) -> None:
        self.runner = runner
        self.full = full
        self.empty = empty

    def ask(self, world: World, who: Identity, query: str, **variables: Any) -> dict[str, Any]:
        """What graphql-core answers, or a plan where one was made; both have to be right."""
        context = Context(world.registry, who, LIMITS)
        return self.runner.run(COMPILING.execute(COMPILING.prepare(query), variables, context, "request-1"))

    def mutate(self, who: Identity, field: str, members: dict[str, Any]) -> dict[str, Any]:
        kind = SCHEMA._schema.mutation_type.fields[field].args["input"].type  # type: ignore[union-attr]  # noqa: SLF001
        query = f"mutation($input: {kind}) {{ {field}(input: $input) {{ __typename ... on Error {{ code }} }} }}"
        return self.ask(self.full, who, query, input=members)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with pytest.MonkeyPatch.context() as patch, clocks_standing_still(), collecting_after(), asyncio.Runner() as runner:
        patch.setattr(events, "now", lambda _: None)  # says that something happened somewhere, and no more
        full, empty = (World(tmp_path_factory.mktemp("objects"), MemoryCache()) for _ in range(2))
        runner.run(full.fill())
        for world in (full, empty):
            push(world.stores.catalogue, {"access.yml": POLICY})  # type: ignore[arg-type]
            runner.run(world.registry.follow())
        yield Worlds(runner, full, empty)
        for world in (full, empty):
            runner.run(world.registry.close())


@over_the_schema(300)
@given(random=st.randoms(use_true_random=False))
def test_whoever_may_do_nothing_is_answered_as_if_there_were_nothing(worlds: Worlds, random: Any) -> None:
    document = Writer(random, SCHEMA._schema, worlds.full.known).document()  # noqa: SLF001 - its one name
    for engine in (COMPILING, EXECUTING):
        try:
            operation = engine.prepare(document.text)
        except Refusal:
            assume(False)  # noqa: FBT003 - hypothesis has no other word for it
        if operation.plans:
            operation.plans._again = True  # noqa: SLF001 - as if it had been asked before
        answers = [
            worlds.runner.run(
                engine.execute(operation, document.variables, Context(world.registry, NOBODY, LIMITS), "request-1")
            )
            for world in (worlds.full, worlds.empty)
        ]
        assert encode_json(answers[0].get("data")) == encode_json(answers[1].get("data"))
        told = [{(one["message"], one["extensions"]["code"]) for one in a.get("errors", ())} for a in answers]
        assert told[0] == told[1]


def test_the_same_world_has_much_to_show_to_who_may_see_it(worlds: Worlds) -> None:
    query = "{ projects { nodes { name } } artifacts { nodes { name } } }"
    shown = worlds.ask(worlds.full, ROOT, query)["data"]
    assert (len(shown["projects"]["nodes"]), len(shown["artifacts"]["nodes"]) > 3) == (3, True)


def test_of_several_projects_those_are_listed_found_and_looked_up_that_the_caller_sees(worlds: Worlds) -> None:
    query = """{ projects { nodes { name viewerCanWrite } } empty: project(name: "empty") { name }
      artifacts(filter: {project: "*"}) { nodes { project { name } } } }"""
    data = worlds.ask(worlds.full, READER, query)["data"]
    names = ["search/broken", "search/ranker"]
    assert data["projects"]["nodes"] == [{"name": name, "viewerCanWrite": False} for name in names]
    assert data["empty"] is None
    assert {one["project"]["name"] for one in data["artifacts"]["nodes"]} == set(names)


@pytest.mark.parametrize("field", MUTATIONS)
def test_a_mutation_of_what_the_caller_may_not_see_finds_nothing(worlds: Worlds, field: str) -> None:
    answer = worlds.mutate(NOBODY, field, MUTATIONS[field])
    assert answer == {"data": {field: {"__typename": "NotFoundError", "code": "NOT_FOUND"}}}


@pytest.mark.parametrize("field", MUTATIONS)
def test_a_mutation_of_what_the_caller_may_only_read_is_forbidden(worlds: Worlds, field: str) -> None:
    answer = worlds.mutate(READER, field, MUTATIONS[field])
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


@pytest.mark.parametrize("who", [NOBODY, READER])
@pytest.mark.parametrize("name", ["search/ranker", "search/new"])
def test_whether_a_project_can_be_made_tells_nothing_of_whether_it_is_there(
    worlds: Worlds, who: Identity, name: str
) -> None:
    answer = worlds.mutate(who, "createProject", {"name": name})
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


def test_what_the_registrys_own_credentials_open_is_taken_in_by_an_admin_of_everything_alone(worlds: Worlds) -> None:
    members = {"name": "search/else", "remoteUrl": "https://git.example.org/ads/secret.git"}
    refused = worlds.mutate(LEAD, "createProject", members)
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["FORBIDDEN"]
    assert worlds.mutate(LEAD, "createProject", {"name": "search/here"})["data"]["createProject"]
    tried = worlds.mutate(ROOT, "createProject", {**members, "name": "search/Else"})
    assert "FORBIDDEN" not in str(tried)


def test_an_upload_that_others_began_is_neither_shown_nor_completed(worlds: Worlds) -> None:
    members = {"project": "search/ranker", "objects": [{"digest": "sha256:" + "1" * 64, "size": "10"}]}
    begin = "mutation($input: CreateUploadsInput!) { createUploads(input: $input) { ... on CreateUploadsSuccess {"
    begun = worlds.ask(worlds.full, ROOT, begin + " uploads { id } } } }", input=members)
    upload = begun["data"]["createUploads"]["uploads"][0]["id"]
    shown = worlds.ask(worlds.full, NOBODY, "query($id: ID!) { upload(id: $id) { state } }", id=upload)
    assert [error["extensions"]["code"] for error in shown["errors"]] == ["NOT_FOUND"]
    assert worlds.mutate(NOBODY, "completeUpload", {"upload": upload})["data"]["completeUpload"]["code"] == "NOT_FOUND"


def test_every_mutation_there_is_was_tried() -> None:
    kind = SCHEMA._schema.mutation_type  # noqa: SLF001 - its one name
    assert isinstance(kind, GraphQLObjectType)
    assert kind.fields.keys() == MUTATIONS.keys() | {"createProject", "completeUpload"}


def test_nobody_hears_of_what_they_may_not_see(worlds: Worlds) -> None:
    registry, git = worlds.full.registry, worlds.full.git

    async def hear() -> tuple[bytes, bool]:
        operation = COMPILING.prepare("subscription { events { node { projectName } } }")
        contexts = [Context(registry, who, LIMITS) for who in (READER, NOBODY)]
        streams = [COMPILING.stream(operation, {}, context, "request-1") for context in contexts]
        reader, nobody = [asyncio.ensure_future(anext(stream)) for stream in streams]
        await asyncio.sleep(0.01)
        for name in ("empty", "search/ranker"):
            await Desk(registry, registry.catalogue.require(name), git.repository(name)).commit(put("heard"))
            await registry.follow()
        heard = await asyncio.wait_for(reader, 5), nobody.done()
        nobody.cancel()
        await asyncio.gather(nobody, return_exceptions=True)
        for stream in streams:
            await stream.aclose()
        return heard

    answer, heard = worlds.runner.run(hear())
    assert (b'"search/ranker"' in answer, heard) == (True, False)
