"""The README, done as it says, and the whole story by an outside client."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.api import Work, announce, eventually, new_project, send
from tests.support.git import PERSON, clone, git, push_file
from tests.support.listen import socket
from tests.support.server import ROOT, Server, running

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
ASK, PUBLISH, ASK_BACK, LOOK = [part for block in BLOCKS if "curl" in block for part in block.strip().split("\n\n")]
(LOCK,) = re.findall(r"`(\S*ml-registry token create [^`]*)`", README)
(LISTEN,) = re.findall(r"`(curl [^`]*text/event-stream[^`]*)`", README)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a demo project that this module may change."""
    with running(tmp_path_factory.mktemp("story") / "var") as server:
        yield server


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader's shell is."""
    return tmp_path_factory.mktemp("shell")


def adapted(command: str, server: Server) -> str:
    """A command of the README for a server that listens, and keeps its data, elsewhere."""
    command = command.replace("http://127.0.0.1:8000", server.url).replace("var/git", str(server.data_dir / "git"))
    return command.replace(".venv/bin/ml-registry", f"ML_REGISTRY_SERVER={server.url} {sys.executable} -m app.cli")


def sh(command: str, at: Path) -> str:
    """What a shell command prints."""
    environment = {**os.environ, **PERSON, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-ec", command], cwd=at, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_both_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^make (\w+)", BLOCKS[0], re.MULTILINE)
    assert targets == ["run", "test"]
    for target in targets:
        assert (
            "ml-registry serve" in sh("make -n run", ROOT) if target == "run" else "pytest" in sh("make -n test", ROOT)
        )


def test_the_readme_asks_for_an_artifact_and_is_answered(server: Server, here: Path) -> None:
    answer = json.loads(sh(adapted(ASK, server), here))
    artifact = answer["data"]["artifact"]
    assert artifact["dataObjectId"] == "123"
    assert artifact["metadata"] == {"config": {"type": "tsv", "hasHeader": True}}
    assert artifact["commit"]["headline"]


def test_the_readme_publishes_an_artifact_and_sees_it_in_git(server: Server, here: Path) -> None:
    answer = json.loads(sh(adapted(PUBLISH, server), here))
    commit = answer["data"]["commitArtifacts"]["commit"]
    seen = sh(adapted(LOOK, server), here)
    assert "churn-model:" in seen
    assert "framework: torch" in seen
    assert f"{commit['oid'][:7]} {commit['headline']}" in seen


def test_the_readme_asks_who_changed_what_and_what_differs(server: Server, here: Path) -> None:
    said = sh(adapted(ASK_BACK, server), here)
    assert "Add topic-training-data" in said
    assert "/description" in said


def test_the_manifest_the_readme_shows_is_the_demo_project_s(server: Server) -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    entry = re.sub(r" +#.*", "", shown).strip()
    assert entry in Work(server, "demo").text()


def test_an_edit_by_hand_is_served_within_two_seconds_with_its_comments_kept(server: Server, tmp_path: Path) -> None:
    work = Work(server, "demo")
    tree = clone(work.repository, tmp_path / "demo")
    text = (tree / "artifacts.yml").read_text() + "\n# by hand\nmine:\n  dataObjectId: 007   # keep\n"
    push_file(tree, "artifacts.yml", text.encode())
    eventually(lambda: work.artifact("mine"), seconds=2)
    work.put("yours", type="model")
    assert text.strip() in work.text()


def test_a_broken_file_is_reported_with_its_line_while_the_last_good_one_is_served(
    server: Server, tmp_path: Path
) -> None:
    work = new_project(server)
    good = work.put("good", dataObjectId="1")
    tree = clone(work.repository, tmp_path / "work")
    push_file(tree, "artifacts.yml", b"good:\n  dataObjectId: 1\nbad: [\n")
    asked = """query($p: String!) { project(name: $p) { defaultBranch {
      manifest { state problems { line } servedCommit { oid } } } } }"""

    def broken() -> dict[str, object] | None:
        manifest: dict[str, object] = server.ask(asked, p=work.name)["project"]["defaultBranch"]["manifest"]
        return manifest if manifest["state"] == "BROKEN" else None

    manifest = eventually(broken, seconds=2)
    assert manifest == {"state": "BROKEN", "problems": [{"line": 4}], "servedCommit": {"oid": good}}
    assert work.names() == ["good"]


def test_the_listening_command_of_the_readme_prints_an_event(server: Server, here: Path) -> None:
    command = ["sh", "-ec", f"exec {adapted(LISTEN, server)}"]
    with subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as curl:
        assert curl.stdout
        try:
            work = new_project(server)
            for number in range(20):
                work.put(f"entry-{number}", type="model")
                if curl.poll() is not None:
                    break
            lines = iter(curl.stdout.readline, "")
            printed = next((line for line in lines if line.startswith("data: {")), "nothing")
        finally:
            curl.kill()
    assert json.loads(printed.removeprefix("data: "))["data"]["events"]["cursor"]


def test_the_readme_makes_a_token_and_from_then_on_nobody_gets_in_without_one(tmp_path: Path) -> None:
    with running(tmp_path / "var") as server:  # where the command looks for it
        assert server.post("{ viewer { name } }").status_code == 200
        token = sh(adapted(LOCK, server), tmp_path).strip()
        eventually(lambda: server.post("{ viewer { name } }").status_code == 401, seconds=30)
        answer = server.client.post(
            "/graphql", json={"query": "{ viewer { name } }"}, headers={"authorization": f"Bearer {token}"}
        )
        assert answer.json() == {"data": {"viewer": {"name": "ada"}}}


def test_the_server_says_where_it_is_and_three_things_to_try_that_work(server: Server, here: Path) -> None:
    said = server.log.read_text()
    addresses = dict(re.findall(r"^  (GraphiQL|GraphQL|Git) +(\S+)$", said, re.MULTILINE))
    assert addresses == {
        "GraphiQL": f"{server.url}/",
        "GraphQL": f"{server.url}/graphql",
        "Git": f"{server.url}/git/<project>",
    }
    page, look, ask = re.findall(r"^  \d\. (.*?\\\n.*|.*)", said, re.MULTILINE)
    assert httpx.get(re.findall(r"http\S+", page)[0], trust_env=False).status_code == 200
    (here / "three").mkdir()
    assert "topic-training-data:" in sh(look, here / "three")
    assert json.loads(sh(ask, here))["data"]["artifact"]["dataObjectId"] == "123"


def test_the_demo_project_has_two_branches_with_real_commits(shared_server: Server) -> None:
    repository = shared_server.git("demo")
    assert git("for-each-ref", "--format=%(refname:short)", "refs/heads", at=repository).split() == ["main", "staging"]
    subjects = git("log", "--format=%an: %s", "staging", at=repository).splitlines()
    assert subjects[0] == "Ada: Update classification-output"
    assert subjects[1:3] == ["Ada: Add classification-output", "Ada: Add topic-training-data"]
    assert git("fsck", "--strict", at=repository) == ""


def test_publish_clone_query_move_bytes_and_hear_of_it_by_an_outside_client(server: Server, tmp_path: Path) -> None:
    work = new_project(server)
    content = b"weights" * 1000
    with socket(server, filter={"project": work.name, "kind": ["ARTIFACT_ADDED"]}) as events:
        (upload,) = work.mutate("createUploads", project=work.name, objects=[announce(content)])["uploads"]
        assert send(upload, content).status_code == 200
        assert work.mutate("completeUpload", upload=upload["id"])["object"]["state"] == "READY"
        commit = work.put("ranker", type="model", object=announce(content, filename="ranker.bin"))
        assert events.next()["node"]["commit"] == commit
    tree = clone(work.repository, tmp_path / "clone")
    assert git("rev-parse", "HEAD", at=tree) == commit
    assert "ranker:" in (tree / "artifacts.yml").read_text()
    artifact = work.artifact("ranker")
    assert artifact
    download = artifact["object"]["download"]
    answer = httpx.get(download["url"], trust_env=False)
    assert answer.content == content
    assert 'filename="ranker.bin"' in answer.headers["content-disposition"]
