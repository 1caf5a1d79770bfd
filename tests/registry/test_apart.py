"""Work in other processes: done, done again when a process is killed over it, and gone with the server."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.registry.apart import Apart, WorkLostError
from app.registry.manifest import read
from app.registry.manifests import LARGE
from tests.support.domain import Desk
from tests.support.server import ROOT, runs

SERVER = """
import os, time
from app.registry.apart import Apart
apart = Apart()
print(apart(os.getpid), flush=True)
time.sleep(60)
"""


@pytest.fixture
def apart() -> Iterator[Apart]:
    apart = Apart(2)
    yield apart
    apart.close()


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not runs(pid)


def test_work_is_done_elsewhere_by_a_process_that_is_used_again(apart: Apart) -> None:
    first, second = apart(os.getpid), apart(os.getpid)
    assert first == second != os.getpid()


def test_as_many_work_at_once_as_there_are_processes(apart: Apart) -> None:
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(apart, [time.sleep] * 2, [0.3] * 2))  # so that both are there
        started = time.monotonic()
        for done in [threads.submit(apart, time.sleep, 0.5) for _ in range(3)]:
            done.result()
    assert 1.0 <= time.monotonic() - started < 1.5  # the third waits for one of the two


def test_what_a_killed_process_was_doing_is_done_again(apart: Apart) -> None:
    killed = apart(os.getpid)
    threading.Timer(0.3, os.kill, (killed, signal.SIGKILL)).start()
    apart(time.sleep, 1)
    assert gone(killed)
    assert apart(os.getpid) != killed


def test_a_process_killed_between_two_pieces_of_work_is_replaced(apart: Apart) -> None:
    killed = apart(os.getpid)
    os.kill(killed, signal.SIGKILL)
    assert apart(os.getpid) != killed


def test_work_over_which_every_process_is_lost_is_given_up_and_others_are_served(apart: Apart) -> None:
    with pytest.raises(WorkLostError, match="given to 3 processes"):
        apart(signal.raise_signal, signal.SIGKILL)
    assert apart(len, "four") == 4


def test_processes_end_when_they_are_not_needed_any_more() -> None:
    apart = Apart()
    pid = apart(os.getpid)
    apart.close()
    assert gone(pid)


def test_processes_end_with_a_server_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as server:
        assert server.stdout
        pid = int(server.stdout.readline())
        assert runs(pid)
        server.kill()
    assert gone(pid)


async def test_a_large_manifest_is_served_as_any_other(desk: Desk) -> None:
    text = "".join(
        f"e{number}: {{type: model, labels: {{n: {number}}}, é: [1, 1.0, true]}}\n" for number in range(2000)
    )
    assert len(text) > LARGE
    desk.push(text)
    await desk.follow()
    branch = await desk.branch()
    served = await desk.registry.manifests.get(desk.project, branch.at.blob)
    assert served == read(text.encode())


async def test_a_large_manifest_that_is_broken_is_refused_with_its_line(desk: Desk) -> None:
    text = "".join(f"e{number}: {{type: model, rows: {number}}}\n" for number in range(4000))
    desk.push(text + "e7: {}\n")
    await desk.follow()
    (problem,) = (await desk.branch()).at.problems
    assert (problem.code, problem.line) == ("DUPLICATE_KEY", 4001)
