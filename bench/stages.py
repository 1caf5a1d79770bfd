"""The registry, watched: what its process spends processor time on, by stage; run and asked by `reads.py`.

Arguments: the file that the counts go to whenever SIGUSR1 comes, and those of `ml-registry`. The clock that interrupts
it runs while the process works and at no other time, so that neither waiting nor a busy machine counts. Python hears
of it with the next step of its own: what the loop does in C before that, such as receiving, counts for that step.
"""

import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

RATE = 400  # looks in a second of processor time
PATIENCE = 10  # seconds
STAGES = {
    "the socket: sending": r"_Joined\.write$|writelines$",
    "the cache": r"app/stores/cache/|/redis/",
    "fields and their resolvers": r"^<plan>|app/http/plans/|app/resolvers/|app/schema/",
    "manifests, branches, versions": r"app/registry/",
    "kept answers": r"app/http/kept",
    "the answer as JSON": r"encode_json$",
    "the log": r"app/(observability|logs|http/record)",
    "the endpoint: body, headers, document": r"app/http/(?!peers)|app/security|app/main",
    "uvicorn: receiving, parsing, heads": r"/uvicorn/|app/http/peers|/starlette/",
    "the loop: tasks": r"asyncio/runners",
}
"""A look belongs to the stage of the innermost function that is in one: its file and its name."""

Shares = dict[str, float]


class Watch:
    """How many looks found each stage."""

    def __init__(self, told: Path) -> None:
        self._told = told
        self._found: Counter[str] = Counter()
        self._known: dict[CodeType, str | None] = {}

    def look(self, _number: int, frame: FrameType | None) -> None:
        """Find out which stage it is."""
        while frame:
            code = frame.f_code
            if code not in self._known:
                self._known[code] = _stage(f"{code.co_filename} {code.co_qualname}")
            if stage := self._known[code]:
                self._found[stage] += 1
                return
            frame = frame.f_back

    def tell(self, _number: int, _frame: FrameType | None) -> None:
        """Write down what was found since the last time."""
        made = self._told.with_suffix(".new")
        made.write_text(json.dumps(self._found))
        made.replace(self._told)
        self._found.clear()


def _stage(function: str) -> str | None:
    return next((name for name, pattern in STAGES.items() if re.search(pattern, function)), None)


def shares(pid: int, told: Path, load: Callable[[], object]) -> Shares:
    """The share of each stage in what a watched process does during a load."""
    _ask(pid, told)
    load()
    found = _ask(pid, told)
    return {name: round(found.get(name, 0) / sum(found.values()), 3) for name in STAGES}


def _ask(pid: int, told: Path) -> dict[str, int]:
    told.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    end = time.monotonic() + PATIENCE
    while not told.exists():
        assert time.monotonic() < end, "the watched server says nothing"
        time.sleep(0.01)
    counts: dict[str, int] = json.loads(told.read_text())
    return counts


def main() -> None:
    from app.cli import main as registry  # noqa: PLC0415  whoever only asks does not need it

    watch = Watch(Path(sys.argv[1]))
    signal.signal(signal.SIGPROF, watch.look)
    signal.signal(signal.SIGUSR1, watch.tell)
    signal.setitimer(signal.ITIMER_PROF, 1 / RATE, 1 / RATE)
    sys.argv = ["ml-registry", *sys.argv[2:]]
    registry()


if __name__ == "__main__":
    main()
