"""The past over HTTP, beside what the stock client says of it: histories of repositories that were not made here."""

import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from app.stores.cache.valkey import PrivateValkey
from tests.support.api import Work, eventually, new_project
from tests.support.git import clone, git, push_file
from tests.support.histories import BROKEN, PATH, History, shadow, write
from tests.support.server import Server, running

NAMES = ["a", "b", "c/d", "e f"]
ENTRIES = "artifacts(first: 10) { nodes { name entry } }"
FIELDS = "kind name commit { oid } before { entry } after { entry commit { oid } } fields { path before after }"
OF_BRANCH = """query($p: String!, $b: String!, $n: Int, $after: String) { project(name: $p) { branch(name: $b) {
  history(first: $n, after: $after) { nodes { oid } pageInfo { hasNextPage hasPreviousPage endCursor } } } } }"""
OF_ENTRY = f"""query($p: String!, $n: String!, $at: GitRevision!) {{ artifact(project: $p, name: $n, at: $at) {{
  lastChange {{ commit {{ oid }} }} history(first: 100) {{ nodes {{ {FIELDS} }} }} }} }}"""
COMMIT = f"""query($p: String!, $at: GitRevision!) {{ project(name: $p) {{ commit(at: $at) {{
  oid manifest {{ state problems {{ code line }} servedCommit {{ oid }} }} {ENTRIES}
  changes(first: 100) {{ nodes {{ {FIELDS} }} }} }} }} }}"""
COMPARISON = f"""query($p: String!, $base: GitRevision!, $head: GitRevision!) {{ project(name: $p) {{
  comparison(base: $base, head: $head) {{
    base {{ oid }} head {{ oid }} changes(first: 100) {{ nodes {{ {FIELDS} }} }} }} }} }}"""
AT = "query($p: String!, $at: GitRevision) { project(name: $p) { commit(at: $at) { oid } } }"


@pytest.fixture(scope="module", params=[11, 12])
def people(request: pytest.FixtureRequest, shared_server: Server) -> tuple[Work, History]:
    """A project whose repository people filled with eighty commits, a branch at each."""
    work = new_project(shared_server)
    history = write(work.repository, request.param, 80)
    work.mutate("syncProject", project=work.name)
    return work, history


def pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """Every node of a list, page by page."""
    after = None
    while True:
        page = ask(after)
        yield from page["nodes"]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


def listed(work: Work, branch: str, size: int) -> list[str]:
    """The history of a branch over HTTP."""

    def ask(after: str | None) -> Any:
        found = work.server.ask(OF_BRANCH, p=work.name, b=branch, n=size, after=after)
        return found["project"]["branch"]["history"]

    return [node["oid"] for node in pages(ask)]


def test_a_branch_s_history_is_git_log_of_the_manifest(people: tuple[Work, History]) -> None:
    work, history = people
    for branch in history.branches[::-9]:
        assert listed(work, branch, 7) == history.log(branch)


@pytest.mark.parametrize("name", NAMES)
def test_an_artifact_s_history_is_git_log_of_the_entry_by_itself(people: tuple[Work, History], name: str) -> None:
    work, history = people
    found = 0
    for branch in history.branches:
        artifact = work.server.ask(OF_ENTRY, p=work.name, n=name, at=branch)["artifact"]
        if artifact:
            log = history.log(branch, shadow(name))
            assert [node["commit"]["oid"] for node in artifact["history"]["nodes"]] == log
            assert artifact["lastChange"]["commit"]["oid"] == log[0]
            found += 1
            for change in artifact["history"]["nodes"]:
                check(change, history, name)
    assert found


def check(change: dict[str, Any], history: History, name: str) -> None:
    """A change is what it was from the first parent to its commit, and its fields lead from one to the other."""
    oid = change["commit"]["oid"]
    parent = next(iter(history.git("rev-parse", f"{oid}^@").split()), None)
    before = history.snapshots[parent].served.get(name) if parent else None
    after = history.snapshots[oid].served.get(name)
    assert (change["before"] or {}).get("entry") == before
    assert (change["after"] or {}).get("entry") == after
    assert change["kind"] == ("ADDED" if before is None else "REMOVED" if after is None else "MODIFIED")
    if before is not None and after is not None:
        patched = {**before}
        for field in change["fields"]:
            put(patched, field["path"].split("/")[1:], field["before"], field["after"])
        assert alike(patched, after)


def put(value: Any, path: list[str], before: Any, after: Any) -> None:
    """Carry out one change of a field; nothing in these histories is null."""
    key: Any = int(path[0]) if isinstance(value, list) else path[0]
    if len(path) > 1:
        put(value[key], path[1:], before, after)
        return
    if before is None:
        value.insert(key, after) if isinstance(value, list) else value.__setitem__(key, after)
        return
    assert alike(value[key], before)
    if after is None:
        del value[key]
    else:
        value[key] = after


def alike(one: Any, other: Any) -> bool:
    return repr(one) == repr(other) or (isinstance(one, dict) and isinstance(other, dict) and one == other)


def test_a_commit_shows_what_it_had_what_it_served_and_what_it_did(people: tuple[Work, History]) -> None:
    work, history = people
    for oid, snapshot in list(history.snapshots.items())[::3]:
        commit = work.server.ask(COMMIT, p=work.name, at=oid)["project"]["commit"]
        assert {node["name"]: node["entry"] for node in commit["artifacts"]["nodes"]} == snapshot.served
        broken = snapshot.text is not None and (snapshot.mode == "120000" or snapshot.text in BROKEN)
        state = "BROKEN" if broken else "ABSENT" if snapshot.text is None else "VALID"
        assert commit["manifest"]["state"] == state
        assert bool(commit["manifest"]["problems"]) is broken
        parents = history.git("rev-parse", f"{oid}^@").split()
        old = history.snapshots[parents[0]].served if parents else {}
        moved = [
            name for name in sorted({*old, *snapshot.served}) if repr(old.get(name)) != repr(snapshot.served.get(name))
        ]
        assert [change["name"] for change in commit["changes"]["nodes"]] == moved
        for change in commit["changes"]["nodes"]:
            check(change, history, change["name"])


def test_any_two_commits_can_be_compared(people: tuple[Work, History]) -> None:
    work, history = people
    for (base, old), (head, new) in pairwise(list(history.snapshots.items())[::10]):
        found = work.server.ask(COMPARISON, p=work.name, base=base, head=head)["project"]["comparison"]
        moved = [
            name
            for name in sorted({*old.served, *new.served})
            if repr(old.served.get(name)) != repr(new.served.get(name))
        ]
        assert (found["base"]["oid"], found["head"]["oid"]) == (base, head)
        assert [change["name"] for change in found["changes"]["nodes"]] == moved


def test_a_revision_is_what_git_makes_of_it(people: tuple[Work, History]) -> None:
    work, history = people
    history.git("tag", "v1", "b30")
    history.git("tag", "-a", "-m", "annotated", "v2", "b31")
    for revision in ["b80", "refs/heads/b79", "v1", "v2", "refs/tags/v2", "b80~", "b80~1", "b77~3", "v1~2"]:
        expected = git("rev-parse", "--verify", f"{revision}^0", at=history.path)
        assert work.server.ask(AT, p=work.name, at=revision)["project"]["commit"] == {"oid": expected}, revision


@pytest.mark.parametrize("revision", ["nowhere", "refs/tags/b80", "0" * 40, "b80~900", "b1~1", "b80~999999"])
def test_a_revision_that_leads_nowhere_is_null(people: tuple[Work, History], revision: str) -> None:
    work, _ = people
    assert work.server.ask(AT, p=work.name, at=revision)["project"]["commit"] is None


def test_a_commit_of_another_project_is_not_visible(people: tuple[Work, History], work: Work) -> None:
    _, history = people
    oid = next(iter(history.snapshots))
    assert work.server.ask(AT, p=work.name, at=oid)["project"]["commit"] is None


def refusal(work: Work, query: str, **variables: Any) -> str:
    """The message of a query's one error, which is the caller's to mend."""
    (error,) = work.server.post(query, **variables).json()["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT", error
    return str(error["message"])


@pytest.mark.parametrize("digits", [4, 7, 12, 39])
def test_an_abbreviated_id_is_refused_with_the_next_step(people: tuple[Work, History], digits: int) -> None:
    work, history = people
    oid = next(iter(history.snapshots))[:digits]
    assert "40" in refusal(work, AT, p=work.name, at=oid)


@pytest.mark.parametrize("revision", ["", "main^2", "main@{1}", "a..b", "~1", "main~x"])
def test_what_is_no_revision_is_refused_with_the_next_step(people: tuple[Work, History], revision: str) -> None:
    work, _ = people
    assert "HEAD" in refusal(work, AT, p=work.name, at=revision)


def test_a_cursor_fits_its_own_list_alone_and_only_as_it_was_given(people: tuple[Work, History]) -> None:
    work, _ = people
    first = work.server.ask(OF_BRANCH, p=work.name, b="b80", n=2)["project"]["branch"]["history"]["pageInfo"][
        "endCursor"
    ]
    changed = first[:-2] + ("A" if first[-2] != "A" else "B") + first[-1]
    for branch, cursor in [("b79", first), ("b80", changed), ("b80", "nonsense"), ("b80", "ü"), ("b80", "")]:
        assert "cursor" in refusal(work, OF_BRANCH, p=work.name, b=branch, n=2, after=cursor)


def test_a_page_goes_on_where_it_was_while_commits_come_in(work: Work) -> None:
    for number in range(6):
        work.put("a", metadata={"number": number})
    before = listed(work, "main", 100)
    page = work.server.ask(OF_BRANCH, p=work.name, b="main", n=2)["project"]["branch"]["history"]
    work.put("a", metadata={"number": 99})
    rest = work.server.ask(OF_BRANCH, p=work.name, b="main", n=50, after=page["pageInfo"]["endCursor"])
    assert [node["oid"] for node in rest["project"]["branch"]["history"]["nodes"]] == before[2:]


def test_a_page_of_a_branch_that_was_rewritten_says_so(work: Work) -> None:
    for number in range(4):
        work.put("a", metadata={"number": number})
    page = work.server.ask(OF_BRANCH, p=work.name, b="main", n=2)["project"]["branch"]["history"]
    git("update-ref", "refs/heads/main", "main~3", at=work.repository)
    work.mutate("syncProject", project=work.name)
    assert "rewritten" in refusal(work, OF_BRANCH, p=work.name, b="main", n=2, after=page["pageInfo"]["endCursor"])
    assert listed(work, "main", 10) == git("log", "--format=%H", "main", "--", PATH, at=work.repository).split()


def test_a_rename_is_a_removal_and_an_addition_of_one_commit(work: Work) -> None:
    work.put("a", metadata={"x": 1})
    done = work.commit({"rename": {"name": "a", "to": "b"}})
    changes = work.server.ask(COMMIT, p=work.name, at="main")["project"]["commit"]["changes"]["nodes"]
    assert [(one["kind"], one["name"], one["commit"]["oid"]) for one in changes] == [
        ("REMOVED", "a", done["commit"]["oid"]),
        ("ADDED", "b", done["commit"]["oid"]),
    ]


def test_an_entry_is_restored_in_the_words_it_was_written_in(work: Work, tmp_path: Path) -> None:
    lines = "a:\n  x: 1   # counted by hand\n  note: 'as is'\nb: {y: 1}\n"
    old = push_file(clone(work.repository, tmp_path / "clone"), PATH, lines.encode())
    work.mutate("syncProject", project=work.name)
    work.put("a", metadata={"x": 2})
    work.put("b", metadata={"y": 2})
    done = work.mutate("restoreArtifact", **{"project": work.name, "name": "a", "from": old})
    assert done["changed"]
    text = git("show", f"main:{PATH}", at=work.repository)
    assert text.startswith("a:\n  x: 1   # counted by hand\n  note: 'as is'\n")
    assert "y: 2" in text


@pytest.mark.slow
def test_the_past_is_the_same_after_a_flush_a_kill_and_damaged_bytes(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with running(data, "--no-demo") as server:
        work = new_project(server)
        for number in range(70):
            work.put("a", metadata={"number": number})
        expected = git("log", "--format=%H", "main", "--", PATH, at=work.repository).split()
        cache = redis.Redis.from_url(PrivateValkey(data / "cache").url)
        assert listed(work, "main", 50) == expected
        assert eventually(lambda: cache.keys("ml-registry:*:lineage:*"))
        cache.flushall()
        assert listed(work, "main", 50) == expected
        server.stop(signal.SIGKILL)
    with running(data, "--no-demo") as server:
        work = Work(server, work.name)
        assert listed(work, "main", 50) == expected
        (key,) = eventually(lambda: cache.keys("ml-registry:*:lineage:*"))
        server.stop()
    with running(data, "--no-demo") as server:
        cache.set(key, b"lineage 1 little wrong\nwrong")
        assert listed(Work(server, work.name), "main", 50) == expected
        assert "damaged" in server.log.read_text()
    cache.close()
