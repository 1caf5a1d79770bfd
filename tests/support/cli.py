"""The real program, run as a user would: with its output in a pipe, or on a terminal."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from app.cli import cli
from tests.support.server import ROOT

PROGRAM = (sys.executable, "-m", "app.cli")
UNSET = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")


@dataclass(frozen=True)
class Ran:
    """What became of a run."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document it is."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(server: str, *words: str, **environment: str) -> Ran:
    """The program in a pipe, with every warning an error."""
    done = subprocess.run(
        [*PROGRAM, *words], env=_environment(server, environment), capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(server: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The program in a pipe, running for the time of a block, which is a minute at most."""
    with subprocess.Popen(
        [*PROGRAM, *words], env=_environment(server, {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        end = threading.Timer(60, program.kill)
        end.start()
        try:
            yield program
        finally:
            end.cancel()
            program.kill()


def interrupt(program: subprocess.Popen[str]) -> Ran:
    """What became of a program that got a Ctrl-C."""
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=30)
    return Ran(program.returncode, out, err)


def call(server: str, *words: str) -> Ran:
    """The same in this process, for tests that have many cases."""
    done = CliRunner().invoke(cli, words, env={"ML_REGISTRY_SERVER": server})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Ran(done.exit_code, done.stdout, done.stderr)


def run_on_terminal(server: str, *words: str, columns: int = 120, **environment: str) -> str:
    """All the program writes on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    variables = _environment(server, {"TERM": "xterm-256color", **environment})
    with subprocess.Popen([*PROGRAM, *words], env=variables, stdin=theirs, stdout=theirs, stderr=theirs) as program:
        os.close(theirs)
        written = _read_all(ours)
        program.wait(30)
    os.close(ours)
    assert "Traceback" not in written, written
    return written.replace("\r\n", "\n")


def _read_all(terminal: int) -> str:
    """What is written until the program ends, which Linux tells by an error."""
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:
        pass
    return b"".join(parts).decode()


def _environment(server: str, given: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
    ours = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "ML_REGISTRY_SERVER": server}
    return {**inherited, **ours, **given}
