"""Telling: what moved is written into the journal, and what the journal says is told to whoever listens.

The journal decides what happened and in which order; every server that reads it tells the same events with the same
places. So a listener may go on at another server, or at this one after a restart, just after the last event it handled.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

from app.registry.background import Background
from app.registry.catalogue import Catalogue
from app.registry.errors import CursorExpiredError
from app.registry.events import Move, derive
from app.registry.feed import Feed, Place, Told
from app.registry.journal import Journal, Moved, Record
from app.registry.manifests import Manifests
from app.registry.model import Event, Project
from app.registry.offload import Offload
from app.stores.errors import CacheUnavailableError, CommitNotFoundError, RepositoryNotFoundError, StoreError
from app.stores.ports import Cache, GitHost

TOGETHER = 100
"""Records that are derived in one visit to Git."""
FINISH_SECONDS = 1.5
IN_TIME_SECONDS = 2.0
PAUSE = 0.05
"""Seconds between two records, while writers keep this server busy."""
LAST = sys.maxsize
log = logging.getLogger("ml_registry.telling")


class Derivation:
    """From records to events. Blocking."""

    def __init__(self, git: GitHost, manifests: Manifests, catalogue: Catalogue) -> None:
        self._git = git
        self._manifests = manifests
        self._catalogue = catalogue

    def told(self, record: Record, project: str | None = None) -> list[Told]:
        """What a record made known, of one project or of all. What Git has lost since is left out, and said."""
        return [
            Told((record.oid, number, place), event)
            for number, moved in enumerate(record.moves)
            if project in (None, moved.project)
            for place, event in enumerate(self._events(moved))
        ]

    def _events(self, moved: Moved) -> list[Event]:
        project = self._catalogue.look_up(moved.project)
        if project is None:
            log.warning(
                "what happened to %s %s is not told: the catalogue has no such project", moved.project, moved.branch
            )
            return []
        try:
            return derive(self._git, self._manifests, Move(project, moved.branch, moved.before, moved.after))
        except (CommitNotFoundError, RepositoryNotFoundError) as error:
            log.warning("what happened to %s %s cannot be told any more: %s", moved.project, moved.branch, error)
            return []


class Telling:
    """Keeps the journal and follows it."""

    def __init__(self, journal: Journal, derivation: Derivation, feed: Feed, cache: Cache, offload: Offload) -> None:
        self._journal = journal
        self._derivation = derivation
        self._feed = feed
        self._cache = cache
        self._offload = offload
        self._moved: set[str] = set()
        self._own: list[Moved] = []
        self._turn = asyncio.Lock()
        self._soon: asyncio.Task[None] | None = None
        self._begun = False
        self._said = ""
        self._background = Background()
        self._followers = 0

    @property
    def now(self) -> Place | None:
        """The place behind everything that was told; None while nothing was."""
        return (self._feed.newest, LAST, LAST) if self._feed.newest else None

    def knows(self, project: Project, heads: Mapping[str, str]) -> bool:
        """Whether the journal has the branches of a project at these commits."""
        return self._journal.position(project.name) == heads

    async def tell(self, *projects: str) -> set[str]:
        """Write down where the branches of projects went, and tell of it, together with whatever else waits.

        Without projects, tell of what other servers wrote. Answers the projects it told of. What could not be written
        or told stays for the next time, and the log says why: what is served does not wait for it.
        """
        self._moved.update(projects)
        async with self._turn:
            moved, own, self._moved, self._own = self._moved, self._own, set(), []
            try:
                await self._begin()
                records = await self._offload.abroad(self._record, moved, own)
            except StoreError as error:
                self._moved, self._own = self._moved | moved, _joined([*own, *self._own])
                self._say(error)
                return set()
            except BaseException:
                self._moved, self._own = self._moved | moved, [*own, *self._own]
                raise
            self._said = ""
            told_of = await self._publish(records)
        if (moved or own) and told_of:
            with suppress(CacheUnavailableError):  # the others look every second anyway
                await self._cache.wake()
        return told_of

    async def tell_in_time(self, *projects: str) -> None:
        """The same for callers who wait for what is served: they wait for what is told no longer than a moment."""
        await self._background.wait(self.tell(*projects), IN_TIME_SECONDS)

    def _say(self, error: StoreError) -> None:
        """What goes wrong goes wrong every second: it is said when it is new."""
        if str(error) != self._said:
            log.warning("what moved is not told yet: %s", error)
        self._said = str(error)

    async def _begin(self) -> None:
        """At first only see where the journal stands."""
        if not self._begun:
            await self._offload(self._journal.refresh)
            if self._journal.tip:
                self._feed.publish(self._journal.tip, [])
            self._begun = True

    async def _publish(self, records: Iterable[Record]) -> set[str]:
        """Tell of records up to one that cannot be told yet: leaving it out would be a gap.

        While nobody listens nothing is derived. Who comes later with a place before is told from Git, as ever.
        """
        told_of: set[str] = set()
        for record in records:
            try:
                told = await self._offload(self._derivation.told, record) if self._followers else None
            except StoreError as error:
                log.warning("what happened since %s is not told yet: %s", self._feed.newest, error)
                break
            if told is None:
                self._feed.pass_over(record.oid)
            else:
                self._feed.publish(record.oid, told)
            told_of.update(move.project for move in record.moves)
        return told_of

    def _record(self, moved: Collection[str], own: Sequence[Moved]) -> list[Record]:
        """Blocking. Write down what moved; answers every record that is not told yet, whoever wrote it."""
        self._journal.record(moved, own)
        try:
            return list(self._journal.after(self._feed.newest))
        except CursorExpiredError:  # another catalogue was put in its place
            return [Record(self._journal.tip, ())] if self._journal.tip else []

    def tell_soon(self, move: Moved, *, elsewhere: bool) -> None:
        """Tell of a move this server made, while whoever asked goes on.

        Should others have moved the branch, too, the refs say so: of a repository elsewhere after the next look there.
        """
        if not elsewhere:
            self._moved.add(move.project)
        self._own.append(move)
        if self._soon is None or self._soon.done():
            self._soon = self._background.begin(self._tell_what_moved())

    async def _tell_what_moved(self) -> None:
        while self._moved or self._own:
            await self.tell()
            if self._said:
                return  # until the next look at Git
            await asyncio.sleep(PAUSE)  # what moves meanwhile becomes one record, and the disk is for the writers

    async def finish(self) -> None:
        """Wait until everything is told, for a server that stops, but not for a catalogue that does not answer."""
        await self._background.finish(FINISH_SECONDS)

    async def follow(self, after: Place | None, wanted: Callable[[Event], bool]) -> AsyncGenerator[Told, None]:
        """Events from now on, or from just after a place.

        Raises CursorExpiredError for one that is not known, and TooSlowError when the feed has moved past the follower.
        """
        self._followers += 1
        try:
            async with aclosing(self._follow(after, wanted)) as events:
                async for one in events:
                    yield one
        finally:
            self._followers -= 1

    async def _follow(self, after: Place | None, wanted: Callable[[Event], bool]) -> AsyncGenerator[Told, None]:
        number = self._feed.now if after is None else self._feed.behind(after)
        while number is None and after is not None:
            begun = after[0]
            async for record, told in self._past(after, None):
                for one in filter(lambda one: wanted(one.event), told):
                    yield one
                after = (record, LAST, LAST)
            number = self._feed.end(after[0])
            if number is None and after[0] == begun:
                await self._feed.more()  # the newest record is known, and about to be told
        async for one in self._feed.follow(number or 0, after or self.now, wanted):
            yield one

    async def page(self, project: Project, after: Place | None, count: int) -> list[Told]:
        """Up to `count` events of a project, oldest first, from just after a place or from the beginning."""
        found: list[Told] = []
        async for _, told in self._past(after, project.name):
            found += told
            if len(found) >= count:
                break
        return found[:count]

    async def _past(self, after: Place | None, project: str | None) -> AsyncGenerator[tuple[str, list[Told]], None]:
        """Record by record what is behind a place, up to the newest; first what is left of the place's own record."""
        records = await self._offload(self._records, after)
        for start in range(0, len(records), TOGETHER):
            together = records[start : start + TOGETHER]
            for record, told in zip(together, await self._offload(self._told, together, project), strict=True):
                yield record.oid, [one for one in told if after is None or record.oid != after[0] or one.place > after]

    def _records(self, after: Place | None) -> list[Record]:
        first = [self._journal.at(after[0])] if after else []
        return [*first, *self._journal.after(after[0] if after else None)]

    def _told(self, records: Sequence[Record], project: str | None) -> list[list[Told]]:
        return [self._derivation.told(record, project) for record in records]


def _joined(moves: Iterable[Moved]) -> list[Moved]:
    """The same with as few moves as say it, so that they stay few however long nothing can be told."""
    joined: list[Moved] = []
    last: dict[tuple[str, str], int] = {}
    for move in moves:
        branch = move.project, move.branch
        number = last.get(branch)
        if number is not None and joined[number].after == move.before:
            joined[number] = replace(joined[number], after=move.after)
        else:
            last[branch] = len(joined)
            joined.append(move)
    return joined
