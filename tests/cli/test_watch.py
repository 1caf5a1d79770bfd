"""Watching a real server: what is told, to whom it is handed, and where the next run goes on."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.api import Work, announce, eventually, new_project
from tests.support.cli import PROGRAM, call, interrupt, run, run_on_terminal, started
from tests.support.git import clone, git, push_file
from tests.support.server import Server, free_port, running

pytestmark = pytest.mark.slow

EVENTS = """query($p: String!, $after: String) { project(name: $p) { events(first: 100, after: $after) {
  edges { cursor node { id kind ... on ArtifactEvent { artifactName } } } pageInfo { hasNextPage endCursor } } } }"""
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
EVIL = "\x1b[31mred\x1b]0;owned\x07 \u202e\u2028 [bold]x[/bold] :smile:"
HAPPENED = [
    ("ARTIFACT_ADDED", "churn"),
    ("ARTIFACT_ADDED", "topics"),
    ("ARTIFACT_MODIFIED", "topics"),
    ("BRANCH_CREATED", None),
    ("ARTIFACT_ADDED", "search/a"),
    ("ARTIFACT_REMOVED", "topics"),
    ("BRANCH_DELETED", None),
    ("MANIFEST_BROKEN", None),
    ("MANIFEST_REPAIRED", None),
    ("ARTIFACT_MODIFIED", "churn"),
]


def told(work: Work) -> list[dict[str, Any]]:
    """Every event of a project, as a client that pages hears of them, each with its cursor."""
    found: list[dict[str, Any]] = []
    after, more = None, True
    while more:
        page = work.server.ask(EVENTS, p=work.name, after=after)["project"]["events"]
        found += [{"cursor": edge["cursor"], **edge["node"]} for edge in page["edges"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    return found


def await_events(work: Work, least: int) -> list[dict[str, Any]]:
    return eventually(lambda: len(events := told(work)) >= least and events, seconds=30)


@pytest.fixture(scope="module")
def team(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project in which everything has happened that can happen but a forced push; HAPPENED after its creation."""
    work = new_project(shared_server)
    work.put("churn", type="model", object=announce(b"bytes"))
    work.put("topics", type="dataset", metadata={"rows": 7, "note": "x"})
    work.commit({"patch": {"name": "topics", "patch": {"rows": 8, "note": None}}})
    work.mutate("createBranch", project=work.name, name="next")
    work.put("search/a", type="model", branch="next")
    work.commit({"delete": "topics"})
    work.mutate("deleteBranch", project=work.name, name="next", expectedHead=work.head("next"))
    tree = clone(work.repository, tmp_path_factory.mktemp("team") / "tree")
    good = work.raw()
    push_file(tree, "artifacts.yml", b"churn: [\n")
    await_events(work, 9)
    push_file(tree, "artifacts.yml", good.replace(b"type: model", b"type: report"))
    await_events(work, 1 + len(HAPPENED))
    return work


@pytest.fixture(scope="module")
def since(team: Work) -> str:
    """The cursor of the first event of the team, which is that its branch was created."""
    cursor: str = told(team)[0]["cursor"]
    return cursor


@pytest.mark.parametrize(
    ("conditions", "heard"),
    [
        ([], HAPPENED),
        (["--branch", "next"], [HAPPENED[3], HAPPENED[4], HAPPENED[6]]),
        (["-b", "n?x*", "--kind", "artifact_added"], [HAPPENED[4]]),
        (["--artifact", "topics"], [HAPPENED[1], HAPPENED[2], HAPPENED[5]]),
        (["--artifact", "search/*"], [HAPPENED[4]]),
        (["--type", "dataset"], [HAPPENED[1], HAPPENED[2], HAPPENED[5]]),
        (["--type", "report", "--type", "dataset"], [HAPPENED[1], HAPPENED[2], HAPPENED[5], HAPPENED[9]]),
        (["--kind", "BRANCH_CREATED", "--kind", "branch_deleted"], [HAPPENED[3], HAPPENED[6]]),
        (["--kind", "manifest_broken", "--kind", "manifest_repaired"], [HAPPENED[7], HAPPENED[8]]),
        (["--object-state", "pending"], [HAPPENED[0], HAPPENED[9]]),
    ],
)
def test_events_that_pass_all_conditions_are_heard_and_no_others(
    conditions: list[str], heard: list[tuple[str, str | None]], team: Work, since: str
) -> None:
    words = ["--project", f"{team.name[:-1]}*", "--since", since, "--json", "-n", str(len(heard))]
    ran = call(team.server.url, "watch", *words, *conditions)
    assert [(one["kind"], one.get("artifactName")) for one in ran.lines] == heard
    assert (ran.code, ran.err) == (0, "")


def test_the_json_of_events_is_what_the_schema_answers_and_their_cursors(team: Work, since: str) -> None:
    ran = run(team.server.url, "watch", "--project", team.name, "--since", since, "--json", "-n", "8")
    assert ran.out.isascii()
    assert [(one["id"], one["cursor"]) for one in ran.lines] == [(one["id"], one["cursor"]) for one in told(team)[1:9]]
    modified, created, broken = ran.lines[2], ran.lines[3], ran.lines[7]
    common = {"cursor", "id", "kind", "projectName", "branchName", "commit", "sequence", "occurredAt", "actor"}
    assert set(modified) == common | {"artifactName", "change"}
    assert modified["change"] == {
        "kind": "MODIFIED",
        "name": "topics",
        "fields": [
            {"path": "/note", "before": "x", "after": None},
            {"path": "/rows", "before": 7, "after": 8},
        ],
        "before": {"entry": {"type": "dataset", "rows": 7, "note": "x"}},
        "after": {"entry": {"type": "dataset", "rows": 8}},
    }
    assert set(created) == common | {"previousHead"}
    assert created["previousHead"] is None
    assert set(broken) == common | {"problems"}
    assert broken["problems"][0]["line"] == 2


def test_people_get_a_line_an_event(team: Work, since: str) -> None:
    ran = run(team.server.url, "watch", "--project", team.name, "--since", since, "-n", str(len(HAPPENED)))
    lines = [line.split("  ", 1)[1] for line in ran.out.splitlines()]
    place = rf"{re.escape(team.name)} main  [0-9a-f]{{12}}"
    assert re.fullmatch(rf'ARTIFACT_ADDED     {place}  churn  Ada  \+ /type  "model"', lines[0])
    assert re.fullmatch(rf'ARTIFACT_MODIFIED  {place}  topics  Ada  - /note  "x", 1 more', lines[2])
    assert re.fullmatch(
        rf"BRANCH_DELETED     {re.escape(team.name)} next  [0-9a-f]{{12}}  was at [0-9a-f]{{12}}", lines[6]
    )
    assert re.fullmatch(rf"MANIFEST_BROKEN    {place}  Grace  line 2: This is not YAML.*", lines[7])
    assert re.fullmatch(rf"MANIFEST_REPAIRED  {place}  Grace", lines[8])


def test_colours_are_for_terminals(team: Work, since: str) -> None:
    words = ["watch", "--project", team.name, "--since", since, "-n", "3"]
    written = run_on_terminal(team.server.url, *words, columns=200)
    assert "\x1b[32mARTIFACT_ADDED" in written
    assert "\x1b[33mARTIFACT_MODIFIED" in written
    assert "\x1b" not in run(team.server.url, *words).out


def test_a_value_that_means_harm_is_shown_and_not_obeyed(work: Work, tmp_path: Path) -> None:
    (first,) = await_events(work, 1)
    tree = clone(work.repository, tmp_path / "tree")
    (tree / "artifacts.yml").write_text(json.dumps({"[red]x": {"type": EVIL}}))
    git("add", "artifacts.yml", at=tree)
    git("commit", "-qm", EVIL, "--author", f"{EVIL} <e@x>", at=tree)
    git("push", "-q", "origin", "HEAD:main", at=tree)
    words = ["watch", "--project", work.name, "--since", first["cursor"], "-n", "1"]
    for written in (
        run(work.server.url, *words).out,
        ESCAPES.sub("", run_on_terminal(work.server.url, *words, columns=300, NO_COLOR="1")),
    ):
        assert r"\x1b]0;owned\x07 \u202e\u2028" in written
        assert r"\u001b[31mred" in written
        assert "[bold]x[/bold] :smile:" in written
        assert all(character.isprintable() or character == "\n" for character in written)
    ran = run(work.server.url, *words, "--json")
    assert ran.out.isascii()
    assert ran.json["change"]["after"]["entry"]["type"] == EVIL
    handed = run(work.server.url, *words, "--exec", "cat")
    assert handed.out == ran.out


def test_an_event_is_told_when_it_happens(work: Work, tmp_path: Path) -> None:
    await_events(work, 1)
    with started(work.server.url, "watch", "--project", work.name, "--cursor-file", str(tmp_path / "at")) as program:
        eventually((tmp_path / "at").exists, seconds=30)
        for name in ("one", "two"):
            work.put(name)
            assert program.stdout
            assert name in program.stdout.readline()


def test_the_command_runs_once_an_event_in_order_with_the_event_on_its_input(
    team: Work, since: str, tmp_path: Path
) -> None:
    command = f"cat >> {tmp_path}/seen; echo done"
    words = ["--project", team.name, "--since", since, "-n", str(len(HAPPENED)), "--exec", command]
    ran = run(team.server.url, "watch", *words)
    assert (ran.code, ran.err, ran.out) == (0, "", "done\n" * len(HAPPENED))
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    assert [one["id"] for one in seen] == [one["id"] for one in told(team)[1:]]


def test_a_command_that_does_not_read_its_input_is_no_failure(work: Work) -> None:
    (first,) = await_events(work, 1)
    work.put("large", metadata={"text": "x" * 200_000})
    ran = run(work.server.url, "watch", "--since", first["cursor"], "--project", work.name, "-n", "1", "--exec", "true")
    assert (ran.code, ran.err) == (0, "")


def test_a_command_that_fails_ends_it_with_the_cursor_that_tells_its_event_again(
    team: Work, since: str, tmp_path: Path
) -> None:
    first, second, third = told(team)[1:4]
    words = ["watch", "--project", team.name, "--cursor-file", str(tmp_path / "at"), "--exec"]
    ran = run(team.server.url, *words, f"grep -q {first['id']}", "--since", since)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.splitlines() == [
        f"The command failed with status 1, at the event {second['id']}.",
        f"Resume with --since {first['cursor']}",
    ]
    ran = run(team.server.url, *words, f"grep -q {second['id']}")
    assert (ran.code, ran.err.splitlines()[0]) == (
        4,
        f"The command failed with status 1, at the event {third['id']}.",
    )


def test_a_command_that_fails_at_once_has_a_cursor_too(work: Work, tmp_path: Path) -> None:
    await_events(work, 1)
    words = ["watch", "--project", work.name, "--cursor-file", str(tmp_path / "at"), "--exec", "false"]
    with started(work.server.url, *words) as program:
        eventually((tmp_path / "at").exists, seconds=30)
        work.put("one")
        _, err = program.communicate(timeout=30)
    cursor = err.split()[-1]
    assert program.returncode == 4
    ran = run(work.server.url, "watch", "--project", work.name, "--since", cursor, "--json", "-n", "1")
    assert ran.json["artifactName"] == "one"


def test_ctrl_c_ends_it_quietly_with_the_cursor_of_the_last_event(team: Work, since: str, tmp_path: Path) -> None:
    last = told(team)[-1]["cursor"]
    words = ["watch", "--project", team.name, "--since", since, "--json", "--cursor-file", str(tmp_path / "at")]
    with started(team.server.url, *words) as program:
        eventually(lambda: (tmp_path / "at").exists() and last in (tmp_path / "at").read_text(), seconds=30)
        ran = interrupt(program)
    assert (ran.code, len(ran.lines), ran.err) == (130, len(HAPPENED), f"Resume with --since {last}\n")


def test_ctrl_c_before_any_event_has_a_cursor_too(work: Work, tmp_path: Path) -> None:
    await_events(work, 1)
    words = ["watch", "--project", work.name, "--cursor-file", str(tmp_path / "at")]
    with started(work.server.url, *words) as program:
        eventually((tmp_path / "at").exists, seconds=30)
        ran = interrupt(program)
    work.put("one")
    assert ran.err == f"Resume with --since {(tmp_path / 'at').read_text()}"
    assert "one" in run(work.server.url, "watch", "--project", work.name, "--since", ran.err.split()[-1], "-n", "1").out


def test_ctrl_c_while_a_command_runs_leaves_its_event_to_the_next_run(team: Work, since: str) -> None:
    with started(
        team.server.url, "watch", "--since", since, "--exec", "sleep 0.3; echo started; exec sleep 60"
    ) as program:
        assert program.stdout
        program.stdout.readline()
        ran = interrupt(program)
    assert (ran.code, ran.err) == (130, f"Resume with --since {since}\n")


@pytest.mark.parametrize("cursor", ["nonsense", "-nonsense", ""])
def test_a_cursor_the_server_does_not_know_ends_with_1_and_what_it_says(cursor: str, shared_server: Server) -> None:
    ran = run(shared_server.url, "watch", "--since", cursor)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("after: This is no cursor")
    assert "Resume" not in ran.err


def test_the_next_run_goes_on_where_the_cursor_file_says_and_not_where_it_was_told_to_begin(
    team: Work, since: str, tmp_path: Path
) -> None:
    file = tmp_path / "at"
    words = ["--project", team.name, "--since", since, "--cursor-file", str(file), "--json"]
    heard = [one for most in "235" for one in run(team.server.url, "watch", *words, "-n", most).lines]
    assert [one["id"] for one in heard] == [one["id"] for one in told(team)[1:]]
    assert file.read_text() == f"{heard[-1]['cursor']}\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_cursor_file_that_cannot_be_used_is_wrong_use(team: Work, since: str, tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")
    for file in (empty, binary, tmp_path, tmp_path / "no" / "folder"):
        words = ["--since", since, "--cursor-file", str(file), "-n", "1"]
        ran = run(team.server.url, "watch", *words)
        assert ran.code == 2
        assert "--cursor-file" in ran.err


def test_a_reader_that_stops_reading_ends_it_at_the_next_event_without_a_word(work: Work) -> None:
    (first,) = await_events(work, 1)
    command = " ".join((*PROGRAM, "watch", "--since", first["cursor"], "--project", work.name, "--json"))
    environment = {**os.environ, "ML_REGISTRY_SERVER": work.server.url}
    piped, numbers = ["sh", "-c", f"{command} | head -n 1"], count()
    with subprocess.Popen(piped, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        eventually(lambda: work.put(f"entry-{next(numbers)}") and program.poll() is not None, seconds=30)
        out, err = program.communicate()
    assert json.loads(out)["artifactName"] == "entry-0"
    assert err == b""


@contextmanager
def writing(work: Work) -> Iterator[list[str]]:
    """Somebody who commits all the time, whatever becomes of the server; the entries that were acknowledged."""
    done, stopped = list[str](), threading.Event()

    def write() -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            try:
                work.put(f"entry-{number}")
                done.append(f"entry-{number}")
            except (httpx.TransportError, json.JSONDecodeError, AssertionError):
                time.sleep(0.05)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield done
    finally:
        stopped.set()
        thread.join()


def await_more(acknowledged: list[str]) -> None:
    some = len(acknowledged) + 5
    eventually(lambda: len(acknowledged) >= some, seconds=30)


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again_costs_no_event_and_repeats_none(tmp_path: Path) -> None:
    port, var, seen = free_port(), tmp_path / "var", tmp_path / "seen"
    words = ["watch", "--cursor-file", str(tmp_path / "at"), "--exec", f"cat >> {seen}"]
    with ExitStack() as servers:
        server = servers.enter_context(running(var, "--no-demo", port=port))
        work = new_project(server)
        created = await_events(work, 1)
        tree = clone(work.repository, tmp_path / "tree")
        with started(server.url, *words) as program:
            eventually((tmp_path / "at").exists, seconds=30)
            with writing(work) as acknowledged:
                for number in range(5):
                    await_more(acknowledged)
                    server.stop(signal.SIGKILL)
                    push_file(tree, "README", b"%d" % number, branch=f"hand-{number}")
                    server = servers.enter_context(running(var, "--no-demo", port=port))
            work.put("last")
            eventually(lambda: '"last"' in seen.read_text(), seconds=30)
            ran = interrupt(program)
        events = told(work)[len(created) :]
    heard = [json.loads(line) for line in seen.read_text().splitlines()]
    assert [one["id"] for one in heard] == [one["id"] for one in events]
    assert {*acknowledged, "last"} <= {one["artifactName"] for one in heard if one["kind"] == "ARTIFACT_ADDED"}
    assert {f"hand-{number}" for number in range(5)} <= {one["branchName"] for one in heard}
    assert "Connected again." in ran.err
