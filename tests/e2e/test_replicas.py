"""Replicas: servers that share nothing but a cache and what lies at a Git host, so that any may be asked, or killed."""

import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from app.stores.cache.valkey import PrivateValkey
from tests.support.api import eventually
from tests.support.elsewhere import SECRET, Elsewhere, There, elsewhere, head
from tests.support.git import git, push_file
from tests.support.githttp import bare
from tests.support.listen import socket
from tests.support.server import Server

pytestmark = pytest.mark.slow

WRITERS = 6
WRITES = 15
SELDOM = {"REGISTRY_REMOTE_SECONDS": "3600"}
PROJECT = "query($p: String!) { project(name: $p) { name } }"


@pytest.fixture
def replicas(there: Elsewhere, valkey: PrivateValkey) -> Iterator[list[Server]]:
    """What they know of each other they know by the cache and by looking when they are asked, not by a timer."""
    there.repository()
    with ExitStack() as stack:
        yield there.replicas(stack, 2, REGISTRY_REDIS_URL=valkey.url, **SELDOM)


@pytest.fixture
def both(there: Elsewhere, replicas: list[Server]) -> list[There]:
    """One project as each of them serves it."""
    one, two = replicas
    made = there.project(one)
    eventually(lambda: two.ask(PROJECT, p=made.name)["project"])
    return [made, made.through(two)]


def hammer(both: list[There]) -> list[str]:
    """Writers on one branch through all of them at once; answers the commits they were told."""

    def write(writer: int) -> list[str]:
        return [both[writer % len(both)].put(f"entry-{writer}-{number}") for number in range(WRITES)]

    with ThreadPoolExecutor(WRITERS) as pool:
        return [oid for oids in pool.map(write, range(WRITERS)) for oid in oids]


def commits(work: There) -> list[str]:
    """What Git has on main, the person's first commit left out."""
    return git("log", "--first-parent", "--format=%H", "main", at=work.repository).splitlines()[:-1]


def test_a_project_made_at_one_is_served_by_the_other(both: list[There]) -> None:
    assert both[1].names() == ["churn"]
    both[1].put("a")
    assert both[0].names() == ["a", "churn"]


def test_two_that_hammer_one_branch_lose_nothing_and_no_writer_has_to_try_again(both: list[There]) -> None:
    told = hammer(both)
    assert len(told) == WRITERS * WRITES
    assert Counter(told) == Counter(commits(both[0]))
    expected = sorted(["churn", *(f"entry-{writer}-{number}" for writer in range(WRITERS) for number in range(WRITES))])
    assert [sorted(work.names()) for work in both] == [expected, expected]


def test_what_one_answered_the_other_serves_by_commit_and_by_branch_at_once(both: list[There]) -> None:
    asked = """query($p: String!, $at: GitRevision!, $n: String!) {
      artifact(project: $p, name: $n) { commit { oid } }
      project(name: $p) { commit(at: $at) { oid artifact(name: $n) { name } } main: commit(at: "main") { oid } } }"""
    for number in range(20):
        writer, reader = both[number % 2], both[1 - number % 2]
        oid = writer.put(f"entry-{number}")
        seen = reader.server.ask(asked, p=reader.name, at=oid, n=f"entry-{number}")
        assert seen["project"]["commit"] == {"oid": oid, "artifact": {"name": f"entry-{number}"}}
        assert seen["project"]["main"] == {"oid": oid}
        assert seen["artifact"] == {"commit": {"oid": oid}}


def test_a_commit_that_is_nowhere_is_soon_said_not_to_be(both: list[There]) -> None:
    asked = "query($p: String!, $at: GitRevision!) { project(name: $p) { commit(at: $at) { oid } } }"
    began = time.monotonic()
    assert both[1].server.ask(asked, p=both[1].name, at="f" * 40)["project"]["commit"] is None
    assert time.monotonic() - began < 2


def test_an_idempotency_key_used_at_one_is_known_at_the_other(both: list[There]) -> None:
    change = {"put": {"name": "a", "metadata": {"v": 1}}}
    first = both[0].commit(change, idempotencyKey="k")
    again = both[1].commit(change, idempotencyKey="k")
    assert first["commit"] == again["commit"]
    assert len(commits(both[0])) == 1


def test_subscribers_of_both_hear_the_same_events_in_one_order(both: list[There]) -> None:
    wanted = {"filter": {"project": both[0].name}}
    with socket(both[0].server, **wanted) as here, socket(both[1].server, **wanted) as other:
        hammer(both)
        heard = [here.next(20) for _ in range(WRITERS * WRITES)]
        assert [other.next(20) for _ in range(WRITERS * WRITES)] == heard
    names = [edge["node"]["artifactName"] for edge in heard]
    assert sorted(names) == sorted(f"entry-{writer}-{number}" for writer in range(WRITERS) for number in range(WRITES))
    oids = [edge["node"]["commit"] for edge in heard]
    assert oids == commits(both[0])[::-1]


def test_a_kill_of_one_loses_nothing_that_was_answered_and_the_other_goes_on(
    there: Elsewhere, valkey: PrivateValkey, both: list[There]
) -> None:
    answered: list[str] = []

    def write(number: int) -> None:
        work = both[number % 2]
        try:
            answered.append(work.put(f"entry-{number}"))
        except Exception:  # noqa: BLE001 - the killed one answers nothing
            assert work is both[0]

    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, number) for number in range(80)]
        eventually(lambda: len(answered) > 10, 20)
        both[0].server.process.send_signal(signal.SIGKILL)
        both[0].server.process.wait()
        for one in writing:
            one.result()
    assert set(answered) <= set(commits(both[1]))
    assert sum(1 for oid in answered if oid) >= 40
    served = both[1].names()
    assert (
        head(both[1].repository)
        == both[1].server.ask(
            'query($p: String!) { project(name: $p) { branch(name: "main") { head { oid } } } }', p=both[1].name
        )["project"]["branch"]["head"]["oid"]
    )
    shutil.rmtree(both[0].server.data_dir)
    with there.server("replica-0", **there.shared, REGISTRY_REDIS_URL=valkey.url) as again:
        assert both[1].through(again).names() == served


def test_a_flush_of_the_cache_in_the_middle_of_it_costs_nothing_but_time(
    both: list[There], valkey: PrivateValkey
) -> None:
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(hammer, both)
        with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
            while not told.done():
                client.flushall()
                time.sleep(0.1)
        assert Counter(told.result()) == Counter(commits(both[0]))
    eventually(lambda: both[0].names() == both[1].names(), 10)


def test_an_upload_begun_at_one_is_completed_at_the_other(both: list[There]) -> None:
    """The tickets are signed with the secret they share; where the bytes are is another matter."""
    made = both[0].mutate(
        "createUploads", project=both[0].name, objects=[{"digest": "sha256:" + "0" * 64, "size": "1"}]
    )
    done = both[1].mutate("completeUpload", upload=made["uploads"][0]["id"])
    assert done["__typename"] == "MissingObjectsError"


def test_without_a_secret_in_common_they_do_not_start(there: Elsewhere) -> None:
    bare(there.host.root, "catalog")
    url = there.host.url("catalog")
    with pytest.raises(AssertionError, match="REGISTRY_SECRET"), there.server(REGISTRY_CATALOG_URL=url):
        pass


def test_they_host_nothing_themselves(both: list[There]) -> None:
    made: dict[str, Any] = both[0].mutate("createProject", name="hosted")
    assert made["issues"][0]["path"] == ["remoteUrl"]


def test_a_project_that_a_person_adds_to_the_catalogue_is_served_once_a_webhook_names_it(there: Elsewhere) -> None:
    there.repository()
    bare(there.host.root, "catalog")
    with there.server(**there.shared, **SELDOM, REGISTRY_HOOK_SECRET=SECRET) as server:
        line = f"by-hand:\n  remoteUrl: {there.host.url('models')}\n"
        push_file(there.tree("catalog"), "projects.yml", line.encode())
        time.sleep(1.5)  # the first look of the timer may have seen it, or not
        told = server.client.post(
            "/hooks/gitlab",
            headers={"X-Gitlab-Token": SECRET, "content-type": "application/json"},
            content=json.dumps({"project": {"git_http_url": there.host.url("catalog")}}),
        )
        assert told.json() == {"projects": 1}
        asked = '{ project(name: "by-hand") { branch(name: "main") { artifacts { nodes { name } } } } }'
        eventually(lambda: server.ask(asked)["project"], 3)
        assert server.ask(asked)["project"]["branch"]["artifacts"]["nodes"] == [{"name": "churn"}]


def test_everything_is_rebuilt_from_the_catalogue_alone(there: Elsewhere, both: list[There]) -> None:
    both[0].put("a")
    with there.server("rebuilt", **there.shared) as server:
        assert both[0].through(server).names() == ["a", "churn"]
        events = server.ask(
            "query($p: String!) { project(name: $p) { events(first: 100) { nodes { kind } } } }", p=both[0].name
        )
        assert [node["kind"] for node in events["project"]["events"]["nodes"]][-1] == "ARTIFACT_ADDED"


def test_a_git_host_that_is_away_is_no_reason_to_stop_serving(there: Elsewhere, both: list[There]) -> None:
    eventually(lambda: both[1].sync()["state"] == "CURRENT")
    both[1].server.stop()
    there.host.moods.every = "500"
    with there.server("replica-1", **there.shared) as again:
        assert both[1].through(again).names() == ["churn"]


def test_while_only_the_catalogue_is_away_everything_is_written_and_served_and_told_of_later(
    there: Elsewhere, tmp_path: Path
) -> None:
    there.repository()
    with elsewhere(tmp_path / "second") as second:
        bare(second.host.root, "catalog")
        with there.credentials.open("a") as file:
            file.write(second.credentials.read_text())
        shared = there.shared | {"REGISTRY_CATALOG_URL": second.host.url("catalog")}
        with there.server(**shared, REGISTRY_REMOTE_SECONDS="0.5") as server:
            work = there.project(server)
            wanted = {"filter": {"project": work.name, "branch": "main"}}
            with socket(server, **wanted) as heard:
                work.put("first")
                assert heard.next()["node"]["artifactName"] == "first"
                second.host.moods.every = "500"
                for number in range(3):
                    work.put(f"entry-{number}")
                    assert f"entry-{number}" in work.names()
                eventually(lambda: work.sync()["state"] == "CURRENT")
                assert (
                    work.mutate("createBranch", project=work.name, name="more")["__typename"] == "CreateBranchSuccess"
                )
                time.sleep(3)
                said = server.log.read_text()
                assert 0 < said.count("not told yet") < 4
                assert "Traceback" not in said
                second.host.moods.every = ""
                assert [heard.next(10)["node"]["artifactName"] for _ in range(3)] == [f"entry-{n}" for n in range(3)]


def test_what_cannot_be_read_while_the_git_host_is_away_is_said_to_be_unreachable(
    there: Elsewhere, both: list[There]
) -> None:
    eventually(lambda: both[1].sync()["state"] == "CURRENT")
    both[1].server.stop()
    mirror = next(path for path in (both[1].server.data_dir / "mirrors").glob("*.git") if not _lists_projects(path))
    shutil.rmtree(mirror)
    there.host.moods.every = "500"
    with there.server("replica-1", **there.shared) as again:
        answer = again.post("query($p: String!) { project(name: $p) { defaultBranch { name } } }", p=both[1].name)
        assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["REMOTE_UNAVAILABLE"]


def _lists_projects(repository: Path) -> bool:
    return "projects.yml" in git("ls-tree", "--name-only", "main", at=repository)
