"""What the reading commands print about a real server, in a pipe."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.api import Work, announce, digest_of, eventually, new_project
from tests.support.cli import call, run
from tests.support.git import clone, push_file
from tests.support.server import ROOT, Server

MANY = [f"bulk/{number:03}" for number in range(120)]
BYTES = b"x" * 2048


@pytest.fixture(scope="module")
def team(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project with three artifacts, one of them changed and one deleted, and a branch from before that."""
    work = new_project(shared_server)
    work.put(
        "churn", type="model", labels=[{"key": "stage", "value": "prod"}], object=announce(BYTES, filename="m.pkl")
    )
    work.put("topics", type="dataset", description="Topics by hand", metadata={"config": {"rows": 7, "type": "tsv"}})
    work.put("gone", dataObjectId="1")
    work.mutate("createBranch", project=work.name, name="before")
    work.commit({"patch": {"name": "topics", "patch": {"config": {"rows": 8, "type": None, "new": True}}}})
    work.commit({"delete": "gone"}, message="Drop gone")
    tree = clone(work.repository, tmp_path_factory.mktemp("team") / "tree")
    push_file(tree, "README.md", b"hello\n", "Say hello", branch="other")
    eventually(lambda: call(shared_server.url, "ls", work.name, "-b", "other").code == 0)
    return work


@pytest.fixture(scope="module")
def bulk(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project whose only commit by hand adds more than a page of artifacts."""
    work = new_project(shared_server)
    tree = clone(work.repository, tmp_path_factory.mktemp("bulk") / "tree")
    push_file(tree, "artifacts.yml", "".join(f"{name}: {{type: dataset}}\n" for name in MANY).encode(), "Many")
    eventually(lambda: work.artifact(MANY[-1]))
    return work


def test_ls_lists_projects_with_their_branches_and_artifacts(team: Work) -> None:
    listed = call(team.server.url, "ls", "--json").json
    assert [one for one in listed if one["name"] in {"demo", team.name}] == [
        {
            "name": "demo",
            "description": "Two datasets to try things on",
            "branches": {"totalCount": 2},
            "defaultBranch": {"name": "main", "artifacts": {"totalCount": 2}},
        },
        {
            "name": team.name,
            "description": "",
            "branches": {"totalCount": 3},
            "defaultBranch": {"name": "main", "artifacts": {"totalCount": 2}},
        },
    ]


def test_ls_prints_a_plain_line_for_each_artifact(team: Work) -> None:
    titles, churn, topics = run(team.server.url, "ls", team.name).out.splitlines()
    assert titles.split() == ["artifact", "type", "data", "object", "id", "labels", "size", "state"]
    assert re.split(" {2,}", churn) == ["churn", "model", digest_of(BYTES), "stage=prod", "2.0 kB", "PENDING"]
    assert topics == "topics    dataset"


def test_the_json_of_an_artifact_is_what_the_schema_answers(team: Work) -> None:
    churn, topics = run(team.server.url, "ls", team.name, "--json").json
    assert churn["object"] == {
        "digest": digest_of(BYTES),
        "size": "2048",
        "contentType": "application/octet-stream",
        "filename": "m.pkl",
        "state": "PENDING",
    }
    assert topics == {
        "name": "topics",
        "type": "dataset",
        "dataObjectId": None,
        "description": "Topics by hand",
        "labels": [],
        "metadata": {"config": {"rows": 8, "new": True}},
        "object": None,
    }


@pytest.mark.parametrize(
    ("conditions", "passing"),
    [
        (["--name", "[ct]*"], ["churn", "topics"]),
        (["--name", ""], []),
        (["--type", "model", "--type", "report"], ["churn"]),
        (["--label", "stage"], ["churn"]),
        (["--label", "stage=test"], []),
        (["--meta", "config.rows=8", "--meta", "/config/new=true"], ["topics"]),
        (["--meta", 'config.rows="8"'], []),
        (["--meta", "config.rows=NaN"], []),
        (["--text", "BY HAND"], ["topics"]),
        (["--branch", "before", "--meta", "config.type=tsv"], ["topics"]),
        (["--at", "main~1", "--name", "gone"], ["gone"]),
    ],
)
def test_ls_lists_artifacts_that_pass_all_conditions(conditions: list[str], passing: list[str], team: Work) -> None:
    ran = call(team.server.url, "ls", team.name, "--json", *conditions)
    assert [one["name"] for one in ran.json] == passing
    assert ran.code == 0


def test_ls_follows_every_page_and_stops_at_the_limit(bulk: Work) -> None:
    assert [one["name"] for one in call(bulk.server.url, "ls", bulk.name, "--json").json] == MANY
    assert [one["name"] for one in call(bulk.server.url, "ls", bulk.name, "--json", "-n", "110").json] == MANY[:110]


def test_an_empty_list_is_found_and_said_to_be_empty(team: Work) -> None:
    ran = run(team.server.url, "ls", team.name, "--type", "nothing")
    assert (ran.code, ran.out, ran.err) == (0, "", "There are none.\n")


def test_ls_lists_branches_with_their_heads(team: Work) -> None:
    before, main, _ = call(team.server.url, "ls", team.name, "--branches", "--json").json
    assert (before["name"], before["isDefault"], before["manifest"]) == (
        "before",
        False,
        {"state": "VALID", "problems": []},
    )
    assert (main["name"], main["isDefault"], main["head"]["oid"]) == ("main", True, team.head())


def test_ls_says_what_is_wrong_with_a_manifest_and_lists_the_last_good_one(work: Work, tmp_path: Path) -> None:
    work.put("good")
    push_file(clone(work.repository, tmp_path / "tree"), "artifacts.yml", b"good: {}\nbad: [\n")
    ran = eventually(lambda: (found := run(work.server.url, "ls", work.name)).err and found)
    assert ran.out.splitlines()[1:] == ["good"]
    assert "is broken; this is the last good one.\nline 3: This is not YAML" in ran.err


def test_show_tells_everything_of_an_artifact(team: Work) -> None:
    shown = run(team.server.url, "show", team.name, "topics", "--json").json
    assert shown["commit"]["oid"] == team.head()
    assert shown["lastChange"]["kind"] == "MODIFIED"
    assert shown["lastChange"]["commit"]["author"]["name"] == "Ada"
    people = run(team.server.url, "show", team.name, "topics", "-b", "before").out
    assert "  description  Topics by hand\n  metadata     config:\n                 rows: 7\n" in people


def test_log_lists_the_newest_commits_and_says_that_there_are_older_ones(team: Work) -> None:
    ran = run(team.server.url, "log", team.name, "-n", "2")
    assert [line.split("  ")[-1] for line in ran.out.splitlines()] == ["what", "Drop gone", "Update topics"]
    assert ran.err == "These are the newest 2; ask for more with --limit.\n"


def test_the_json_of_a_log_has_changes_only_when_they_were_asked_for(team: Work) -> None:
    (plain,) = call(team.server.url, "log", team.name, "--json", "-n", "1").json
    (told,) = call(team.server.url, "log", team.name, "--json", "-n", "1", "--changes").json
    assert set(plain) == {"oid", "abbreviatedOid", "headline", "message", "author", "parents"}
    assert set(told) == {*plain, "changes"}


def test_log_tells_all_a_commit_did_however_much_it_was(bulk: Work) -> None:
    newest = call(bulk.server.url, "log", bulk.name, "-p", "--json").json[0]
    assert [change["name"] for change in newest["changes"]] == MANY


def test_log_at_a_revision_lists_its_first_parents_whatever_they_changed(team: Work) -> None:
    listed = call(team.server.url, "log", team.name, "--at", "other~0", "-p", "--json").json
    assert [one["headline"] for one in listed[:2]] == ["Say hello", "Drop gone"]
    assert listed[0]["changes"] == []
    assert listed[-1]["parents"] == []
    assert listed[1]["changes"] == [
        {"kind": "REMOVED", "name": "gone", "fields": [{"path": "/dataObjectId", "before": "1", "after": None}]}
    ]


def test_log_of_an_artifact_tells_its_changes_value_by_value(team: Work) -> None:
    lines = run(team.server.url, "log", team.name, "topics").out.splitlines()
    assert lines[0].endswith("Update topics")
    assert lines[1:5] == [
        "  ~ topics",
        "      + /config/new  true",
        "      ~ /config/rows  7 → 8",
        '      - /config/type  "tsv"',
    ]
    assert lines[5].endswith("Add topics")


def test_a_deleted_artifact_has_its_history_where_it_still_was(team: Work) -> None:
    ran = run(team.server.url, "log", team.name, "gone")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.endswith("If it was deleted, name a revision that had it: --at main~1.\n")
    assert [
        one["kind"] for one in call(team.server.url, "log", team.name, "gone", "--at", "main~1", "--json").json
    ] == ["ADDED"]


def test_diff_tells_what_differs_and_of_one_artifact_alone_if_asked(team: Work) -> None:
    found = run(team.server.url, "diff", team.name, "before", "main", "--json").json
    assert (found["base"]["oid"], found["head"]["oid"]) == (team.head("before"), team.head())
    assert [(change["kind"], change["name"]) for change in found["changes"]] == [
        ("REMOVED", "gone"),
        ("MODIFIED", "topics"),
    ]
    lines = run(team.server.url, "diff", team.name, "before", "main", "gone").out.splitlines()
    assert lines[2:] == ["- gone", '    - /dataObjectId  "1"']


def test_diff_follows_every_page(bulk: Work) -> None:
    changes = call(bulk.server.url, "diff", bulk.name, "main~1", "main", "--json").json["changes"]
    assert [change["name"] for change in changes] == MANY


@pytest.mark.parametrize(
    ("words", "code"),
    [(["before", "main"], 1), (["main", "main"], 0), (["before", "main", "churn"], 0), (["before", "main", "gone"], 1)],
)
def test_diff_ends_with_1_for_a_difference_only_when_asked_to(words: list[str], code: int, team: Work) -> None:
    assert call(team.server.url, "diff", team.name, *words, "--exit-code").code == code
    assert call(team.server.url, "diff", team.name, *words).code == 0


def test_reading_loads_nothing_of_the_server() -> None:
    asked = "import sys, app.cli; print(*{'app.main', 'app.schema', 'app.registry', 'strawberry'} & {*sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout == "\n"
