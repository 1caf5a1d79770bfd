"""Search over everything, as an outside caller does it: every filter, pages while others write, cursors, bad input."""

import json
import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Work, announce, new_project, send
from tests.support.git import clone, push_file
from tests.support.server import Server

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "search.md").read_text()
MANIFEST = "".join(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)).encode()
ROWS = re.findall(r"^\| `(\{.*\})` \| (.*) \|$", PAGE, re.MULTILINE)
IDENTIFIERS = {"7": ["churn/training-data", "ranker"], "007": ["churn/model"], "07": None, "7.0": None}
SEARCH = """query($filter: ArtifactFilter, $first: Int, $after: String) {
  artifacts(filter: $filter, first: $first, after: $after) {
    totalCount nodes { name project { name } commit { oid } } pageInfo { hasNextPage hasPreviousPage endCursor } } }"""
DATA_OBJECT = """query($id: ID!) { dataObject(id: $id) { id object { digest }
  artifacts { totalCount nodes { name project { name } commit { oid } } } } }"""


def search(server: Server, first: int | None = None, after: str | None = None, **wanted: Any) -> dict[str, Any]:
    found: dict[str, Any] = server.ask(SEARCH, filter=wanted, first=first, after=after)["artifacts"]
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [node["name"] for node in found["nodes"]]


def refused(server: Server, first: int | None = None, after: str | None = None, **wanted: Any) -> str:
    """The message of a search that is refused."""
    answer = server.post(SEARCH, filter=wanted, first=first, after=after).json()
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT", error
    return str(error["message"])


@pytest.fixture(scope="module")
def documented(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project with the manifest of the documentation, pushed with git."""
    work = new_project(shared_server)
    push_file(clone(work.repository, tmp_path_factory.mktemp("tree") / "work"), "artifacts.yml", MANIFEST)
    assert work.mutate("syncProject", project=work.name)["__typename"] == "SyncProjectSuccess"
    return work


# ── What the documentation says ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("wanted", "expected"), ROWS)
def test_a_documented_filter_finds_what_the_page_says(documented: Work, wanted: str, expected: str) -> None:
    names_expected = [] if expected == "nothing" else expected.split(", ")
    found = search(documented.server, project=documented.name, **json.loads(wanted))
    assert (names(found), found["totalCount"]) == (names_expected, len(names_expected))
    asked = "query($p: String!, $f: ArtifactFilter) { project(name: $p) { defaultBranch { %s } commit { %s } } }"
    part = "artifacts(filter: $f) { nodes { name } }"
    data = documented.server.ask(asked % (part, part), p=documented.name, f=json.loads(wanted))["project"]
    assert names(data["defaultBranch"]["artifacts"]) == names(data["commit"]["artifacts"]) == names_expected


def test_the_documentation_has_filters_of_every_field() -> None:
    assert len(ROWS) > 20
    fields = {key for wanted, _ in ROWS for key in json.loads(wanted)}
    assert fields == {"name", "type", "label", "text", "objectState", "metadata"}
    conditions = {key for wanted, _ in ROWS for one in json.loads(wanted).get("metadata", []) for key in one}
    assert conditions >= {"eq", "in", "gt", "gte", "lt", "contains", "exists"}


@pytest.mark.parametrize(("identifier", "expected"), IDENTIFIERS.items())
def test_a_data_object_id_is_the_text_that_was_written(
    documented: Work, identifier: str, expected: list[str] | None
) -> None:
    found = documented.server.ask(DATA_OBJECT, id=identifier)["dataObject"]
    mine = [one["name"] for one in (found["artifacts"]["nodes"] if found else []) if in_project(one, documented)]
    assert mine == (expected or [])
    assert (found is None) is (expected is None)


def in_project(node: dict[str, Any], work: Work) -> bool:
    return bool(node["project"]["name"] == work.name)


def test_a_number_asks_for_the_data_object_of_its_digits(documented: Work) -> None:
    by_number = documented.server.ask("{ dataObject(id: 7) { artifacts { nodes { name } } } }")["dataObject"]
    by_text = documented.server.ask(DATA_OBJECT, id="7")["dataObject"]
    assert names(by_number["artifacts"]) == names(by_text["artifacts"])


# ── Projects and branches ────────────────────────────────────────────────────────────────────


def test_a_data_object_is_found_on_every_branch_that_carries_it(work: Work, tmp_path: Path) -> None:
    tree, identifier = clone(work.repository, tmp_path / "tree"), f"id-{secrets.token_hex(6)}"
    text = f"a: {{dataObjectId: {identifier}}}\nb: {{dataObjectId: other}}\n".encode()
    main = push_file(tree, "artifacts.yml", text)
    side = push_file(tree, "artifacts.yml", text + f"c: {{dataObjectId: {identifier}}}\n".encode(), branch="side/one")
    work.mutate("syncProject", project=work.name)
    found = work.server.ask(DATA_OBJECT, id=identifier)["dataObject"]["artifacts"]
    assert [(one["name"], one["commit"]["oid"]) for one in found["nodes"]] == [("a", main), ("a", side), ("c", side)]
    work.put("a", dataObjectId="elsewhere")
    assert work.server.ask(DATA_OBJECT, id=identifier)["dataObject"]["artifacts"]["totalCount"] == 2
    work.mutate("deleteBranch", project=work.name, name="side/one")
    assert work.server.ask(DATA_OBJECT, id=identifier)["dataObject"] is None


def test_projects_and_branches_are_named_whole_or_by_globs(shared_server: Server) -> None:
    team = f"team-{secrets.token_hex(6)}"
    works = [new_project(shared_server, f"{team}/{name}") for name in ("b", "a")]
    for work in works:
        work.put("x", type="model")
        work.mutate("createBranch", project=work.name, name="dev/1")
        work.put("y", branch="dev/1")

    def found(**wanted: Any) -> list[str]:
        nodes = search(shared_server, **wanted)["nodes"]
        return [node["project"]["name"].removeprefix(f"{team}/") + node["name"] for node in nodes]

    assert found(project=f"{team}/*") == ["ax", "bx"]
    assert found(project=f"{team}/a") == ["ax"]
    assert found(project=f"{team}") == []
    assert found(project=f"{team}/*", branch="dev/*") == ["ax", "ay", "bx", "by"]
    assert found(project=f"{team}/*", branch="*", name="x") == ["ax", "ax", "bx", "bx"]
    assert found(project=f"{team}/?", branch="dev/1", name="y") == ["ay", "by"]


def test_object_states_follow_the_bytes(work: Work) -> None:
    content = secrets.token_bytes(10)
    upload = work.commit({"put": {"name": "a", "object": announce(content)}})["uploads"][0]

    def states() -> list[str]:
        every = ("PENDING", "READY", "MISSING")
        return [one for one in every if names(search(work.server, project=work.name, objectState=[one]))]

    assert states() == ["PENDING"]
    send(upload, content)
    assert work.mutate("completeUpload", upload=upload["id"])["__typename"] == "CompleteUploadSuccess"
    assert states() == ["READY"]
    assert names(search(work.server, project=work.name, objectState=["READY", "PENDING"])) == ["a"]
    assert names(search(work.server, project=work.name, objectState=[])) == []


# ── Pages ────────────────────────────────────────────────────────────────────────────────────


def walk(server: Server, size: int, **wanted: Any) -> Iterator[str]:
    """The names of all that is found, page by page."""
    found = search(server, size, **wanted)
    yield from names(found)
    while found["pageInfo"]["hasNextPage"]:
        found = search(server, size, found["pageInfo"]["endCursor"], **wanted)
        yield from names(found)


def test_pages_show_everything_that_stays_once_while_others_write(work: Work) -> None:
    stays = [f"stays-{number:02}" for number in range(40)]
    work.commit(*({"put": {"name": name, "metadata": {"n": number}}} for number, name in enumerate(stays)))

    def disturb(number: int) -> None:
        name = f"stays-{number:02}-not"
        work.put(name)
        work.put(stays[number], metadata={"n": number, "touched": True})
        work.commit({"delete": name})

    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(disturb, number) for number in range(20)]
        walks = [list(walk(work.server, 7, project=work.name)) for _ in range(5)]
        for one in writing:
            one.result()
    for seen in walks:
        assert [name for name in seen if not name.endswith("-not")] == stays
        assert seen == sorted(set(seen))


def test_a_cursor_holds_when_what_it_names_is_deleted(work: Work) -> None:
    work.commit(*({"put": {"name": name}} for name in "abcd"))
    cursor = search(work.server, 2, project=work.name)["pageInfo"]["endCursor"]
    work.commit({"delete": "b"}, {"delete": "a"}, {"put": {"name": "bb"}})
    found = search(work.server, 2, cursor, project=work.name)
    assert (names(found), found["totalCount"], found["pageInfo"]["hasPreviousPage"]) == (["bb", "c"], 3, False)


def test_a_write_is_found_as_soon_as_it_is_answered(work: Work) -> None:
    for number in range(10):
        oid = work.put("a", metadata={"n": number})
        found = search(work.server, project=work.name, metadata=[{"path": "n", "eq": number}])
        assert [node["commit"]["oid"] for node in found["nodes"]] == [oid]


# ── Bad input ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path", ["", ".", "a.", "a..b", "/", "/a/", "/~", "/~2", "/a~", "a" * 1001, "a." * 32 + "a", "/a" * 33]
)
def test_a_path_that_is_none_is_refused_where_it_stands(shared_server: Server, path: str) -> None:
    message = refused(shared_server, metadata=[{"path": "fine", "exists": True}, {"path": path, "exists": True}])
    assert message.startswith("filter.metadata.1.path: ")


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        ({"name": "*a" * 501}, "filter.name"),
        ({"project": "?" * 1001}, "filter.project"),
        ({"branch": "x" * 1001}, "filter.branch"),
        ({"metadata": [{"path": "a"}] * 33}, "filter.metadata"),
        ({"metadata": [{"path": "a", "eq": json.loads("[" * 40 + "]" * 40)}]}, "filter.metadata.0.eq"),
        ({"metadata": [{"path": "a", "in": [1, json.loads('{"a":' * 40 + "1" + "}" * 40)]}]}, "filter.metadata.0.in"),
        ({"metadata": [{"path": "a", "contains": json.loads("[" * 34 + "]" * 34)}]}, "filter.metadata.0.contains"),
    ],
)
def test_a_filter_beyond_all_measure_is_refused_where_it_is(
    shared_server: Server, wanted: dict[str, Any], place: str
) -> None:
    assert refused(shared_server, **wanted).startswith(f"{place}: ")


def test_a_cursor_that_was_altered_or_is_of_another_list_is_refused(work: Work) -> None:
    work.commit({"put": {"name": "a"}}, {"put": {"name": "b"}})
    cursor = search(work.server, 1, project=work.name)["pageInfo"]["endCursor"]
    altered = ("B" if cursor[0] == "A" else "A") + cursor[1:]
    for wrong in (altered, cursor[:-4], "", "x", "ü", "A" * 5000):
        assert refused(work.server, 1, wrong, project=work.name).startswith("after: ")
    assert refused(work.server, 1, cursor, project=work.name, branch="*").startswith("after: ")
    assert refused(work.server, 1, cursor, project=work.name, metadata=[{"path": "a"}]).startswith("after: ")
    asked = "query($id: ID!, $c: String) { dataObject(id: $id) { artifacts(after: $c) { totalCount } } }"
    work.put("a", dataObjectId=work.name)
    answer = work.server.post(asked, id=work.name, c=cursor).json()
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


def test_a_page_that_is_too_large_is_refused(shared_server: Server) -> None:
    assert refused(shared_server, 101).startswith("first: ")
    assert refused(shared_server, -1).startswith("first: ")


@pytest.mark.parametrize(
    "wanted",
    [
        {"metadata": [{"path": "a", "in": list(range(9_000))}]},
        {"metadata": [{"path": "a", "contains": {str(number): number for number in range(5000)}}]},
        {"name": "*[a-z]?" * 140},
        {"text": "x" * 500_000},
        {"type": [str(number) for number in range(9_000)]},
        {"metadata": [{"path": "a", "eq": 2**70, "gt": -1e308}]},
    ],
)
def test_a_filter_that_asks_for_much_is_answered(shared_server: Server, wanted: dict[str, Any]) -> None:
    assert search(shared_server, project="work/*", **wanted)["totalCount"] == 0
