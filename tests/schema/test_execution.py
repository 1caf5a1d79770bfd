"""The schema, executed on memory stores: what callers get for what they ask."""

import hashlib
from typing import Any

import pytest

from app.http.engine import Engine
from app.registry.errors import RegistryError
from app.registry.model import Project
from app.registry.registry import Registry
from app.resolvers import artifacts
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.schema.build import build_schema
from app.schema.errors import details
from tests.support.domain import ADA, Desk, signed_in

ENGINE = Engine(build_schema(), Limits(), public=(RegistryError,), details=details)
BYTES = b"bytes"
DIGEST = "sha256:" + hashlib.sha256(BYTES).hexdigest()
OBJECT = {"digest": DIGEST, "size": len(BYTES)}
REFUSALS = {
    "InvalidInputError": "issues { path message }",
    "NotFoundError": "subject name",
    "AlreadyExistsError": "subject name",
    "ConflictError": "head changes { name kind fields { path before after } }",
    "ManifestBrokenError": "problems { code line }",
    "MissingObjectsError": "digests",
    "DigestMismatchError": "expected actual",
}


@pytest.fixture
async def desk(registry: Registry) -> Desk:
    project = await registry.create_project(Project("search/ranker"), "main", ADA)
    git: Any = registry._stores.git  # noqa: SLF001 - people push around the registry
    return Desk(registry, project, git.repository(project.name))


async def run(desk: Desk, query: str, **variables: Any) -> dict[str, Any]:
    """The whole answer."""
    return await ENGINE.execute(
        ENGINE.prepare(query), variables, Context(desk.registry, signed_in(ADA), Limits()), "request-1"
    )


async def ask(desk: Desk, query: str, **variables: Any) -> Any:
    """The data of an answer without errors."""
    answer = await run(desk, query, **variables)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


async def do(desk: Desk, act: str, given: dict[str, Any], wanted: str = "__typename") -> Any:
    """A mutation; asks for every refusal its result may be."""
    name = act[0].upper() + act[1:]
    schema = ENGINE._schema  # noqa: SLF001 - to know the members
    mutation: Any = schema.mutation_type
    field = mutation.fields[act]
    members = [member.name for member in field.type.of_type.types]
    parts = [f"... on {one} {{ {REFUSALS[one]} }}" for one in members if one in REFUSALS]
    kind = field.args["input"].type
    spread = f"__typename ... on Error {{ code message }} {' '.join(parts)} ... on {members[0]} {{ {wanted} }}"
    assert members[0] == f"{'CommitArtifacts' if act == 'restoreArtifact' else name}Success"
    return (await ask(desk, f"mutation($input: {kind}) {{ {act}(input: $input) {{ {spread} }} }}", input=given))[act]


async def commit(desk: Desk, *changes: dict[str, Any], wanted: str = "commit { oid }", **other: Any) -> Any:
    return await do(desk, "commitArtifacts", {"project": desk.project.name, "changes": list(changes), **other}, wanted)


def a_put(name: str, **other: Any) -> dict[str, Any]:
    return {"put": {"name": name, **other}}


# ── Refusals are members of the result ───────────────────────────────────────────────────────


async def test_a_success_says_what_was_done(desk: Desk) -> None:
    done = await commit(
        desk,
        a_put("a", dataObjectId="123", metadata={"config": {"type": "tsv"}}, labels=[{"key": "x"}]),
        wanted="changed commit { oid headline } branch { head { oid } } artifacts { name entry } uploads { id }",
    )
    assert done["changed"] is True
    assert done["commit"]["headline"] == "Add a"
    assert done["commit"]["oid"] == done["branch"]["head"]["oid"] == desk.head()
    entry = {"dataObjectId": "123", "labels": ["x"], "config": {"type": "tsv"}}
    assert done["artifacts"] == [{"name": "a", "entry": entry}]


async def test_an_invalid_input_names_the_place(desk: Desk) -> None:
    refused = await commit(desk, a_put("a"), {"delete": ""})
    assert (refused["__typename"], refused["code"]) == ("InvalidInputError", "INVALID_INPUT")
    assert refused["issues"][0]["path"] == ["changes", "1", "delete"]


@pytest.mark.parametrize(
    ("act", "given", "subject"),
    [
        ("commitArtifacts", {"project": "nowhere", "changes": [a_put("a")]}, "PROJECT"),
        ("commitArtifacts", {"project": "search/ranker", "branch": "nowhere", "changes": [a_put("a")]}, "BRANCH"),
        ("commitArtifacts", {"project": "search/ranker", "changes": [{"delete": "a"}]}, "ARTIFACT"),
        ("commitArtifacts", {"project": "search/ranker", "baseCommit": "0" * 40, "changes": [a_put("a")]}, "COMMIT"),
        ("restoreArtifact", {"project": "search/ranker", "name": "a", "from": "HEAD"}, "ARTIFACT"),
        ("createBranch", {"project": "search/ranker", "name": "dev", "from": "nowhere"}, "COMMIT"),
        ("deleteBranch", {"project": "search/ranker", "name": "nowhere"}, "BRANCH"),
        ("createUploads", {"project": "nowhere", "objects": [OBJECT]}, "PROJECT"),
        ("syncProject", {"project": "nowhere"}, "PROJECT"),
    ],
)
async def test_what_is_not_there_is_not_found(desk: Desk, act: str, given: dict[str, Any], subject: str) -> None:
    refused = await do(desk, act, given)
    assert (refused["__typename"], refused["code"], refused["subject"]) == ("NotFoundError", "NOT_FOUND", subject)


@pytest.mark.parametrize(
    ("act", "given"),
    [
        ("createProject", {"name": "Search/Ranker"}),
        ("createBranch", {"project": "search/ranker", "name": "main"}),
    ],
)
async def test_what_is_there_already_is_refused(desk: Desk, act: str, given: dict[str, Any]) -> None:
    refused = await do(desk, act, given)
    assert (refused["__typename"], refused["code"]) == ("AlreadyExistsError", "ALREADY_EXISTS")


async def test_a_conflict_shows_what_moved(desk: Desk) -> None:
    base = await desk.put("a", x=1)
    head = await desk.put("a", x=2)
    refused = await commit(desk, a_put("a"), baseCommit=base)
    assert (refused["__typename"], refused["code"], refused["head"]) == ("ConflictError", "CONFLICT", head)
    assert refused["changes"] == [
        {"name": "a", "kind": "MODIFIED", "fields": [{"path": "/x", "before": 1, "after": 2}]},
    ]


async def test_a_branch_that_moved_is_a_conflict_for_who_deletes_it(desk: Desk) -> None:
    await do(desk, "createBranch", {"project": desk.project.name, "name": "dev"})
    given = {"project": desk.project.name, "name": "dev", "expectedHead": "0" * 40}
    assert (await do(desk, "deleteBranch", given))["__typename"] == "ConflictError"


async def test_a_broken_manifest_is_told_with_its_line(desk: Desk) -> None:
    desk.push("a:\n  b: [\n")
    await desk.follow()
    refused = await commit(desk, a_put("a"))
    assert (refused["__typename"], refused["code"]) == ("ManifestBrokenError", "MANIFEST_BROKEN")
    assert refused["problems"][0]["line"] >= 2


async def test_missing_bytes_are_named(desk: Desk) -> None:
    refused = await commit(desk, a_put("a", object=OBJECT), pending="REFUSE")
    assert (refused["__typename"], refused["code"]) == ("MissingObjectsError", "MISSING_OBJECTS")
    assert refused["digests"] == [DIGEST]


async def test_a_key_used_again_is_refused(desk: Desk) -> None:
    await commit(desk, a_put("a"), idempotencyKey="k")
    refused = await commit(desk, a_put("b"), idempotencyKey="k")
    assert (refused["__typename"], refused["code"]) == ("IdempotencyKeyReusedError", "IDEMPOTENCY_KEY_REUSED")


async def test_contention_is_a_member_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.registry.lanes.WAITING", 0)
    refused = await commit(desk, a_put("a"))
    assert (refused["__typename"], refused["code"]) == ("ContentionError", "CONTENTION")


async def test_an_upload_that_was_altered_is_invalid(desk: Desk) -> None:
    assert (await do(desk, "completeUpload", {"upload": "x"}))["__typename"] == "InvalidInputError"


# ── Reading ──────────────────────────────────────────────────────────────────────────────────


async def test_an_artifact_is_read_with_everything_around_it(desk: Desk) -> None:
    desk.push("a:\n  dataObjectId: 007\n  type: dataset\n  labels: {stage: prod}\n  rows: 12\n")
    await desk.follow()
    data = await ask(
        desk,
        """{ artifact(project: "search/ranker", name: "a") { name dataObjectId type labels { key value } metadata
          project { name } commit { oid } lastChange { kind commit { author { name } } } object { digest } } }""",
    )
    assert data["artifact"] == {
        "name": "a",
        "dataObjectId": "007",
        "type": "dataset",
        "labels": [{"key": "stage", "value": "prod"}],
        "metadata": {"rows": 12},
        "project": {"name": "search/ranker"},
        "commit": {"oid": desk.head()},
        "lastChange": {"kind": "ADDED", "commit": {"author": {"name": "Grace"}}},
        "object": None,
    }


@pytest.mark.parametrize("typename", ["Project", "Branch", "Commit", "Artifact"])
async def test_a_node_is_found_again_by_its_id(desk: Desk, typename: str) -> None:
    await desk.put("a")
    data = await ask(
        desk,
        """{ project(name: "search/ranker") { __typename id
          defaultBranch { __typename id head { __typename id } artifact(name: "a") { __typename id } } } }""",
    )
    project = data["project"]
    branch = project["defaultBranch"]
    nodes = {one["__typename"]: one["id"] for one in (project, branch, branch["head"], branch["artifact"])}
    assert len(set(nodes.values())) == 4
    found = (await ask(desk, "query($id: ID!) { node(id: $id) { __typename id } }", id=nodes[typename]))["node"]
    assert found == {"__typename": typename, "id": nodes[typename]}


@pytest.mark.parametrize(
    "node", ["", "x", "WyJQcm9qZWN0Il0", "WyJOb3RoaW5nIiwieCJd", "W1tbW1tbW1tb", "bnVsbA", "é", "[" * 5000]
)
async def test_an_id_of_nothing_is_null(desk: Desk, node: str) -> None:
    assert (await ask(desk, "query($id: ID!) { node(id: $id) { id } }", id=node))["node"] is None


async def test_aliases_and_fragments_ask_for_several_things_at_once(desk: Desk) -> None:
    await desk.put("a", type="model")
    await desk.put("b", type="dataset")
    data = await ask(
        desk,
        """query($p: String!) { one: artifact(project: $p, name: "a") { ...Short }
          other: artifact(project: $p, name: "b") { ...Short } none: artifact(project: $p, name: "c") { ...Short } }
          fragment Short on Artifact { name kind: type }""",
        p="search/ranker",
    )
    assert data == {"one": {"name": "a", "kind": "model"}, "other": {"name": "b", "kind": "dataset"}, "none": None}


async def test_the_same_commit_is_read_by_branch_and_by_revision(desk: Desk) -> None:
    first = await desk.put("a", x=1)
    await desk.put("a", x=2)
    query = 'query($at: GitRevision) { artifact(project: "search/ranker", name: "a", at: $at) { metadata } }'
    found = [(await ask(desk, query, at=at))["artifact"]["metadata"]["x"] for at in (None, "HEAD~1", first, "main")]
    assert found == [2, 1, 1, 2]


@pytest.mark.parametrize("query", [
    "{ projects(first: 101) { totalCount } }",
    "{ artifacts(first: -1) { totalCount } }",
    '{ project(name: "search/ranker") { branches(after: "x") { totalCount } } }',
    '{ project(name: "search/ranker") { events(first: 1000) { nodes { id } } } }',
    '{ project(name: "search/ranker") { defaultBranch { history(first: 101) { nodes { oid } } } } }',
])  # fmt: skip
async def test_a_page_that_cannot_be_is_an_error_with_a_code(desk: Desk, query: str) -> None:
    errors = (await run(desk, query))["errors"]
    assert [error["extensions"]["code"] for error in errors] == ["INVALID_INPUT"]


async def test_a_broken_branch_shows_its_problems_and_what_is_served(desk: Desk) -> None:
    good = desk.push("a: {}\n")
    desk.push("a: [\n")
    await desk.follow()
    query = """{ project(name: "search/ranker") { defaultBranch { artifacts { nodes { name } }
      manifest { state servedCommit { oid } problems { code line column } } } } }"""
    branch = (await ask(desk, query))["project"]["defaultBranch"]
    assert branch["artifacts"]["nodes"] == [{"name": "a"}]
    assert (branch["manifest"]["state"], branch["manifest"]["servedCommit"]) == ("BROKEN", {"oid": good})


async def test_what_a_data_object_is_called_everywhere(desk: Desk) -> None:
    desk.push("a: {dataObjectId: 123}\nb: {dataObjectId: '123'}\nc: {dataObjectId: 0123}\n")
    await desk.follow()
    found = (await ask(desk, '{ dataObject(id: "123") { artifacts { nodes { name } } } }'))["dataObject"]
    assert [one["name"] for one in found["artifacts"]["nodes"]] == ["a", "b"]
    assert (await ask(desk, '{ dataObject(id: "9") { id } }'))["dataObject"] is None


# ── Failures ─────────────────────────────────────────────────────────────────────────────────


async def test_what_nobody_expected_is_masked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(artifacts, "find", fail)
    answer = await run(desk, '{ artifact(project: "search/ranker", name: "a") { name } projects { totalCount } }')
    assert answer["data"] == {"artifact": None, "projects": {"totalCount": 1}}
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert "hunter2" not in str(answer)


async def test_an_unexpected_failure_of_a_mutation_is_masked_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(desk.repository, "write_commits", fail)
    query = "mutation($i: CommitArtifactsInput!) { commitArtifacts(input: $i) { __typename } }"
    answer = await run(desk, query, i={"project": "search/ranker", "changes": [a_put("a")]})
    assert answer["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert "hunter2" not in str(answer)
    monkeypatch.undo()
    assert (await commit(desk, a_put("a")))["__typename"] == "CommitArtifactsSuccess"


# ── How much a caller may ask for in a second ────────────────────────────────────────────────


async def told(context: Context, query: str, **variables: Any) -> dict[str, Any]:
    """The only error of an answer."""
    (error,) = (await ENGINE.execute(ENGINE.prepare(query), variables, context, "request-1"))["errors"]
    extensions: dict[str, Any] = error["extensions"]
    return extensions


async def test_more_mutations_than_a_caller_may_send_are_refused_and_change_nothing(desk: Desk) -> None:
    limits = Limits(mutations_at_once=2, mutations_per_second=1)
    context = Context(desk.registry, signed_in(ADA), limits, rates=limits.rates())
    make = """mutation($name: String!) {
      createBranch(input: {project: "search/ranker", name: $name}) { __typename } }"""
    for name in ("one", "two"):
        answer = await ENGINE.execute(ENGINE.prepare(make), {"name": name}, context, "request-1")
        assert answer == {"data": {"createBranch": {"__typename": "CreateBranchSuccess"}}}
    extensions = await told(context, make, name="three")
    assert extensions["code"] == "RATE_LIMITED"
    assert 0 < extensions["retryAfter"] <= 1
    assert await desk.registry.branches.get(desk.project, "three") is None


async def test_each_field_of_a_mutation_counts(desk: Desk) -> None:
    limits = Limits(mutations_at_once=2, mutations_per_second=1)
    context = Context(desk.registry, signed_in(ADA), limits, rates=limits.rates())
    one = 'syncProject(input: {project: "search/ranker"}) { __typename }'
    assert (await told(context, f"mutation {{ a: {one} b: {one} c: {one} }}"))["code"] == "RATE_LIMITED"


async def test_more_presigned_requests_than_a_caller_may_have_are_refused(desk: Desk) -> None:
    limits = Limits(presigns_at_once=2, presigns_per_second=1)
    context = Context(desk.registry, signed_in(ADA), limits, rates=limits.rates())
    ask_for = """mutation($objects: [ObjectInput!]!) {
      createUploads(input: {project: "search/ranker", objects: $objects}) { __typename } }"""
    objects = [{"digest": f"sha256:{number:064}", "size": 1} for number in range(5)]
    first = await ENGINE.execute(ENGINE.prepare(ask_for), {"objects": objects}, context, "request-1")
    assert first == {"data": {"createUploads": {"__typename": "CreateUploadsSuccess"}}}
    assert (await told(context, ask_for, objects=objects))["retryAfter"] > 3  # what the first had counts, too
