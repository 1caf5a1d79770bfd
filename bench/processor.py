"""How much of the processors a server uses, from /proc: its own process, those below it, and those that ended."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
LOOK = 0.1  # seconds
BUSY = 0.3  # of a processor
PATIENCE = 30  # seconds


def seconds_of(pids: Iterable[int]) -> float:
    """Seconds of processor time that these processes and all below them have used so far."""
    below: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        fields = text.rpartition(")")[2].split()  # from the third field on, the state: proc(5)
        pid = int(stat.parent.name)
        below.setdefault(int(fields[1]), []).append(pid)
        ticks[pid] = sum(map(int, fields[11:15]))
    wanted, used = list(pids), 0
    while wanted:
        pid = wanted.pop()
        used += ticks.get(pid, 0)
        wanted += below.get(pid, [])
    return used * TICK


def settle(pids: Iterable[int]) -> None:
    """Wait until these processes have nothing left to do."""
    pids, end = list(pids), time.monotonic() + PATIENCE
    while time.monotonic() < end:
        before = seconds_of(pids)
        time.sleep(LOOK)
        if seconds_of(pids) - before < BUSY * LOOK:
            return
    raise AssertionError(f"{PATIENCE} seconds after the load the server is still busy")
