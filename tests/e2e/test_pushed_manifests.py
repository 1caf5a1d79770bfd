"""What people push: a manifest that breaks a rule is reported, never served, never overwritten, and hurts nobody."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.registry.manifest import read
from tests.support.api import Work, document, eventually, new_project
from tests.support.git import clone, git, push_file
from tests.support.server import Server

GOOD = b"""\
topic-training-data:
  dataObjectId: 123
  type: dataset
  config:
    type: tsv
    hasHeader: true
classification-output:
  dataObjectId: 456
  type: dataset
  config:
    type: tsv
    hasHeader: true
"""
STATE = """query($p: String!, $b: String!) { project(name: $p) { branch(name: $b) { head { oid } manifest {
  state problems { code line column message artifact } servedCommit { oid } } } } }"""


def manifest(work: Work, branch: str = "main") -> dict[str, Any]:
    """A branch's manifest at its head in Git, not waiting for the next look at it."""
    assert work.mutate("syncProject", project=work.name)["__typename"] == "SyncProjectSuccess"
    found = work.server.ask(STATE, p=work.name, b=branch)["project"]["branch"]
    assert found["head"]["oid"] == work.head(branch)
    return dict(found["manifest"])


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + level, 98 + level, b",".join([b"*%c" % (97 + level)] * 9)) for level in range(9)
)
BROKEN = {
    "lost indentation": (GOOD.replace(b"\n  ", b"\n").replace(b"\n  ", b"\n"), "DUPLICATE_KEY", 5),
    "duplicate entry": (GOOD + GOOD, "DUPLICATE_KEY", 13),
    "not YAML": (b"a:\n  b: [\n", None, 3),
    "tab": (b"a:\n\tb: 1\n", None, 2),
    "tag": (b"a:\n  b: !!python/object:os.system x\n", None, 2),
    "several documents": (b"a: {}\n---\nb: {}\n", None, 2),
    "list": (b"- a\n- b\n", None, 1),
    "text": (b"just words\n", None, 1),
    "60 kB of [": (b"[" * 60_000, None, 1),
    "alias bomb": (BOMB, None, None),
    "cycle": (b"a: &a\n  b: *a\n", None, 2),
    "nan": (b"a:\n  b: .nan\n", None, 2),
    "binary": (bytes(range(256)) * 4, None, None),
    "not UTF-8": (b"a:\n  b: \xff\n", None, 2),
    "9 MiB": (b"a:\n  b: " + b"x" * 9 * 1024 * 1024 + b"\n", None, None),
    "40 deep": (b"a: " + b"{a: " * 40 + b"1" + b"}" * 40 + b"\n", None, 1),
    "20001 entries": (b"".join(b"e%d: {}\n" % number for number in range(20_001)), None, None),
    "merge key": (b"a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", None, None),
}


@pytest.fixture
def tree(work: Work, tmp_path: Path) -> Path:
    """A person's clone of a project with a good manifest."""
    tree = clone(work.repository, tmp_path / "tree")
    push_file(tree, "artifacts.yml", GOOD)
    assert manifest(work)["state"] == "VALID"
    return tree


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_manifest_is_reported_the_last_good_one_served_and_nothing_overwritten(
    work: Work, tree: Path, name: str
) -> None:
    content, code, line = BROKEN[name]
    good = work.head()
    work.mutate("createBranch", project=work.name, name="other")
    broken = push_file(tree, "artifacts.yml", content)
    found = manifest(work)
    assert found["state"] == "BROKEN"
    assert found["servedCommit"] == {"oid": good}
    problem = found["problems"][0]
    assert problem["message"].endswith((".", ";", ":")), problem
    if code:
        assert problem["code"] == code
    if line:
        assert problem["line"] == line, found["problems"]
        assert problem["column"] is not None
    assert work.names() == ["classification-output", "topic-training-data"]
    refused = work.commit({"put": {"name": "new", "type": "m"}})
    assert refused["__typename"] == "ManifestBrokenError"
    assert refused["problems"][0]["code"] == problem["code"]
    assert work.head() == broken
    work.put("new", type="m", branch="other")
    assert manifest(work, "other")["state"] == "VALID"
    push_file(tree, "artifacts.yml", GOOD + b"repaired: {}\n")
    assert manifest(work)["state"] == "VALID"
    assert "repaired" in work.names()
    work.put("new", type="m")


def test_the_seed_example_without_its_indentation_is_reported_with_every_line_in_question(
    work: Work, tree: Path
) -> None:
    flat = b"\n".join(line.strip() for line in GOOD.splitlines()) + b"\n"
    push_file(tree, "artifacts.yml", flat)
    found = manifest(work)
    assert found["state"] == "BROKEN"
    lines = [problem["line"] for problem in found["problems"]]
    assert lines == sorted(lines)
    assert {8, 9, 10, 11, 12} <= set(lines)


def put_in_tree(how: str) -> Callable[[Path], None]:
    """What makes `artifacts.yml` something else than a file."""

    def link(tree: Path) -> None:
        (tree / "artifacts.yml").unlink()
        (tree / "artifacts.yml").symlink_to("/etc/passwd")
        git("add", "artifacts.yml", at=tree)

    def submodule(tree: Path) -> None:
        git("rm", "--quiet", "artifacts.yml", at=tree)
        head = git("rev-parse", "HEAD", at=tree)
        git("update-index", "--add", "--cacheinfo", f"160000,{head},artifacts.yml", at=tree)

    def folder(tree: Path) -> None:
        (tree / "artifacts.yml").unlink()
        (tree / "artifacts.yml").mkdir()
        (tree / "artifacts.yml" / "a.yml").write_text("a: {}\n")
        git("add", "--all", at=tree)

    return {"symlink": link, "submodule": submodule, "folder": folder}[how]


@pytest.mark.parametrize("how", ["symlink", "submodule", "folder"])
def test_a_manifest_that_is_no_file_is_reported_and_never_followed(work: Work, tree: Path, how: str) -> None:
    put_in_tree(how)(tree)
    git("commit", "--quiet", "-m", how, at=tree)
    git("push", "--quiet", "origin", "HEAD:main", at=tree)
    head = work.head()
    assert manifest(work)["state"] == "BROKEN"
    assert work.names() == ["classification-output", "topic-training-data"]
    assert work.commit({"put": {"name": "new", "type": "m"}})["__typename"] == "ManifestBrokenError"
    assert work.head() == head


def test_an_entry_that_is_no_mapping_is_left_out_and_the_rest_is_served(work: Work, tree: Path) -> None:
    push_file(tree, "artifacts.yml", b"bad: 1\n" + GOOD)
    found = manifest(work)
    assert found["state"] == "VALID"
    assert [(problem["artifact"], problem["line"]) for problem in found["problems"]] == [("bad", 1)]
    assert work.names() == ["classification-output", "topic-training-data"]
    work.put("new", type="m")
    assert work.text().startswith("bad: 1\n")


def test_a_manifest_deleted_by_git_is_an_empty_branch_that_can_be_written(work: Work, tree: Path) -> None:
    git("rm", "--quiet", "artifacts.yml", at=tree)
    git("commit", "--quiet", "-m", "Away", at=tree)
    git("push", "--quiet", "origin", "HEAD:main", at=tree)
    assert manifest(work)["state"] == "ABSENT"
    assert work.names() == []
    work.put("new", type="m")
    assert work.names() == ["new"]


def test_a_project_whose_repository_cannot_be_read_holds_up_no_other(shared_server: Server, work: Work) -> None:
    other = new_project(shared_server)
    away = work.repository.with_suffix(".away")
    work.repository.rename(away)
    try:
        other.put("fine", type="m")
        assert other.names() == ["fine"]
        asked = "query($p: String!) { project(name: $p) { name sync { state lastError } } }"
        found = eventually(
            lambda: (sync := shared_server.ask(asked, p=work.name)["project"]["sync"])["state"] == "FAILING" and sync
        )
        assert found["lastError"]
        assert str(shared_server.data_dir) not in found["lastError"]
        refused = shared_server.post(
            document("commitArtifacts"), input={"project": work.name, "changes": [{"delete": "a"}]}
        )
        assert refused.json()["data"]["commitArtifacts"]["__typename"] == "RemoteUnavailableError"
        assert str(work.repository) not in refused.text
    finally:
        away.rename(work.repository)
    eventually(lambda: shared_server.ask(asked, p=work.name)["project"]["sync"]["state"] == "CURRENT")
    work.put("fine", type="m")


@pytest.mark.parametrize(
    "text",
    [
        "a\nb",
        "x" * 300,
        "\x00\x1b\x7f",
        "no",
        "010",
        "12:30:45",
        "2e-5",
        " a ",
        "#",
        "- a",
        "&a",
        "\u2028",
        "\ufeff",
        "😀",
    ],
)
def test_text_that_needs_care_in_yaml_is_served_and_read_again_as_it_was_sent(shared_server: Server, text: str) -> None:
    other = new_project(shared_server)
    entry = {
        "dataObjectId": text,
        "type": text,
        "description": text,
        "labels": {text: text},
        text: [text, {text: text}],
    }
    sent: dict[str, Any] = dict.fromkeys(("dataObjectId", "type", "description"), text)
    sent |= {"labels": [{"key": text, "value": text}], "metadata": {text: [text, {text: text}]}}
    other.put("odd", **sent)
    served = other.artifact("odd")
    assert served
    assert served["entry"] == entry
    assert read(other.raw()).entries["odd"].entry == entry
