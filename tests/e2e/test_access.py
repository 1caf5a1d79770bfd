"""A server on which callers sign in: what each may do through each of its doors, decided by a file in Git."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.api import announce, document, eventually, send
from tests.support.git import clone, git, push_file
from tests.support.server import ROOT, Server, running

ROLES = {"admin": "*", "maintainer": "search/*", "writer": "search/*", "reader": "search/*", "outsider": "ads/*"}
PROTECTED = """
protected:
  - {projects: ["search/*"], branches: [main]}
  - {projects: ["search/*"], branches: [closed], api: closed}
"""
NAMES = "{ projects { nodes { name } } }"


class Company:
    """A server with a project of search and one of ads, and somebody of each role."""

    def __init__(self, server: Server, tree: Path, tokens: Mapping[str, str]) -> None:
        self.server = server
        self.tree = tree
        self.tokens = tokens

    def post(self, who: str, query: str, **variables: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        body = {"query": query, "variables": variables}
        return self.server.client.post("/graphql", json=body, headers=headers)

    def mutate(self, who: str, field: str, **members: Any) -> str:
        """The code of the refusal, or the type of the success."""
        answer = self.post(who, document(field), input=members).json()
        if "errors" in answer:
            return str(answer["errors"][0]["extensions"]["code"])
        return str(answer["data"][field].get("code", answer["data"][field]["__typename"]))

    def put(self, who: str, branch: str | None, name: str = "x") -> str:
        on = {"branch": branch} if branch else {}
        return self.mutate(who, "commitArtifacts", project="search/ranker", changes=[{"put": {"name": name}}], **on)

    def projects(self, who: str) -> list[str]:
        return [one["name"] for one in self.post(who, NAMES).json()["data"]["projects"]["nodes"]]

    def url(self, who: str, project: str = "search/ranker") -> str:
        return f"{self.server.url.replace('://', f'://any:{self.tokens[who]}@')}/git/{project}"

    def write_policy(self, text: str) -> None:
        git("pull", "--quiet", "--rebase", "origin", "main", at=self.tree)
        push_file(self.tree, "access.yml", text.encode())

    @property
    def policy(self) -> str:
        git("pull", "--quiet", "--rebase", "origin", "main", at=self.tree)
        return (self.tree / "access.yml").read_text()


def command(data_dir: Path, *words: str) -> str:
    run = [sys.executable, "-m", "app.cli", *words, "--data-dir", str(data_dir)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    root = tmp_path_factory.mktemp("company")
    with running(root / "var", "--no-demo", REGISTRY_SIGN_IN="true") as server:
        tokens = {
            role: command(
                root / "var",
                "token",
                "create",
                role,
                "--project",
                projects,
                "--role",
                {"outsider": "admin"}.get(role, role),
            )
            for role, projects in ROLES.items()
        }
        company = Company(server, clone(root / "var" / "catalog.git", root / "tree"), tokens)
        eventually(lambda: company.post("outsider", NAMES).status_code == 200)
        assert company.mutate("admin", "createProject", name="search/ranker") == "CreateProjectSuccess"
        assert company.mutate("outsider", "createProject", name="ads/clicks") == "CreateProjectSuccess"
        for name in ("dev", "closed"):
            made = company.mutate("admin", "createBranch", project="search/ranker", name=name, **{"from": "main"})
            assert made == "CreateBranchSuccess"
        company.write_policy(company.policy + PROTECTED)
        eventually(lambda: company.put("writer", "main", "probe") == "FORBIDDEN")
        yield company


@pytest.mark.parametrize(
    "path", ["/graphql?query={__typename}", "/git/search/ranker/info/refs?service=git-upload-pack"]
)
@pytest.mark.parametrize(
    "said",
    [
        None,
        "Bearer",
        "Bearer mlr_forged",
        "Basic !",
        "Basic " + base64.b64encode(b"x").decode(),
        "Digest x",
        "é".encode(),
    ],
)
def test_whoever_shows_no_good_token_gets_401_at_every_door(company: Company, path: str, said: Any) -> None:
    answer = company.server.client.get(path, headers={"authorization": said} if said is not None else {})
    assert (answer.status_code, "UNAUTHENTICATED" in answer.text) == (401, True)
    assert answer.headers["www-authenticate"].endswith('realm="ml-registry"')


def test_two_tokens_at_once_are_none(company: Company) -> None:
    headers = [("authorization", f"Bearer {company.tokens[who]}") for who in ("reader", "admin")]
    assert company.server.client.get("/graphql?query={__typename}", headers=headers).status_code == 401


def test_where_callers_sign_in_a_server_goes_by_any_name(company: Company) -> None:
    assert company.server.client.get("/readyz", headers={"host": "10.1.2.3:8000"}).status_code == 200


def test_each_sees_the_projects_they_have_a_role_in(company: Company) -> None:
    seen = {who: company.projects(who) for who in ("admin", "reader", "outsider")}
    assert seen == {"admin": ["ads/clicks", "search/ranker"], "reader": ["search/ranker"], "outsider": ["ads/clicks"]}


def test_the_same_question_asked_often_by_two_is_answered_to_each(company: Company) -> None:
    asked = "{ projects { nodes { name description } } }"
    for _ in range(5):
        for who, names in (("reader", ["search/ranker"]), ("outsider", ["ads/clicks"])):
            found = company.post(who, asked).json()["data"]["projects"]["nodes"]
            assert [one["name"] for one in found] == names


@pytest.mark.parametrize(
    ("who", "branch", "code"),
    [
        ("outsider", "dev", "NOT_FOUND"),
        ("reader", "dev", "FORBIDDEN"),
        ("writer", "dev", "CommitArtifactsSuccess"),
        ("writer", "main", "FORBIDDEN"),
        ("writer", None, "FORBIDDEN"),
        ("maintainer", "main", "CommitArtifactsSuccess"),
        ("maintainer", None, "CommitArtifactsSuccess"),
        ("maintainer", "closed", "FORBIDDEN"),
        ("admin", "closed", "FORBIDDEN"),
    ],
)
def test_each_writes_where_the_policy_lets_them(company: Company, who: str, branch: str | None, code: str) -> None:
    assert company.put(who, branch) == code


@pytest.mark.parametrize("field", ["createBranch", "deleteBranch"])
def test_a_protected_branch_is_neither_made_nor_deleted_by_a_writer(company: Company, field: str) -> None:
    members = {"project": "search/ranker", "name": "closed", **({"from": "main"} if field == "createBranch" else {})}
    assert company.mutate("writer", field, **members) == "FORBIDDEN"


def test_only_an_admin_of_a_name_makes_a_project_of_it(company: Company) -> None:
    assert company.mutate("maintainer", "createProject", name="search/other") == "FORBIDDEN"
    assert company.mutate("outsider", "createProject", name="search/other") == "FORBIDDEN"


def test_a_commit_is_by_whom_the_token_was_made_for(company: Company) -> None:
    company.put("writer", "dev", "by-the-writer")
    log = git("log", "-1", "--format=%an", "dev", at=company.server.git("search/ranker"))
    assert log == "writer"


def test_git_takes_the_token_as_a_password_and_shows_each_what_they_may_see(company: Company, tmp_path: Path) -> None:
    git("clone", "--quiet", company.url("reader"), tmp_path / "tree")
    for who in ("outsider", "reader"):
        words = ["git", "ls-remote", company.url(who, "ads/clicks" if who == "reader" else "search/ranker")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode, "not found" in done.stderr) == (128, True), done.stderr


def test_git_takes_the_token_from_the_environment_by_the_helper_that_docs_git_shows(
    company: Company, tmp_path: Path
) -> None:
    (shown,) = re.findall(r"^git config --global .*\n.*", (ROOT / "docs/git.md").read_text(), re.MULTILINE)
    setting = shown.replace("https://registry.example.org", company.server.url)
    variables = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"), "GIT_TERMINAL_PROMPT": "0"}
    for who, status in (("reader", 0), ("outsider", 128)):
        environment = {**os.environ, **variables, "ML_REGISTRY_TOKEN": company.tokens[who]}
        asked = f"{setting}\ngit ls-remote {company.server.url}/git/search/ranker"
        done = subprocess.run(["sh", "-ec", asked], env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, "refs/heads/dev" in done.stdout) == (status, not status), done.stderr


@pytest.mark.parametrize(
    ("who", "branch", "words"),
    [
        ("reader", "dev", "403"),
        ("writer", "dev", ""),
        ("writer", "main", "main of search/ranker is protected"),
        ("maintainer", "main", ""),
        ("maintainer", "closed", ""),
        ("writer", "closed", "closed of search/ranker is protected"),
    ],
)
def test_git_pushes_where_the_policy_lets_it(
    company: Company, tmp_path: Path, who: str, branch: str, words: str
) -> None:
    git("clone", "--quiet", "--branch", branch, company.url(who), tmp_path / "tree")
    (tmp_path / "tree" / "notes.txt").write_text(f"{who} on {branch}\n")
    git("add", ".", at=tmp_path / "tree")
    git("commit", "--quiet", "--message", "By hand", at=tmp_path / "tree")
    push = ["git", "-C", str(tmp_path / "tree"), "push", "origin", branch]
    done = subprocess.run(push, capture_output=True, text=True, check=False)
    assert (done.returncode == 0, words in done.stderr) == (not words, True), done.stderr


@contextmanager
def opened(company: Company, authorization: Any) -> Iterator[ClientConnection]:
    subprotocols: Any = ["graphql-transport-ws"]
    with connect(company.server.url.replace("http", "ws") + "/graphql", subprotocols=subprotocols) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": authorization}}))
        yield socket


@pytest.mark.parametrize("said", [None, 7, "", "Bearer mlr_forged", "mlr_forged"])
def test_a_socket_without_a_good_token_is_closed_as_forbidden(company: Company, said: Any) -> None:
    with opened(company, said) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


def test_a_listener_hears_of_what_they_may_see_and_is_closed_once_the_token_is_revoked(company: Company) -> None:
    token = command(company.server.data_dir, "token", "create", "ear", "--role", "reader", "--project", "search/*")
    eventually(
        lambda: (
            company.server.client.post(
                "/graphql", json={"query": NAMES}, headers={"authorization": f"Bearer {token}"}
            ).status_code
            == 200
        )
    )
    with opened(company, f"Bearer {token}") as socket:
        assert json.loads(socket.recv(timeout=5)) == {"type": "connection_ack"}
        query = "subscription { events { node { projectName branchName } } }"
        socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": query}}))
        socket.send(json.dumps({"type": "ping"}))
        assert json.loads(socket.recv(timeout=5)) == {"type": "pong"}
        company.mutate("outsider", "commitArtifacts", project="ads/clicks", changes=[{"put": {"name": "hidden"}}])
        company.put("writer", "dev", "heard")
        heard = json.loads(socket.recv(timeout=5))["payload"]["data"]["events"]["node"]
        assert heard == {"projectName": "search/ranker", "branchName": "dev"}
        command(company.server.data_dir, "token", "revoke", "ear")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403


def test_a_socket_is_closed_when_its_token_expires_and_the_token_opens_nothing_after(company: Company) -> None:
    token, good = "mlr_" + "e" * 43, company.policy
    expires = (datetime.now(UTC) + timedelta(seconds=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha256(token.encode()).hexdigest()
    entry = f'  brief: {{hash: "sha256:{digest}", role: reader, projects: ["*"], expires: {expires}}}\n'
    company.write_policy(good.replace("tokens:\n", "tokens:\n" + entry))
    headers = {"authorization": f"Bearer {token}"}
    ask = partial(company.server.client.post, "/graphql", json={"query": NAMES}, headers=headers)
    eventually(lambda: ask().status_code == 200)
    with opened(company, headers["authorization"]) as socket:
        assert json.loads(socket.recv(timeout=5)) == {"type": "connection_ack"}
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, ask().status_code) == (4403, 401)
    company.write_policy(good)


def test_a_stream_ends_once_its_token_is_revoked(company: Company) -> None:
    token = command(company.server.data_dir, "token", "create", "sse", "--role", "reader", "--project", "search/*")
    headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
    query = {"query": "subscription { events { node { projectName } } }"}
    client = httpx.Client(base_url=company.server.url, trust_env=False, timeout=10)
    eventually(
        lambda: company.server.client.post("/graphql", json={"query": NAMES}, headers=headers).status_code == 200
    )
    with client, client.stream("POST", "/graphql", json=query, headers=headers) as stream:
        command(company.server.data_dir, "token", "revoke", "sse")
        assert "next" not in "".join(stream.iter_text())


def test_a_broken_policy_leaves_the_last_one_in_force_until_it_is_mended(company: Company) -> None:
    good = company.policy
    company.write_policy(good.replace("protected:", "protects:"))
    eventually(lambda: "access.yml" in company.server.log.read_text() and "protects" in company.server.log.read_text())
    assert company.put("writer", "main") == "FORBIDDEN"
    assert company.put("writer", "dev", "still") == "CommitArtifactsSuccess"
    company.write_policy(good)


def test_a_server_that_starts_on_a_broken_policy_lets_nobody_in(tmp_path: Path) -> None:
    with running(tmp_path / "var", "--no-demo") as server:
        assert server.post(NAMES).status_code == 200
    tree = clone(tmp_path / "var" / "catalog.git", tmp_path / "tree")
    push_file(tree, "access.yml", b"grants: [\n")
    with running(tmp_path / "var", "--no-demo") as server:
        assert server.post(NAMES).status_code == 401


def test_bytes_that_arrive_move_no_branch_that_their_sender_may_not_move(company: Company) -> None:
    wanted = announce(b"the weights of a ranker")
    changes = [{"put": {"name": "weights", "object": wanted}}]
    for branch in ("dev", "main"):
        on = {"project": "search/ranker", "branch": branch, "changes": changes}
        assert company.mutate("maintainer", "commitArtifacts", **on) == "CommitArtifactsSuccess"
    asked = {"project": "search/ranker", "objects": [wanted]}
    begun = company.post("writer", document("createUploads"), input=asked).json()["data"]["createUploads"]
    (upload,) = begun["uploads"]
    assert send(upload, b"the weights of a ranker").status_code == 200

    def states(who: str) -> list[str]:
        assert company.mutate(who, "completeUpload", upload=upload["id"]) == "CompleteUploadSuccess"
        query = """{ project(name: "search/ranker") { dev: branch(name: "dev") { ...S } main: defaultBranch { ...S } } }
          fragment S on Branch { artifact(name: "weights") { object { state } } }"""
        found = company.post(who, query).json()["data"]["project"]
        return [found[branch]["artifact"]["object"]["state"] for branch in ("dev", "main")]

    assert states("writer") == ["READY", "PENDING"]
    assert states("maintainer") == ["READY", "READY"]


@pytest.mark.parametrize(("who", "status"), [("admin", 200), ("maintainer", 403), ("outsider", 403)])
def test_numbers_of_everything_are_for_those_who_may_read_everything(company: Company, who: str, status: int) -> None:
    headers = {"authorization": f"Bearer {company.tokens[who]}"}
    assert company.server.client.get("/metrics", headers=headers).status_code == status
