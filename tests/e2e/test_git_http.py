"""The stock git client against the server itself: clone, fetch, push, and what becomes of pushes that are not to be."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.api import Work, eventually, new_project
from tests.support.git import PERSON, git
from tests.support.githttp import GitHttp
from tests.support.listen import socket
from tests.support.server import Server, running

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on the PATH")

GOOD = b"one:\n  type: m\n"
BROKEN = b"one:\n  type: m\nlist:\n  - [\n"
ENTRY_BROKEN = b"one:\n  type: m\nbad: 1\n"


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("strict") / "var", REGISTRY_STRICT_PUSHES="true") as server:
        yield server


def url(work: Work) -> str:
    return f"{work.server.url}/git/{work.name}"


@pytest.fixture
def tree(work: Work, tmp_path: Path) -> Path:
    return clone(work, tmp_path / "tree")


def clone(work: Work, to: Path, *options: str) -> Path:
    git("clone", "--quiet", *options, url(work), to)
    return to


def commit(tree: Path, content: bytes, path: str = "artifacts.yml") -> str:
    (tree / path).write_bytes(content)
    git("add", path, at=tree)
    git("commit", "--quiet", "--message", "By hand", at=tree)
    return git("rev-parse", "HEAD", at=tree)


def push(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A push, refused or not; a terminal would show its stderr."""
    command = ["git", "-C", str(tree), "push", "origin", *words]
    done = subprocess.run(command, env={**os.environ, **PERSON}, capture_output=True, text=True, check=False)
    done.stderr = "\n".join(line.rstrip() for line in done.stderr.splitlines())
    return done


def refs(work: Work) -> dict[str, str]:
    shown = git("for-each-ref", "--format=%(refname) %(objectname)", at=work.repository)
    return dict(line.split() for line in shown.splitlines())


def objects(work: Work) -> set[Path]:
    return {path for path in (work.repository / "objects").rglob("*") if path.is_file()}


def locks(work: Work) -> list[Path]:
    return [*work.repository.rglob("*.lock"), *(work.repository / "objects").glob("tmp_*")]


def test_a_clone_has_what_the_api_wrote_and_a_fetch_what_it_writes_next(work: Work, tmp_path: Path) -> None:
    work.put("one", type="m")
    tree = clone(work, tmp_path / "tree")
    assert (tree / "artifacts.yml").read_text().rstrip() == work.text()
    head = work.put("two", type="m")
    git("fetch", "--quiet", at=tree)
    assert git("rev-parse", "origin/main", at=tree) == head


@pytest.mark.parametrize("protocol", ["0", "1", "2"])
@pytest.mark.parametrize("suffix", ["", ".git"])
def test_every_version_of_the_protocol_is_spoken(work: Work, tmp_path: Path, protocol: str, suffix: str) -> None:
    head = work.put("one", type="m")
    git("-c", f"protocol.version={protocol}", "clone", "--quiet", url(work) + suffix, tmp_path / "tree")
    assert git("rev-parse", "HEAD", at=tmp_path / "tree") == head


def test_a_clone_may_be_shallow_and_be_deepened(work: Work, tmp_path: Path) -> None:
    for name in "abc":
        work.put(name, type="m")
    tree = clone(work, tmp_path / "tree", "--depth=1")
    assert git("rev-list", "--count", "HEAD", at=tree) == "1"
    git("fetch", "--quiet", "--unshallow", at=tree)
    assert git("rev-list", "--count", "HEAD", at=tree) == "4"


def test_a_shallow_clone_can_push(work: Work, tmp_path: Path) -> None:
    for name in "abc":
        work.put(name, type="m")
    tree = clone(work, tmp_path / "tree", "--depth=1")
    head = commit(tree, GOOD)
    assert push(tree, "HEAD:main").returncode == 0
    assert work.head() == head


def test_a_clone_may_leave_blobs_for_later(work: Work, tmp_path: Path) -> None:
    work.put("one", type="m")
    work.put("two", type="m")
    tree = clone(work, tmp_path / "tree", "--filter=blob:none")
    assert "?" in git("rev-list", "--objects", "--missing=print", "HEAD", at=tree)
    assert "two" not in git("show", "HEAD~1:artifacts.yml", at=tree)


def test_a_push_is_served_and_told_of_before_the_client_hears_of_it(work: Work, tree: Path) -> None:
    with socket(work.server, filter={"project": work.name}) as events:
        for number in range(5):
            head = commit(tree, b"n%d:\n  type: m\n" % number)
            assert push(tree, "HEAD:main").returncode == 0
            assert work.names() == [f"n{number}"]
            kinds = []
            while "ARTIFACT_ADDED" not in kinds:
                node = events.next()["node"]
                assert node["commit"] == head
                kinds.append(node["kind"])


def test_branches_and_a_tag_are_pushed_at_once(work: Work, tree: Path) -> None:
    head = commit(tree, GOOD)
    git("tag", "--annotate", "v1", "--message", "one", at=tree)
    tag = git("rev-parse", "v1", at=tree)
    assert push(tree, "HEAD:main", "HEAD:refs/heads/team/next", "v1").returncode == 0
    assert refs(work) == {"refs/heads/main": head, "refs/heads/team/next": head, "refs/tags/v1": tag}
    assert work.names("team/next") == ["one"]
    assert push(tree, ":team/next", ":v1").returncode == 0
    assert refs(work) == {"refs/heads/main": head}


def test_a_push_from_behind_is_refused_and_a_forced_one_is_not(work: Work, tree: Path) -> None:
    head = work.put("one", type="m")
    mine = commit(tree, GOOD)
    refused = push(tree, "HEAD:main")
    assert refused.returncode == 1
    assert "fetch first" in refused.stderr
    assert work.head() == head
    assert push(tree, "--force", "HEAD:main").returncode == 0
    assert work.head() == mine


def test_the_default_branch_is_not_deleted_and_nothing_but_branches_and_tags_is_kept(work: Work, tree: Path) -> None:
    before = refs(work)
    git("notes", "add", "--message", "note", at=tree)
    refused = push(tree, ":main", "refs/notes/commits", "HEAD:refs/heads/fine")
    assert "default branch" in refused.stderr
    assert "only branches and tags" in refused.stderr
    assert refs(work) == {**before, "refs/heads/fine": before["refs/heads/main"]}


def test_a_branch_holds_commits_alone(work: Work, tree: Path) -> None:
    blob = git("hash-object", "-w", ".git/HEAD", at=tree)
    assert push(tree, f"{blob}:refs/tags/blob").returncode == 0
    git("tag", "--annotate", "v1", "--message", "one", at=tree)
    tag = git("rev-parse", "v1", at=tree)
    assert "a branch holds commits alone" in push(tree, f"{tag}:refs/heads/odd").stderr
    assert "refs/heads/odd" not in refs(work)


def test_a_push_that_git_would_not_check_out_is_refused_and_leaves_nothing(work: Work, tree: Path) -> None:
    before, files = refs(work), objects(work)
    text = f"tree {git('rev-parse', 'HEAD^{tree}', at=tree)}\nauthor nobody\ncommitter nobody\n\nbad\n"
    (tree / "bad").write_text(text)
    bad = git("hash-object", "-t", "commit", "-w", "--literally", "bad", at=tree)
    refused = push(tree, f"{bad}:refs/heads/bad")
    assert refused.returncode == 1
    assert "missingEmail" in refused.stderr
    assert (refs(work), objects(work), locks(work)) == (before, files, [])


def test_an_unknown_project_is_not_found_and_the_terminal_says_so(shared_server: Server, tmp_path: Path) -> None:
    command = ["git", "clone", f"{shared_server.url}/git/no/such", str(tmp_path / "tree")]
    done = subprocess.run(command, env={**os.environ, **PERSON}, capture_output=True, text=True, check=False)
    assert done.returncode == 128
    assert "remote: NOT_FOUND: There is no project 'no/such'" in done.stderr


def test_a_broken_manifest_is_taken_with_a_warning_that_names_the_line(work: Work, tree: Path) -> None:
    head = commit(tree, BROKEN)
    done = push(tree, "HEAD:main")
    assert done.returncode == 0
    assert "remote: warning: artifacts.yml:5:1: " in done.stderr
    assert work.head() == head


@pytest.mark.parametrize(("text", "place"), [(BROKEN, "5:1"), (ENTRY_BROKEN, "3:1")])
def test_in_strict_mode_a_manifest_with_problems_is_declined_and_nothing_is_changed(
    strict_server: Server, tmp_path: Path, text: bytes, place: str
) -> None:
    work = new_project(strict_server)
    tree = clone(work, tmp_path / "tree")
    before, files = refs(work), objects(work)
    good = commit(tree, GOOD)
    commit(tree, text)
    declined = push(tree, f"{good}:refs/heads/fine", "HEAD:main")
    assert declined.returncode == 1
    assert f"remote: artifacts.yml:{place}: " in declined.stderr
    assert "remote: Nothing was changed." in declined.stderr
    assert (refs(work), objects(work), locks(work)) == (before, files, [])
    commit(tree, GOOD + b"two: {}\n")
    assert push(tree, "HEAD:main").returncode == 0
    assert work.names() == ["one", "two"]


@pytest.mark.parametrize("text", [BROKEN, ENTRY_BROKEN])
def test_a_strict_server_begins_no_branch_at_what_a_tag_brought(
    strict_server: Server, tmp_path: Path, text: bytes
) -> None:
    work = new_project(strict_server)
    tree = clone(work, tmp_path / "tree")
    good = commit(tree, GOOD)
    bad = commit(tree, text)
    assert push(tree, f"{good}:refs/tags/good", f"{bad}:refs/tags/bad").returncode == 0
    for revision in ("bad", bad):
        refused = work.mutate("createBranch", project=work.name, name="dev", **{"from": revision})
        assert refused["__typename"] == "InvalidInputError"
        assert refused["issues"][0]["path"] == ["from"]
    assert "refs/heads/dev" not in refs(work)
    made = work.mutate("createBranch", project=work.name, name="dev", **{"from": "good"})
    assert made["__typename"] == "CreateBranchSuccess"


def test_a_project_that_lies_elsewhere_says_where(tmp_path: Path) -> None:
    git("init", "--quiet", "--bare", "--initial-branch=main", tmp_path / "far" / "far.git")
    far = GitHttp(tmp_path / "far")
    with ExitStack() as ended:
        ended.callback(far.stop)
        server = ended.enter_context(running(tmp_path / "var", REGISTRY_GIT_CREDENTIALS=str(far.listed)))
        work = Work(server, "far")
        made = work.mutate("createProject", name=work.name, remoteUrl=far.url("far"))
        assert made["__typename"] == "CreateProjectSuccess", made
        for service in ("git-upload-pack", "git-receive-pack"):
            answer = server.client.get(f"/git/{work.name}/info/refs", params={"service": service})
            assert answer.status_code == 403
            assert far.url("far") in answer.text


def test_without_git_on_the_path_the_server_says_what_it_lacks(tmp_path: Path) -> None:
    with running(tmp_path / "var", "--demo", PATH=str(tmp_path)) as server:
        answer = server.client.get("/git/demo/info/refs", params={"service": "git-upload-pack"})
        assert answer.status_code == 503
        assert "no git on its PATH" in answer.text


def test_api_writes_and_pushes_of_the_same_branch_lose_nothing(work: Work, tmp_path: Path) -> None:
    trees = [clone(work, tmp_path / f"tree{number}") for number in range(2)]

    def write(number: int) -> None:
        work.put(f"api{number}", type="m")

    def push_ten(number: int) -> None:
        tree = trees[number]
        for turn in range(10):
            commit(tree, b"x", f"file{number}-{turn}")
            while push(tree, "HEAD:main").returncode:
                git("pull", "--quiet", "--rebase", at=tree)

    with ThreadPoolExecutor(6) as pool:
        pushing = [pool.submit(push_ten, number) for number in range(2)]
        list(pool.map(write, range(100)))
        for each in pushing:
            each.result()
    assert len(work.names()) == 100
    files = git("ls-tree", "--name-only", "main", at=work.repository).split()
    assert len([file for file in files if file.startswith("file")]) == 20
    assert git("rev-list", "--count", "main", at=work.repository) == "121"
    assert git("rev-list", "--merges", "--count", "main", at=work.repository) == "0"


@pytest.mark.slow
def test_a_large_push_is_kept_in_bounded_memory_and_cloned_again(work: Work, tree: Path, tmp_path: Path) -> None:
    before = memory(work.server)
    content = os.urandom(50 << 20)
    (tree / "artifacts.yml").write_bytes(GOOD)
    git("add", "artifacts.yml", at=tree)
    commit(tree, content, "model.bin")
    assert push(tree, "HEAD:main").returncode == 0
    assert work.names() == ["one"]
    assert (clone(work, tmp_path / "again") / "model.bin").read_bytes() == content
    assert memory(work.server) - before < 16 << 20


def memory(server: Server) -> int:
    """The most the server itself ever had in memory, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        pytest.skip("only Linux says")
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) << 10


@pytest.mark.slow
def test_a_client_killed_while_it_sends_leaves_nothing(work: Work, tree: Path) -> None:
    before, files = refs(work), objects(work)
    commit(tree, os.urandom(50 << 20), "model.bin")
    begun = work.server.log.stat().st_size
    command = ["git", "-C", str(tree), "push", "--quiet", "origin", "HEAD:main"]
    client = subprocess.Popen(command, env={**os.environ, **PERSON}, start_new_session=True)
    asked = f"POST /git/{work.name}/git-receive-pack 200"  # whether it may push, before it sends so much
    eventually(lambda: asked in work.server.log.read_text()[begun:])
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    eventually(lambda: f"POST /git/{work.name}/git-receive-pack 400" in work.server.log.read_text()[begun:])
    assert (refs(work), objects(work), locks(work)) == (before, files, [])
    work.put("one", type="m")


@pytest.mark.slow
def test_a_server_killed_while_it_checks_leaves_nothing_that_lasts(tmp_path: Path) -> None:
    with running(tmp_path / "var") as server:
        work = new_project(server)
        tree = clone(work, tmp_path / "tree")
        before = refs(work)
        commit(tree, os.urandom(50 << 20), "model.bin")
        with ThreadPoolExecutor(1) as pool:
            pushing = pool.submit(push, tree, "HEAD:main")
            eventually(lambda: locks(work), 60)
            server.stop(signal.SIGKILL)
            assert pushing.result().returncode
    assert refs(work) == before
    with running(tmp_path / "var") as server:
        time.sleep(1)  # what git was still about is over
        git("remote", "set-url", "origin", f"{server.url}/git/{work.name}", at=tree)
        assert push(tree, "HEAD:main").returncode == 0
        assert locks(work) == []
        assert Work(server, work.name).put("one", type="m")


@pytest.mark.slow
def test_twenty_clones_at_once_do_not_stall_the_server(work: Work, tree: Path, tmp_path: Path) -> None:
    commit(tree, os.urandom(4 << 20), "model.bin")
    assert push(tree, "HEAD:main").returncode == 0
    took = []
    with ThreadPoolExecutor(20) as pool:
        cloning = [pool.submit(clone, work, tmp_path / f"clone{number}") for number in range(20)]
        while not all(each.done() for each in cloning):
            begun = time.monotonic()
            assert work.server.client.get("/livez").status_code == 200
            took.append(time.monotonic() - begun)
            time.sleep(0.01)
    for each in cloning:
        assert (each.result() / "model.bin").stat().st_size == 4 << 20
    assert sorted(took)[len(took) * 9 // 10] < 0.1
