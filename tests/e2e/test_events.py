"""Events as listeners hear them: over both transports, for every cause, resumed and paged by the same cursors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Work, eventually, new_project
from tests.support.git import clone, git, push_file
from tests.support.listen import Socket, socket, stream
from tests.support.server import Server, running

PAGE = """query($p: String!, $first: Int, $after: String) { project(name: $p) { events(first: $first, after: $after) {
  edges { cursor node { id kind commit ... on ArtifactEvent { artifactName } } }
  pageInfo { hasNextPage endCursor } } } }"""


@pytest.fixture
def events(work: Work) -> Iterator[Socket]:
    """A listener to everything in the project."""
    with socket(work.server, filter={"project": work.name}) as listening:
        yield listening


def said(edge: dict[str, Any]) -> tuple[str, str, str | None]:
    """What happened, on which branch, to which entry."""
    node = edge["node"]
    return node["kind"], node["branchName"], node.get("artifactName")


def test_a_commit_through_the_api_is_heard_entry_by_entry(work: Work, events: Socket) -> None:
    done = work.commit({"put": {"name": "b", "type": "m"}}, {"put": {"name": "a", "type": "m"}})
    heard = [events.next(), events.next()]
    assert [said(edge) for edge in heard] == [("ARTIFACT_ADDED", "main", "a"), ("ARTIFACT_ADDED", "main", "b")]
    assert {edge["node"]["commit"] for edge in heard} == {done["commit"]["oid"]}
    assert [edge["node"]["sequence"] for edge in heard] == [0, 1]
    assert events.nothing()


def test_a_push_with_git_is_heard_commit_by_commit(work: Work, events: Socket, tmp_path: Path) -> None:
    tree = clone(work.repository, tmp_path / "tree")
    (tree / "artifacts.yml").write_text("one:\n  type: m\n")
    git("add", "artifacts.yml", at=tree)
    git("commit", "--quiet", "-m", "First", at=tree)
    first = git("rev-parse", "HEAD", at=tree)
    second = push_file(tree, "artifacts.yml", b"one:\n  type: n\ntwo:\n  type: m\n")
    heard = [events.next() for _ in range(3)]
    assert [(said(edge), edge["node"]["commit"]) for edge in heard] == [
        (("ARTIFACT_ADDED", "main", "one"), first),
        (("ARTIFACT_MODIFIED", "main", "one"), second),
        (("ARTIFACT_ADDED", "main", "two"), second),
    ]


def test_branches_made_and_deleted_by_the_api_and_by_git_are_heard(work: Work, events: Socket, tmp_path: Path) -> None:
    head = work.put("one", type="m")
    events.next()
    work.mutate("createBranch", project=work.name, name="next")
    created = events.next()
    assert said(created) == ("BRANCH_CREATED", "next", None)
    assert created["node"]["commit"] == head
    assert created["node"]["previousHead"] is None
    assert work.mutate("deleteBranch", project=work.name, name="next")["head"] == head
    deleted = events.next()
    assert said(deleted) == ("BRANCH_DELETED", "next", None)
    assert deleted["node"]["previousHead"] == head
    tree = clone(work.repository, tmp_path / "tree")
    git("push", "--quiet", "origin", "HEAD:by-hand", at=tree)
    assert said(events.next()) == ("BRANCH_CREATED", "by-hand", None)
    git("push", "--quiet", "origin", ":by-hand", at=tree)
    assert said(events.next()) == ("BRANCH_DELETED", "by-hand", None)


def test_a_forced_push_is_heard_as_a_rewrite_and_one_difference(work: Work, events: Socket, tmp_path: Path) -> None:
    tree = clone(work.repository, tmp_path / "tree")
    old = work.put("gone", type="m")
    events.next()
    (tree / "artifacts.yml").write_text("here:\n  type: m\n")
    git("add", "artifacts.yml", at=tree)
    git("commit", "--quiet", "-m", "Anew", at=tree)
    git("push", "--quiet", "--force", "origin", "HEAD:main", at=tree)
    heard = [events.next() for _ in range(3)]
    assert [said(edge) for edge in heard] == [
        ("BRANCH_REWRITTEN", "main", None),
        ("ARTIFACT_REMOVED", "main", "gone"),
        ("ARTIFACT_ADDED", "main", "here"),
    ]
    assert heard[0]["node"]["previousHead"] == old


def test_a_broken_push_and_its_repair_are_one_event_each(work: Work, events: Socket, tmp_path: Path) -> None:
    work.put("one", type="m")
    events.next()
    tree = clone(work.repository, tmp_path / "tree")
    push_file(tree, "artifacts.yml", b"one: [\n")
    broken = events.next()
    assert said(broken) == ("MANIFEST_BROKEN", "main", None)
    assert broken["node"]["problems"][0]["line"]
    push_file(tree, "artifacts.yml", b"one:\n  type: other\n")
    heard = [events.next(), events.next()]
    assert {said(edge)[0] for edge in heard} == {"MANIFEST_REPAIRED", "ARTIFACT_MODIFIED"}
    assert events.nothing()


def test_the_stream_and_the_socket_hear_the_same_edges(work: Work, events: Socket) -> None:
    with stream(work.server, filter={"project": work.name}) as results:
        work.put("one", type="m")
        work.put("two", type="m")
        streamed = [next(results)["data"]["events"] for _ in range(2)]
    assert streamed == [events.next(), events.next()]


@pytest.mark.parametrize(
    ("wanted", "heard"),
    [
        ({"branch": "next"}, ["BRANCH_CREATED", "ARTIFACT_ADDED next"]),
        ({"branch": "ne*"}, ["BRANCH_CREATED", "ARTIFACT_ADDED next"]),
        ({"artifact": "search/*"}, ["ARTIFACT_ADDED search/a"]),
        ({"type": ["dataset"]}, ["ARTIFACT_ADDED search/a"]),
        ({"kind": ["BRANCH_CREATED", "ARTIFACT_REMOVED"]}, ["BRANCH_CREATED", "ARTIFACT_REMOVED search/a"]),
        ({"objectState": ["PENDING"]}, ["ARTIFACT_ADDED bytes"]),
        ({"kind": ["ARTIFACT_ADDED"], "branch": "main"}, ["ARTIFACT_ADDED search/a", "ARTIFACT_ADDED bytes"]),
    ],
)
def test_a_filter_lets_through_what_fits_all_its_conditions(
    work: Work, wanted: dict[str, Any], heard: list[str]
) -> None:
    if wanted in ({"artifact": "search/*"}, {"type": ["dataset"]}):
        heard = [*heard, "ARTIFACT_REMOVED search/a"]
    with socket(work.server, filter={"project": work.name, **wanted}) as listening:
        work.put("search/a", type="dataset")
        work.mutate("createBranch", project=work.name, name="next")
        work.put("next", type="m", branch="next")
        work.put("bytes", object={"digest": "sha256:" + "0" * 64, "size": 1})
        work.commit({"delete": "search/a"})
        said_so = [listening.next()["node"] for _ in heard]
        assert listening.nothing()
    assert [" ".join(filter(None, (node["kind"], node.get("artifactName")))) for node in said_so] == heard


def test_resuming_after_a_cursor_leaves_no_gap_and_repeats_nothing(work: Work) -> None:
    with socket(work.server, filter={"project": work.name}) as listening:
        work.put("one", type="m")
        last = listening.next()["cursor"]
    for name in ("two", "three"):
        work.put(name, type="m")
    with socket(work.server, filter={"project": work.name}, after=last) as listening:
        work.put("four", type="m")
        assert [listening.next()["node"]["artifactName"] for _ in range(3)] == ["two", "three", "four"]
        assert listening.nothing()


def test_the_events_of_a_project_are_paged_by_the_cursors_that_listeners_get(work: Work, events: Socket) -> None:
    for number in range(5):
        work.put(f"entry-{number}", type="m")
    heard = [events.next() for _ in range(5)]
    other = new_project(work.server)
    other.put("not-here", type="m")
    paged: list[dict[str, Any]] = []
    after = None
    while True:
        page = work.server.ask(PAGE, p=work.name, first=2, after=after)["project"]["events"]
        paged += page["edges"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert paged[0]["node"]["kind"] == "BRANCH_CREATED"
    assert [(edge["cursor"], edge["node"]["id"]) for edge in paged[1:]] == [
        (edge["cursor"], edge["node"]["id"]) for edge in heard
    ]
    rest = work.server.ask(PAGE, p=work.name, after=heard[2]["cursor"])["project"]["events"]["edges"]
    assert [edge["node"]["artifactName"] for edge in rest] == ["entry-3", "entry-4"]


def test_a_listener_that_asked_where_events_stand_misses_nothing_until_it_connects(work: Work, events: Socket) -> None:
    work.put("before")
    events.next()
    cursor = work.server.ask("{ registry { eventCursor } }")["registry"]["eventCursor"]
    work.put("after")
    events.next()
    with socket(work.server, filter={"project": work.name}, after=cursor) as late:
        assert said(late.next()) == ("ARTIFACT_ADDED", "main", "after")


def test_events_stand_nowhere_before_the_first(tmp_path: Path) -> None:
    with running(tmp_path / "var", "--no-demo") as server:
        assert server.ask("{ registry { eventCursor } }") == {"registry": {"eventCursor": None}}


FOREIGN = ["", "x", "ü", "eyJhIjoxfQ", "A" * 5000]


@pytest.mark.parametrize("cursor", FOREIGN)
def test_what_is_no_cursor_is_refused_with_the_next_step(work: Work, cursor: str) -> None:
    with socket(work.server, after=cursor) as listening:
        message = listening.message()
    assert message["type"] == "error"
    (error,) = message["payload"]
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert "Leave it out" in error["message"]
    (error,) = work.server.post(PAGE, p=work.name, after=cursor).json()["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT"


def test_a_cursor_of_another_list_is_no_cursor_of_events(work: Work) -> None:
    work.put("one", type="m")
    asked = "query($p: String!) { project(name: $p) { branches { pageInfo { endCursor } } } }"
    cursor = work.server.ask(asked, p=work.name)["project"]["branches"]["pageInfo"]["endCursor"]
    (error,) = work.server.post(PAGE, p=work.name, after=cursor).json()["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT"


def test_a_listener_goes_on_where_it_was_after_a_restart_and_a_flush(tmp_path: Path) -> None:
    with running(tmp_path / "var", "--no-demo") as server:
        work = new_project(server)
        with socket(server) as listening:
            work.put("one", type="m")
            first = listening.next()
            work.put("two", type="m")
            second = listening.next()
    push_file(clone(work.repository, tmp_path / "clone"), "artifacts.yml", b"three: {}\n")
    with running(tmp_path / "var", "--no-demo") as server:
        work = Work(server, work.name)
        with socket(server, after=first["cursor"]) as listening:
            assert listening.next() == second
            heard = [listening.next() for _ in range(3)]
            work.put("four", type="m")
            last = listening.next()
        assert [said(edge)[::2] for edge in [*heard, last]] == [
            ("ARTIFACT_REMOVED", "one"),
            ("ARTIFACT_ADDED", "three"),
            ("ARTIFACT_REMOVED", "two"),
            ("ARTIFACT_ADDED", "four"),
        ]
        page = server.ask(PAGE, p=work.name, first=100, after=first["cursor"])["project"]["events"]["edges"]
        assert [edge["node"]["id"] for edge in page] == [edge["node"]["id"] for edge in [second, *heard, last]]


def test_a_cursor_of_another_registry_is_expired_and_says_what_to_do(work: Work, tmp_path: Path) -> None:
    with socket(work.server) as listening:
        work.put("one", type="m")
        cursor = listening.next()["cursor"]
    with running(tmp_path / "var", "--no-demo") as server:
        with socket(server, after=cursor) as listening:
            (error,) = listening.message()["payload"]
        assert error["extensions"]["code"] == "CURSOR_EXPIRED"
        assert "Read the artifacts anew" in error["message"]
        with stream(server, after=cursor) as results:
            (error,) = next(results)["errors"]
        assert error["extensions"]["code"] == "CURSOR_EXPIRED"
        other = new_project(server)
        (error,) = server.post(PAGE, p=other.name, after=cursor).json()["errors"]
        assert error["extensions"]["code"] == "CURSOR_EXPIRED"


def test_a_listener_that_leaves_disturbs_nobody(shared_server: Server, work: Work, events: Socket) -> None:
    for _ in range(3):
        with socket(shared_server, filter={"project": work.name}):
            pass
    work.put("one", type="m")
    assert eventually(lambda: events.next()["node"]["artifactName"]) == "one"
