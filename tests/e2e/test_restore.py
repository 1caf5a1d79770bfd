"""There is nothing to back up but Git and the bytes: the documented commands, and a server on what they kept."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.api import Work, announce, eventually, new_project, send
from tests.support.git import clone, git, push_file
from tests.support.server import ROOT, Server, running

pytestmark = pytest.mark.slow

BYTES = b"weights" * 1000
EVERYTHING = """{ projects(first: 9) { nodes { name description defaultBranch { name } branches(first: 9) { nodes {
  name manifest { state problems { code line } }
  artifacts(first: 9) { nodes { name entry metadata object { state digest } } }
  history(first: 9) { nodes { oid headline author { name at } } } } } } } }"""
EVENTS = """query($p: String!, $after: String) { project(name: $p) {
  events(first: 100, after: $after) { edges { cursor node { id kind branchName commit } } } } }"""


def commands(name: str) -> str:
    """The block of docs/deploy.md that begins with this comment."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/deploy.md").read_text(), re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {name}\n")]
    return str(block)


def run(block: str, data: Path, backup: Path) -> None:
    """Run them as they stand, up to where the server would start."""
    script = block.partition("ml-registry serve")[0]
    environment = {"DATA": str(data), "BACKUP": str(backup), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    subprocess.run(["sh", "-eu", "-c", script], env=environment, check=True, capture_output=True, timeout=60)


def events(work: Work, after: str | None = None) -> list[dict[str, Any]]:
    """What is told of a project."""
    found: list[dict[str, Any]] = work.server.ask(EVENTS, p=work.name, after=after)["project"]["events"]["edges"]
    return found


def fill(server: Server, folder: Path) -> Work:
    """Projects with all there can be in one: branches, tags, a person's commits, a broken manifest, bytes."""
    new_project(server, "plain").put("only", type="model")
    work = new_project(server, "team/search/ranker", description="Ranks")
    (upload,) = work.mutate("createUploads", project=work.name, objects=[announce(BYTES)])["uploads"]
    assert send(upload, BYTES).status_code == 200
    work.mutate("completeUpload", upload=upload["id"])
    work.put("weights", type="model", object=announce(BYTES))
    work.mutate("createBranch", project=work.name, name="feature/x")
    work.put("aside", branch="feature/x", metadata={"deep": [1, {"two": None}]})
    tree = clone(work.repository, folder / "tree")
    push_file(tree, "artifacts.yml", b"# by hand\nmine: {type: dataset}\n", branch="by-hand")
    push_file(tree, "artifacts.yml", b"broken: [\n", branch="broken")
    git("tag", "v1", "origin/main", at=tree)
    git("push", "--quiet", "origin", "v1", at=tree)
    eventually(lambda: {"broken", "by-hand"} <= {event["node"]["branchName"] for event in events(work)})
    return work


def keep_bytes(data: Path, backup: Path) -> None:
    """What a bucket would do by itself."""
    shutil.copytree(data / "objects", backup / "objects", dirs_exist_ok=True)


def test_mirrors_of_git_and_the_bytes_are_a_whole_backup(tmp_path: Path) -> None:
    data, backup, new = tmp_path / "var", tmp_path / "backup", tmp_path / "new"
    with running(data, "--no-demo") as server:
        work = fill(server, tmp_path)
        run(commands("backup"), data, backup)
        keep_bytes(data, backup)
        before, told = server.ask(EVERYTHING), events(work)
        refs = git("show-ref", at=work.repository)
    shutil.rmtree(data)
    run(commands("restore"), new, backup)
    assert not (new / "cache").exists()
    with running(new, "--no-demo") as server:
        restored = Work(server, work.name)
        assert server.ask(EVERYTHING) == before
        assert events(restored) == told
        assert git("show-ref", at=restored.repository) == refs
        weights = restored.artifact("weights") or {}
        assert httpx.get(weights["object"]["download"]["url"], trust_env=False).content == BYTES
        written = restored.put("more")
        news = eventually(lambda: events(restored, told[-1]["cursor"]))
        assert [event["node"]["commit"] for event in news] == [written]


def test_a_later_backup_takes_what_is_new_and_forgets_what_is_gone(tmp_path: Path) -> None:
    data, backup, new = tmp_path / "var", tmp_path / "backup", tmp_path / "new"
    with running(data, "--no-demo") as server:
        work = fill(server, tmp_path)
        run(commands("backup"), data, backup)
        head = work.put("more")
        work.mutate("deleteBranch", project=work.name, name="feature/x", expectedHead=work.head("feature/x"))
        new_project(server, "later")
        run(commands("backup"), data, backup)
        keep_bytes(data, backup)
        before = server.ask(EVERYTHING)
    run(commands("restore"), new, backup)
    with running(new, "--no-demo") as server:
        assert server.ask(EVERYTHING) == before
        assert Work(server, work.name).head() == head


def test_what_happens_while_the_backup_is_made_is_told_after_it_is_restored(tmp_path: Path) -> None:
    data, backup, new = tmp_path / "var", tmp_path / "backup", tmp_path / "new"
    with running(data, "--no-demo") as server:
        work = fill(server, tmp_path)
        run(commands("backup"), data, tmp_path / "early")
        told = events(work)
        between = work.put("between")
        run(commands("backup"), data, backup)
        keep_bytes(data, backup)
    shutil.rmtree(backup / "catalog.git")  # it is kept first, so it may be older than all else
    (tmp_path / "early/catalog.git").rename(backup / "catalog.git")
    run(commands("restore"), new, backup)
    with running(new, "--no-demo") as server:
        restored = Work(server, work.name)
        news = eventually(lambda: events(restored, told[-1]["cursor"]))
        assert [event["node"]["commit"] for event in news] == [between]
