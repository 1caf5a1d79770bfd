"""How answers look: on terminals wide and narrow, in pipes, and when what they hold means harm."""

import json
import os
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from app.remote.screen import printable
from tests.support.api import Work, eventually, new_project
from tests.support.cli import PROGRAM, call, run, run_on_terminal
from tests.support.git import PERSON, clone, git
from tests.support.server import Server

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
GREEN, RED = "\x1b[32m", "\x1b[31m"
EVIL = "\x1b[31mred\x1b]0;owned\x07 \u202e [bold]x[/bold] :smile:"


@pytest.fixture(scope="module")
def evil(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project whose names, values, message and author mean harm, as somebody pushed them."""
    work = new_project(shared_server)
    tree = clone(work.repository, tmp_path_factory.mktemp("evil") / "tree")
    entry = {"type": EVIL, "description": f"{EVIL}\n{EVIL}", "labels": {EVIL: EVIL}, "note": {EVIL: EVIL}}
    (tree / "artifacts.yml").write_text(json.dumps({"[red]x": entry}))
    git("add", "artifacts.yml", at=tree)
    git("-c", f"user.name={PERSON['GIT_AUTHOR_NAME']}", "commit", "-qm", EVIL, "--author", f"{EVIL} <e@x>", at=tree)
    git("push", "-q", "origin", "HEAD:main", at=tree)
    eventually(lambda: work.artifact("[red]x"))
    return work


@given(st.text())
def test_what_is_printable_stays_and_nothing_else_reaches_a_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert text != shown or text.isprintable()


@pytest.mark.parametrize(
    "words",
    [["ls"], ["ls", "--branches"], ["show", "[red]x"], ["log", "-p"], ["log", "[red]x"], ["diff", "main~1", "main"]],
)
def test_a_value_that_means_harm_is_shown_and_not_obeyed(words: list[str], evil: Work) -> None:
    command, *rest = words
    for written in (
        run(evil.server.url, command, evil.name, *rest).out,
        ESCAPES.sub("", run_on_terminal(evil.server.url, command, evil.name, *rest, columns=200, NO_COLOR="1")),
    ):
        assert r"\x1b[31mred" in written or r"\u001b[31mred" in written or r"\e[31mred" in written
        assert "[bold]x[/bold] :smile:" in re.sub(r"\s+", " ", written)
        assert all(character.isprintable() or character == "\n" for character in written)


def test_the_json_of_a_value_that_means_harm_is_the_value(evil: Work) -> None:
    ran = run(evil.server.url, "show", evil.name, "[red]x", "--json")
    assert ran.out.isascii()
    assert "\x1b" not in ran.out
    assert ran.json["metadata"] == {"note": {EVIL: EVIL}}


def test_changes_have_colours_on_a_terminal_and_none_in_a_pipe(work: Work) -> None:
    work.put("entry", metadata={"old": 1, "same": 1})
    work.commit({"patch": {"name": "entry", "patch": {"old": None, "same": 2, "new": 1}}})
    written = run_on_terminal(work.server.url, "diff", work.name, "main~1", "main")
    assert f"{GREEN}/new" in written
    assert f"{RED}/old" in written
    assert re.search(rf"/same.*{re.escape(RED)}1\x1b.* → .*{re.escape(GREEN)}2\x1b", written)
    assert "\x1b" not in run(work.server.url, "diff", work.name, "main~1", "main").out


def test_no_color_takes_the_colours_away_and_leaves_the_signs(shared_server: Server) -> None:
    written = run_on_terminal(shared_server.url, "diff", "demo", "main", "staging", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", written)
    assert "+ /description" in ESCAPES.sub("", written)


def test_a_wide_terminal_gets_a_table(shared_server: Server) -> None:
    lines = ESCAPES.sub("", run_on_terminal(shared_server.url, "ls", "demo", columns=120)).splitlines()
    assert lines[0].split() == ["artifact", "type", "data", "object", "id", "labels", "size", "state"]
    assert set(lines[1]) == {"─"}
    assert lines[2].split() == ["classification-output", "dataset", "456"]


@pytest.mark.parametrize(
    "words", [["ls"], ["ls", "demo", "--branches"], ["log", "demo", "-p"], ["show", "demo", "topic-training-data"]]
)
def test_a_narrow_terminal_gets_lines_that_fit(words: list[str], shared_server: Server) -> None:
    lines = ESCAPES.sub("", run_on_terminal(shared_server.url, *words, columns=40)).splitlines()
    assert max(map(cell_len, lines)) <= 40
    assert not any("─" in line for line in lines)


def test_a_long_id_is_cut_on_a_terminal_and_whole_in_a_pipe(work: Work) -> None:
    identity = "sha256:" + "ab" * 32
    work.put("entry", dataObjectId=identity)
    assert "sha256:abababababababab…" in run_on_terminal(work.server.url, "ls", work.name)
    assert identity in run(work.server.url, "ls", work.name).out


def test_a_long_value_stays_on_its_line_in_a_pipe(work: Work) -> None:
    work.put("entry", description="word " * 100)
    assert f'      + /description  "{"word " * 100}"\n' in run(work.server.url, "log", work.name, "entry").out


def test_every_table_begins_empty(shared_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "─" in call(shared_server.url, "ls", "demo").out
    assert re.search(r"topic-training-data.* 123", call(shared_server.url, "ls", "demo", "--name", "topic*").out)


def test_a_terminal_that_is_not_unicode_gets_escapes(work: Work) -> None:
    work.put("名前", metadata={"n": 1})
    work.put("名前", metadata={"n": 2})
    ran = run(work.server.url, "log", work.name, "名前", PYTHONIOENCODING="ascii")
    assert ran.code == 0
    assert "  ~ \\u540d\\u524d\n      ~ /n  1 \\u2192 2\n" in ran.out


def test_a_reader_that_stops_reading_ends_the_program_without_a_word(work: Work) -> None:
    work.commit(*({"put": {"name": f"entry-{number}", "description": "x" * 2000}} for number in range(100)))
    command = " ".join((*PROGRAM, "ls", work.name, "--json"))
    environment = {**os.environ, "ML_REGISTRY_SERVER": work.server.url}
    done = subprocess.run(["sh", "-c", f"{command} | head -n 1"], env=environment, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"[\n", b"")
