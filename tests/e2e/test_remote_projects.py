"""Projects whose repository lies at a Git host: written there first, followed from there, and the host is heard."""

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.api import Work, eventually
from tests.support.elsewhere import PASSWORD, Elsewhere, head
from tests.support.git import git, push_file
from tests.support.githttp import decline
from tests.support.listen import socket
from tests.support.server import Server, free_port

pytestmark = pytest.mark.slow

HOOK_SECRET = "a secret of webhooks"
QUICK = {"REGISTRY_REMOTE_SECONDS": "0.5"}
SELDOM = {"REGISTRY_REMOTE_SECONDS": "3600"}
MANY = 1000


def contents(folder: Path) -> Iterator[bytes]:
    """Every file below a folder."""
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_commit_by_api_is_at_the_host_before_it_is_answered(there: Elsewhere) -> None:
    there.repository()
    with there.server(**SELDOM) as server:
        work = there.project(server)
        assert work.names() == ["churn"]
        oid = work.put("ranker", type="model")
        assert work.head() == oid
        assert work.text() == "# ours\nchurn: {type: model}\nranker:\n  type: model"
        assert work.names() == ["churn", "ranker"]


def test_an_empty_repository_gets_its_first_commit_from_the_registry(there: Elsewhere) -> None:
    there.repository(manifest=None)
    with there.server() as server:
        work = there.project(server)
        work.put("first")
        assert git("log", "--format=%s", "main", at=work.repository).splitlines()[1].startswith("Create project")


def test_the_password_is_in_no_answer_log_or_file_of_the_registry(there: Elsewhere) -> None:
    there.repository()
    with there.server(**QUICK) as server:
        work = there.project(server)
        work.put("a")
        there.host.moods.password = "another"
        refused = work.commit({"put": {"name": "b"}})
        assert "127.0.0.1" in refused["message"]
        assert "credentials" in refused["message"]
        eventually(lambda: work.sync()["lastError"])
        assert PASSWORD not in json.dumps([refused, work.sync()])
        assert PASSWORD not in server.log.read_text()
        assert not any(PASSWORD.encode() in content for content in contents(server.data_dir))


def test_credentials_are_read_again_when_they_change(there: Elsewhere) -> None:
    there.repository()
    with there.server(**SELDOM) as server:
        work = there.project(server)
        there.host.moods.password = "new"
        assert work.commit({"put": {"name": "a"}})["__typename"] == "RemoteRejectedError"
        there.credentials.write_text(f"http://ada:new@127.0.0.1:{there.host.port}\n")
        work.put("a")


def test_a_refused_push_is_told_in_the_hosts_words_and_nothing_of_it_is_seen(there: Elsewhere) -> None:
    repository = there.repository()
    with there.server(**SELDOM) as server:
        work = there.project(server)
        before = work.head()
        decline(repository)
        refused = work.commit({"put": {"name": "a"}})
        assert refused["__typename"] == "RemoteRejectedError"
        assert "main is protected\nask Ada" in refused["reason"]
        assert work.head() == before
        assert work.names() == ["churn"]
        for field, members in {"createBranch": {"name": "dev"}, "deleteBranch": {"name": "dev"}}.items():
            if field == "deleteBranch":
                git("branch", "dev", "main", at=repository)
                assert work.mutate("syncProject", project=work.name)["__typename"] == "SyncProjectSuccess"
            assert work.mutate(field, project=work.name, **members)["__typename"] == "RemoteRejectedError"


def test_one_refused_commit_does_not_take_down_those_that_waited_with_it(there: Elsewhere) -> None:
    repository = there.repository()
    hook = repository / "hooks/pre-receive"
    hook.write_text(
        "#!/bin/sh\nread old new ref\n"
        "if git show $new:artifacts.yml | grep -q bad; then echo 'no bad names' >&2; exit 1; fi\n"
    )
    hook.chmod(0o755)
    with there.server(**SELDOM) as server:
        work = there.project(server)
        wanted = ["bad" if number == 5 else f"good-{number}" for number in range(12)]
        with ThreadPoolExecutor(12) as pool:
            done = list(pool.map(lambda name: work.commit({"put": {"name": name}})["__typename"], wanted))
        assert [kind for name, kind in zip(wanted, done, strict=True) if name == "bad"] == ["RemoteRejectedError"]
        assert done.count("CommitArtifactsSuccess") == 11
        assert sorted(work.names()) == sorted(["churn", *(name for name in wanted if name != "bad")])


def test_while_the_host_is_away_reads_go_on_and_say_how_old_they_are_and_writes_say_why_not(there: Elsewhere) -> None:
    there.repository()
    with there.server(**QUICK) as server:
        work = there.project(server)
        work.put("a")
        there.host.moods.every = "500"
        eventually(lambda: work.sync()["state"] == "FAILING")
        time.sleep(1)
        assert work.names() == ["a", "churn"]
        assert work.artifact("a")
        status = work.sync()
        assert status["lagSeconds"] > 1
        assert "500" in status["lastError"]
        assert work.commit({"put": {"name": "b"}})["__typename"] == "RemoteUnavailableError"
        assert work.mutate("syncProject", project=work.name)["__typename"] == "RemoteUnavailableError"
        there.host.moods.every = ""
        eventually(lambda: work.sync()["state"] == "CURRENT")
        work.put("b")


def test_a_host_that_is_away_is_told_to_whoever_names_it(there: Elsewhere) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    there.credentials.write_text(f"{away}\n")
    with there.server() as server:
        made = server.ask(
            """mutation($u: URL!) { createProject(input: {name: "p", remoteUrl: $u}) {
                 __typename ... on Error { code message } } }""",
            u=f"{away}/models.git",
        )["createProject"]
        assert made["__typename"] == "RemoteUnavailableError"
        assert server.ask('{ project(name: "p") { name } }')["project"] is None


@pytest.mark.parametrize("mood", ["die-after", "500-after", "die-before"])
def test_a_push_whose_answer_was_lost_is_looked_for_and_never_made_twice(there: Elsewhere, mood: str) -> None:
    repository = there.repository()
    with there.server(**SELDOM) as server:
        work = there.project(server)
        there.host.moods.push = [mood]
        oid = work.put("a")
        assert head(repository) == oid
        assert len(git("log", "--format=%H", "main", at=repository).splitlines()) == 2


def test_what_waits_for_a_branch_goes_out_together(there: Elsewhere) -> None:
    there.repository()
    with there.server(**SELDOM) as server:
        work = there.project(server)
        there.host.requests()
        there.host.moods.slow = 0.1
        with ThreadPoolExecutor(24) as pool:
            list(pool.map(lambda number: work.put(f"entry-{number}"), range(24)))
        pushes = [line for line in there.host.requests() if line.startswith("POST") and "receive-pack" in line]
        assert len(pushes) <= 4
        assert len(work.names()) == 25


def test_writers_race_with_people_and_nobody_loses_anything(there: Elsewhere) -> None:
    there.repository()
    tree = there.tree()
    with there.server(**SELDOM) as server, ThreadPoolExecutor(4) as pool:
        work = there.project(server)
        writing = [pool.submit(work.put, f"api-{number}") for number in range(20)]
        for number in range(5):
            for _ in range(50):
                git("fetch", "--quiet", at=tree)
                git("reset", "--quiet", "--hard", "origin/main", at=tree)
                text = (tree / "artifacts.yml").read_bytes() + f"person-{number}: {{}}\n".encode()
                try:
                    push_file(tree, "artifacts.yml", text)
                except AssertionError:
                    continue
                break
        for done in writing:
            done.result()
        work.mutate("syncProject", project=work.name)
        assert sorted(work.names()) == sorted(
            ["churn", *(f"api-{number}" for number in range(20)), *(f"person-{number}" for number in range(5))]
        )


def test_a_write_that_would_change_nothing_looks_at_the_host_first(there: Elsewhere) -> None:
    there.repository(manifest=b"a: {v: 1}\n")
    with there.server(**SELDOM) as server:
        work = there.project(server)
        push_file(there.tree(), "artifacts.yml", b"a: {v: 2}\n")
        done = work.commit({"put": {"name": "a", "metadata": {"v": 1}}})
        assert done["changed"]
        assert work.text() in {"a: {v: 1}", "a:\n  v: 1"}


def test_without_a_webhook_the_timer_finds_a_push(there: Elsewhere) -> None:
    there.repository()
    with there.server(**QUICK) as server:
        work = there.project(server)
        with socket(server, filter={"project": work.name}) as heard:
            push_file(there.tree(), "artifacts.yml", b"churn: {type: model}\nranker: {}\n")
            eventually(lambda: work.names() == ["churn", "ranker"], 3)
            assert heard.next()["node"]["kind"] == "ARTIFACT_ADDED"


def test_a_webhook_makes_a_push_visible_within_two_seconds(there: Elsewhere) -> None:
    there.repository()
    with there.server(**SELDOM, REGISTRY_HOOK_SECRET=HOOK_SECRET) as server:
        work = there.project(server)
        url = there.host.url("models")
        time.sleep(1.5)  # the first look of the timer
        push_file(there.tree(), "artifacts.yml", b"ranker: {}\n")
        time.sleep(1.5)
        assert work.names() == ["churn"]
        began = time.monotonic()
        told = server.client.post(
            "/hooks/gitlab",
            headers={"X-Gitlab-Token": HOOK_SECRET, "X-Gitlab-Event": "Push Hook", "content-type": "application/json"},
            content=json.dumps({"object_kind": "push", "project": {"git_http_url": url}}),
        )
        assert told.json() == {"projects": 1}
        eventually(lambda: work.names() == ["ranker"], 2)
        assert time.monotonic() - began < 2


def test_a_burst_of_webhooks_is_one_look_a_second(there: Elsewhere) -> None:
    there.repository()
    with there.server(**SELDOM, REGISTRY_HOOK_SECRET=HOOK_SECRET) as server:
        there.project(server)
        there.host.requests()
        headers = {"X-Gitlab-Token": HOOK_SECRET, "content-type": "application/json"}
        body = json.dumps({"project": {"git_http_url": there.host.url("models")}})
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            for _ in range(200):
                assert client.post("/hooks/gitlab", headers=headers, content=body).status_code == 202
        time.sleep(2.5)
        assert len(there.host.requests()) <= 8


def test_a_forced_push_is_served_and_told_as_such(there: Elsewhere) -> None:
    there.repository()
    tree = there.tree()
    with there.server(**QUICK) as server:
        work = there.project(server)
        work.put("a")
        with socket(server, filter={"project": work.name, "kind": ["BRANCH_REWRITTEN"]}) as heard:
            git("commit", "--quiet", "--amend", "-m", "Anew", at=tree)
            git("push", "--quiet", "--force", "origin", "HEAD:main", at=tree)
            assert heard.next()["node"]["branchName"] == "main"
            assert work.names() == ["churn"]


def test_a_branch_deleted_and_made_again_is_served_as_it_is(there: Elsewhere) -> None:
    there.repository()
    tree = there.tree()
    with there.server(**QUICK) as server:
        work = there.project(server)
        git("push", "--quiet", "origin", "HEAD:dev", at=tree)
        eventually(lambda: _branches(server, work.name) == ["dev", "main"])
        git("push", "--quiet", "origin", ":dev", at=tree)
        eventually(lambda: _branches(server, work.name) == ["main"])
        assert work.commit({"put": {"name": "x"}}, branch="dev")["__typename"] == "NotFoundError"
        push_file(tree, "artifacts.yml", b"other: {}\n", branch="dev")
        eventually(lambda: _branches(server, work.name) == ["dev", "main"])
        assert work.names("dev") == ["other"]


def test_a_renamed_default_branch_is_the_new_default(there: Elsewhere) -> None:
    repository = there.repository()
    with there.server(**QUICK) as server:
        work = there.project(server)
        git("branch", "-m", "main", "trunk", at=repository)
        git("symbolic-ref", "HEAD", "refs/heads/trunk", at=repository)
        asked = "query($p: String!) { project(name: $p) { defaultBranch { name } } }"
        eventually(lambda: (server.ask(asked, p=work.name)["project"]["defaultBranch"] or {}).get("name") == "trunk")
        done = work.commit({"put": {"name": "a"}})
        assert done["__typename"] == "CommitArtifactsSuccess"
        assert head(repository, "trunk") == done["commit"]["oid"]


def test_a_repository_that_is_gone_is_said_to_be_and_served_on_and_back_when_it_is_back(there: Elsewhere) -> None:
    repository = there.repository()
    with there.server(**QUICK) as server:
        work = there.project(server)
        repository.rename(repository.with_suffix(".away"))
        eventually(lambda: work.sync()["state"] == "FAILING")
        assert work.names() == ["churn"]
        refused = work.commit({"put": {"name": "a"}})
        assert refused["__typename"] == "RemoteUnavailableError"
        repository.with_suffix(".away").rename(repository)
        eventually(lambda: work.sync()["state"] == "CURRENT")
        work.put("a")


def test_a_mirror_that_is_deleted_is_made_again(there: Elsewhere) -> None:
    there.repository()
    with there.server(**QUICK) as server:
        work = there.project(server)
        work.put("a")
        shutil.rmtree(server.data_dir / "mirrors")
        eventually(lambda: list((server.data_dir / "mirrors").glob("*.git")))
        work.put("b")
        assert work.names() == ["a", "b", "churn"]
        eventually(lambda: work.sync()["state"] == "CURRENT")


def test_two_projects_may_share_a_repository_with_manifests_of_their_own(there: Elsewhere) -> None:
    there.repository()
    with there.server(**SELDOM) as server:
        one, two = there.project(server), there.project(server, manifestPath="team/other.yml")
        one.put("a")
        two.put("b")
        assert (one.names(), two.names()) == (["a", "churn"], ["b"])


def test_a_remote_that_hangs_holds_up_nobody_else(there: Elsewhere) -> None:
    there.repository()
    with there.server(**QUICK) as server:
        hanging = there.project(server)
        hosted = there.project(server, remoteUrl=None)
        there.host.moods.every = "silent"
        time.sleep(1)
        for number in range(10):
            began = time.monotonic()
            hosted.through(server).commit({"put": {"name": f"entry-{number}"}})
            assert hanging.names() == ["churn"]
            assert time.monotonic() - began < 1
        there.host.moods.every = ""


def _branches(server: Server, project: str) -> list[str]:
    asked = "query($p: String!) { project(name: $p) { branches(first: 100) { nodes { name } } } }"
    return [node["name"] for node in server.ask(asked, p=project)["project"]["branches"]["nodes"]]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://git.example.org/models.git", "Use https://"),
        ("https://ada:secret@git.example.org/models.git", "no credentials"),
        ("git@git.example.org:models.git", "is like https://"),
        ("https://git.example.org-/models.git", "not one Git takes"),
    ],
)
def test_a_url_that_may_not_be_is_refused_by_its_field(there: Elsewhere, url: str, said: str) -> None:
    with there.server() as server:
        refused = Work(server, "p").mutate("createProject", name="p", remoteUrl=url)
        assert refused["__typename"] == "InvalidInputError"
        assert refused["issues"][0]["path"] == ["remoteUrl"]
        assert said in refused["issues"][0]["message"]


def test_credentials_that_cannot_be_read_are_said_to_be_so(there: Elsewhere) -> None:
    there.repository()
    with there.server(**SELDOM) as server:
        work = there.project(server)
        there.credentials.unlink()
        refused = work.commit({"put": {"name": "a"}})
        assert refused["__typename"] == "RemoteUnavailableError"
        assert "credentials" in refused["message"]
        assert str(there.credentials) in server.log.read_text()
