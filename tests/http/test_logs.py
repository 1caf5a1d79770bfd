"""Lines of the log that nobody can forge, and that hide what has the shape of a secret."""

import json
import logging
import time

import pytest

from app.http.engine import Engine
from app.http.record import Record
from app.logs import HIDDEN, JsonLines, PlainLines, without_secrets
from app.registry.trail import About, Trail, follow
from app.resolvers.limits import Limits
from app.schema.build import build_schema

HOSTILE = "a\r\nb\x1b[31m\x7f\x9b\u2028\u202e\ud800 é"


def record(message: str, **fields: str) -> logging.LogRecord:
    made = logging.LogRecord("ml_registry.x", logging.WARNING, __file__, 1, "%s", (message,), None)
    made.fields = fields
    return made


@pytest.mark.parametrize("lines", [JsonLines(), PlainLines()])
def test_whatever_is_said_is_one_line_of_what_a_terminal_simply_shows(lines: logging.Formatter) -> None:
    line = lines.format(record(HOSTILE, where=HOSTILE))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_json_says_exactly_what_was_meant() -> None:
    said = json.loads(JsonLines().format(record(HOSTILE, where=HOSTILE)))
    assert (said["message"], said["where"]) == (HOSTILE, HOSTILE)


def test_a_value_cannot_be_taken_for_another_field() -> None:
    line = PlainLines().format(record("done", what="x outcome=done"))
    assert line.endswith('what="x outcome=done"')


@pytest.mark.parametrize("lines", [JsonLines(), PlainLines()])
def test_a_traceback_cannot_begin_a_line_of_the_log(lines: logging.Formatter) -> None:
    made = record("failed")
    fault = ValueError("x\n2026-01-01T00:00:00.000Z INFO    ml_registry.audit  forged\x1b[2J")
    made.exc_info = (ValueError, fault, None)
    first, *below = lines.format(made).splitlines()
    assert first.isprintable()
    assert all(line.startswith("    ") and line.isprintable() for line in below)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://ada:hunter2@git.example.org/x.git", f"at https://{HIDDEN}git.example.org/x.git"),
        ("at redis://:p%2Fw@host:6379/0", f"at redis://{HIDDEN}host:6379/0"),
        ("token mlr_" + "a" * 43, f"token {HIDDEN}"),
        ("Authorization: Bearer abcdef123456", f"Authorization: {HIDDEN}"),
        ("jwt eyJhbGciOiJ9.eyJzdWIi.c2ln", f"jwt {HIDDEN}"),
        ("half of one: eyJhbGciOiJ9", f"half of one: {HIDDEN}"),
        ("NAME_mlr_" + "a" * 43, f"NAME_{HIDDEN}"),
        ("/x?X-Amz-Signature=abc&a=1", f"/x?{HIDDEN}&a=1"),
        ("mail ada@example.org about basic things", "mail ada@example.org about basic things"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text", ["eyJ-" * 16_000, "eyJ." * 16_000, "://" * 20_000, "basic\t\t\t\t" * 7000, "?token=" * 9000]
)
def test_secrets_are_looked_for_in_one_pass(text: str) -> None:
    began = time.perf_counter()
    without_secrets(text)
    assert time.perf_counter() - began < 0.5


def test_an_operation_that_goes_by_a_secret_is_hidden_in_the_log_and_the_counts() -> None:
    engine = Engine(build_schema(), Limits())
    assert engine.prepare("query mlr_" + "a" * 43 + " { __typename }").about.name == HIDDEN


async def test_of_a_path_as_long_as_a_head_little_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("ml_registry.requests").setLevel(logging.INFO)
    made = Record()
    made.request(Trail("r-1"), "GET", "/git/" + "x" * 60_000, 404, 0.1)
    made._lines._write()  # noqa: SLF001 - what it would do in a moment
    said = json.loads(capsys.readouterr().err)
    assert len(said["path"]) == 1000
    assert made.requests == {("git", 404): 1}


async def test_a_line_of_a_request_is_json_whoever_asks_for_whatever(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("ml_registry.requests").setLevel(logging.INFO)
    trail = Trail("r-1", caller=f'"{HOSTILE}', about=About("query", "N" * 9999, "0" * 64), code="INTERNAL")
    follow(trail)
    made = Record()
    made.request(trail, "GET", f'/x{HOSTILE[:-3]}"\\ mlr_{"a" * 43}', 500, 0.0123)
    made._lines._write()  # noqa: SLF001 - what it would do in a moment
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert line.isascii()
    assert said["caller"] == f'"{HOSTILE}'
    assert (said["ms"], said["status"], said["code"], len(said["operation"])) == (12.3, 500, "INTERNAL", 64)
    assert "mlr_" not in line
