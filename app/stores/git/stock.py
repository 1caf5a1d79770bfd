"""The stock git client, where it is on the PATH: it reads long histories much faster. Nothing needs it."""

import logging
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from app.stores.git.commits import LATEST
from app.stores.ports import Trace, TreeEntry

LOOK_EVERY = 0.2  # seconds
NOTHING = Trace((), (), (), {})
log = logging.getLogger("ml_registry.git")

# Whatever the configuration says, the answer has to be the same.
_PLAIN = ("-c", "log.showRoot=true", "-c", "log.showSignature=false", "-c", "log.follow=false")
_GRAPH = ("rev-list", "--stdin", "--ignore-missing", "--parents", "--timestamp")
_DIFFS = (
    *("log", "--stdin", "--ignore-missing", "--full-history", "--diff-merges=separate", "--format=%H"),
    *(
        "--raw",
        "--ignore-submodules=none",
        "-z",
        "-t",
        "--no-abbrev",
        "--no-renames",
        "--no-ext-diff",
        "--no-show-signature",
        "--no-mailmap",
        "--",
    ),
)


@dataclass(frozen=True, slots=True)
class StockGit:
    """The client at `path`."""

    path: str

    def trace(self, repository: Path, path: str, head: str, tips: Collection[str]) -> Generator[Trace, None, bool]:
        """See Repository.trace. Returns whether git succeeded; when not, the log says why.

        The commits come first, so that whoever takes them is done when what stands at the path is known, too.
        """
        wanted = "\n".join([head, *(f"^{tip}" for tip in tips), ""]).encode()
        with ExitStack() as stack:
            command = [self.path, f"--git-dir={repository}", *_PLAIN]
            try:
                diffs = _Running(stack, [*command, *_DIFFS, path], wanted)
                graph = _Running(stack, [*command, *_GRAPH], wanted)
            except OSError as error:
                log.warning("git cannot be started (%s); the history is read without it", error)
                return False
            while graph.runs():
                yield NOTHING
            if graph.failed():
                return False
            yield Trace(*_columns(graph.output()), {})
            while diffs.runs():
                yield NOTHING
            if diffs.failed():
                return False
            yield Trace((), (), (), dict(_entries(iter(diffs.output().split("\0")), path)))
            return True


def find() -> StockGit | None:
    """The client on the PATH, or None."""
    path = shutil.which("git")
    return StockGit(path) if path else None


def _columns(text: str) -> tuple[list[str], list[str], list[int]]:
    """Ids, parents and times from lines of a time, an id and its parents."""
    oids, parents, times = [], [], []
    for line in text.splitlines():
        time, _, rest = line.partition(" ")
        oids.append(rest[:40])
        parents.append(rest[41:])
        times.append(min(int(time), LATEST))
    return oids, parents, times


def _entries(tokens: Iterator[str], path: str) -> Iterator[tuple[str, TreeEntry | None]]:
    """What stands at the path, for each commit that is shown: its id, then raw lines, each followed by its path."""
    commit, found = "", None
    for token in tokens:
        raw = token.removeprefix("\n")
        if not raw.startswith(":"):
            if commit:
                yield commit, found
            commit, found = raw, None
        elif next(tokens) == path:
            _, mode, _, oid, _ = raw.split(" ")
            found = TreeEntry(int(mode, 8), oid) if int(mode, 8) else found


class _Running:
    """One git command, which says all it says into a file, so that it waits for nobody; ended with the stack."""

    def __init__(self, stack: ExitStack, command: list[str], given: bytes) -> None:
        asked, self._output = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))  # noqa: SIM115 - so it is closed
        asked.write(given)
        asked.seek(0)
        reading, writing = os.pipe()
        self._errors = stack.enter_context(os.fdopen(reading, "rb", buffering=0))
        self._poll = select.poll()
        self._poll.register(self._errors)
        self._said = b""
        with os.fdopen(writing, "wb") as errors:
            self._process = stack.enter_context(
                subprocess.Popen(  # noqa: S603 - the git found on the PATH, with arguments of our own
                    command, stdin=asked, stdout=self._output, stderr=errors, env=plain_environment()
                )
            )
        stack.callback(self._process.kill)

    def runs(self) -> bool:
        """Whether it is still at work; takes a moment to find out that it is, and none to find out that it is not."""
        if not self._poll.poll(LOOK_EVERY * 1000):
            return True
        if said := self._errors.read(4096):
            self._said += said
            return True
        self._process.wait()  # it has let go of its end of the pipe
        return False

    def failed(self) -> bool:
        """Whether it ended otherwise than it should; the log then says how."""
        if self._process.returncode == 0:
            return False
        said = self._said.decode("utf-8", "replace").strip()
        log.warning("git failed (%s): %s", self._process.returncode, said[:1000])
        return True

    def output(self) -> str:
        """All it said, once it does not run any more."""
        self._output.seek(0)
        return self._output.read().decode("utf-8", "surrogateescape")


def plain_environment() -> dict[str, str]:
    """The process's own, without what would lead git elsewhere or make it see other commits than are there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **kept,
        "LC_ALL": "C",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": os.devnull,
        "GIT_LITERAL_PATHSPECS": "1",
    }
