"""The journal: where the branches of every project moved, in one order for all, as commits of the catalogue.

Each record is a commit on the branch `journal` whose message lists moves: project, branch, from where, to where. What a
branch did between two looks is one move; what that means, commit by commit, `events.derive` tells. A record is written
after what it tells of, by whichever server sees it first: what a crash left unwritten is seen and written by the next.
Every so many records the whole state is written too, so that nobody has to read back further.
"""

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock

from app.registry.catalogue import COMMITTER, signature
from app.registry.errors import CursorExpiredError
from app.stores.errors import (
    CommitNotFoundError,
    RefMovedError,
    RepositoryBusyError,
    RepositoryCorruptError,
    StoreError,
)
from app.stores.ports import CommitRecord, GitHost, NewCommit, Repository

BRANCH = "journal"
STATE = "positions.json"
EVERY = 1000
"""Records, after which the whole state is written again."""
TRIES = 50
KEPT = 20_000
"""Records that stay in memory."""
WHOLE = "Registry-State: written"
GONE = (
    "The place this cursor names is not in this registry's journal. Read the artifacts anew, then subscribe without a "
    "cursor; what is still known of the past stands in Project.events, from its start."
)
Positions = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Moved:
    """A branch that went from one commit to another; None where it was not there, or is not there any more."""

    project: str
    branch: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """What was seen to have moved at one time. `oid` is the commit in the catalogue."""

    oid: str
    moves: tuple[Moved, ...]


class Journal:
    """Reads and continues the journal of a catalogue. Blocking; any thread may call."""

    def __init__(self, repository: Repository, git: GitHost) -> None:
        self._repository = repository
        self._git = git
        self._writing = Lock()  # held while others are waited for; the other never is
        self._lock = Lock()
        self._began = 0.0
        self._heard: dict[str, float] = {}  # when the last record of a project was read, as time.monotonic has it
        self._records: deque[Record] = deque()
        self._parent: str | None = None  # of the oldest record in memory
        self._tip: str | None = None
        self._begun = False
        self._positions: Positions = {}
        self._since = 0  # records after the last that has the whole state

    @property
    def tip(self) -> str | None:
        """The newest record this process has read; None before the first."""
        return self._tip

    def position(self, project: str) -> Mapping[str, str]:
        """Where the branches of a project stood at the tip."""
        return self._positions.get(project, {})

    def refresh(self) -> list[Record]:
        """The records that others wrote since the last look, oldest first."""
        with self._lock:
            return self._refresh()

    def record(self, projects: Iterable[str], own: Sequence[Moved] = ()) -> list[Record]:
        """Write down where the branches of these projects went; answers every record that is new to this process.

        `own` are moves this server made itself, in their order: they are told of even when others moved on since.
        Raises RepositoryBusyError when others write all the time. A project that cannot be read is left for later.
        """
        with self._writing:
            new: list[Record] = []
            for _ in range(TRIES):
                with self._lock:
                    new += self._refresh()
                    tip = self._tip
                    made, positions = self._following(own)
                moves = [*made, *(move for project in sorted(projects) for move in self._moves(project, positions))]
                if not moves:
                    return new
                try:
                    written = self._write(tip, moves)
                except (RefMovedError, RepositoryBusyError):
                    continue
                with self._lock:
                    if self._tip == tip:  # nobody has read it meanwhile
                        self._take([written])
                return [*new, written]
            raise RepositoryBusyError("The journal is being written by others all the time.")

    def at(self, oid: str) -> Record:
        """One record. Raises CursorExpiredError."""
        with self._lock:
            known = next((record for record in reversed(self._records) if record.oid == oid), None)
        if known:
            return known
        try:
            return Record(oid, moves_of(self._repository.commit(oid)))
        except (CommitNotFoundError, RepositoryCorruptError) as error:
            raise CursorExpiredError(GONE) from error

    def after(self, oid: str | None) -> Iterator[Record]:
        """The records after one, oldest first; all there are for None. Raises CursorExpiredError."""
        with self._lock:
            records = self._from_memory(oid)
            if records is None and self._refresh():  # another server may have written it a moment ago
                records = self._from_memory(oid)
            if records is None:
                older = list(self._walk(self._parent, oid))
                records = [*reversed(older), *self._records]
                if len(records) <= KEPT:
                    self._records.extendleft(older)
                    self._parent = oid
        return iter(records)

    def behind(self, oid: str | None) -> Iterator[Record]:
        """The same as far as Git has them now, for readers who may be far behind: few are in memory at a time.

        Raises CursorExpiredError when the first is asked for.
        """
        for end in reversed(self._waypoints(self._repository.head(BRANCH), oid)):
            yield from reversed(list(self._walk(end, oid)))
            oid = end

    def _waypoints(self, start: str | None, stop: str | None) -> list[str]:
        """One of every so many records, from `start` back to `stop`. Raises CursorExpiredError where that is not."""
        found: list[str] = []
        number, last = 0, start
        known = [stop] if stop else []
        for part in self._repository.trace(STATE, start, known, known) if start and start != stop else ():
            for oid, parents in zip(part.oids, part.parents, strict=True):
                if oid == start:
                    found, number = [], 0  # it is all said again
                if number % EVERY == 0:
                    found.append(oid)
                number, last = number + 1, parents or None
        if last != stop:
            raise CursorExpiredError(GONE)
        return found

    def _from_memory(self, oid: str | None) -> list[Record] | None:
        if oid is not None:
            for place, record in enumerate(reversed(self._records)):
                if record.oid == oid:
                    return list(islice(self._records, len(self._records) - place, None))
        if oid == self._parent:
            return list(self._records)
        return None

    def _walk(self, start: str | None, stop: str | None) -> Iterator[Record]:
        """Records from `start` back to just before `stop`. Raises CursorExpiredError where there is no `stop`."""
        oid = start
        while oid is not None and oid != stop:
            commit = self._repository.commit(oid)
            yield Record(oid, moves_of(commit))
            oid = next(iter(commit.parents), None)
        if oid != stop:
            raise CursorExpiredError(GONE)

    def _refresh(self) -> list[Record]:
        head = self._repository.head(BRANCH)
        if not self._begun:
            self._begin(head)
        if head is None or head == self._tip:
            return []
        try:
            new = list(self._walk(head, self._tip))[::-1]
        except CursorExpiredError:
            self._begin(head)  # another catalogue was put in its place
            return []
        self._take(new)
        return new

    def _begin(self, head: str | None) -> None:
        """Read back to where the whole state was written last."""
        found: list[Record] = []
        self._began = time.monotonic()
        oid = head
        while oid is not None:
            commit = self._repository.commit(oid)
            if is_checkpoint(commit):
                break
            found.append(Record(oid, moves_of(commit)))
            oid = next(iter(commit.parents), None)
        self._positions = self._state(oid) if oid else {}
        self._records.clear()
        self._parent = self._tip = oid
        self._since = len(found)
        self._begun = True
        self._take(found[::-1])

    def _state(self, oid: str) -> Positions:
        file = self._repository.file(oid, STATE)
        positions: Positions = json.loads(self._repository.blob(file.oid, 1 << 30)) if file else {}
        return positions

    def _take(self, records: Iterable[Record]) -> None:
        now = time.monotonic()
        for record in records:
            self._heard.update((move.project, now) for move in record.moves)
            self._tip = record.oid
            self._records.append(record)
            self._positions = moved(self._positions, record.moves)
        while len(self._records) > KEPT:
            self._parent = self._records.popleft().oid

    def _following(self, own: Sequence[Moved]) -> tuple[list[Moved], Positions]:
        """Those of our own moves that begin where the journal, or the one before, ends; and where they lead."""
        made, positions = [], self._positions
        for move in own:
            if positions.get(move.project, {}).get(move.branch) == move.before:
                made.append(move)
                positions = moved(positions, [move])
        return made, positions

    def _moves(self, project: str, positions: Positions) -> list[Moved]:
        """How the branches of a project stand now beside the tip; read after the tip, so never older than it.

        What is here of a repository elsewhere may be older than what another server wrote of it into the journal: then
        it waits for the next look there.
        """
        try:
            repository = self._git.repository(project)
            if repository.listed() <= self._heard.get(project, self._began):
                return []
            now = repository.refs().heads
        except StoreError:
            return []
        was = positions.get(project, {})
        names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
        return [Moved(project, name, was.get(name), now.get(name)) for name in names]

    def _write(self, tip: str | None, moves: list[Moved]) -> Record:
        whole = tip is None or self._since + 1 >= EVERY
        files = {STATE: json.dumps(moved(self._positions, moves), indent=0).encode()} if whole else {}
        who = signature(COMMITTER)
        commit = NewCommit(files, message_of(moves, whole=whole), who, who)
        (oid,) = self._repository.write_commits(BRANCH, tip, [commit])
        self._since = 0 if whole else self._since + 1
        return Record(oid, tuple(moves))


def message_of(moves: Iterable[Moved], *, whole: bool = False) -> str:
    """The message of a record: a headline, a line a move, and a trailer where the whole state is written too."""
    lines = [json.dumps([move.project, move.branch, move.before, move.after], ensure_ascii=False) for move in moves]
    headline = f"{len(lines)} {'branch' if len(lines) == 1 else 'branches'} moved"
    return "\n".join([headline, "", *lines, *(["", WHOLE] if whole else []), ""])


def moves_of(commit: CommitRecord) -> tuple[Moved, ...]:
    """The moves a record's message lists. Raises RepositoryCorruptError for a commit that is no record."""
    lines = [line for line in commit.message.split("\n") if line.startswith("[")]
    try:
        return tuple(Moved(*json.loads(line)) for line in lines)
    except (ValueError, TypeError) as error:
        raise RepositoryCorruptError(
            f"The commit {commit.oid} on {BRANCH} of the catalogue is no record of moves. Take it away with git."
        ) from error


def is_checkpoint(commit: CommitRecord) -> bool:
    """Whether the whole state stands at a record."""
    return WHOLE in commit.message.splitlines()


def moved(positions: Positions, moves: Iterable[Moved]) -> Positions:
    """The positions after some moves."""
    after = dict(positions)
    for move in moves:
        branches = after[move.project] = dict(after.get(move.project, {}))
        if move.after is None:
            branches.pop(move.branch, None)
        else:
            branches[move.branch] = move.after
    return after
