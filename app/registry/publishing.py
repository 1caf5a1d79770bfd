"""Publishing: what the journal tells is sent to a queue, in order, and counts as sent once the queue has accepted it.

How far everything was accepted stands in the catalogue: the branch `published` points at that record of the journal. It
is moved after the queue's answer and by compare-and-swap, so a crash costs repeats and never an event. Without that
branch everything the journal holds is sent.
"""

import logging
import random
import secrets
import time

from app.registry.backlog import Backlog, Source
from app.registry.envelope import message_of
from app.registry.errors import CursorExpiredError
from app.registry.journal import Journal
from app.registry.offload import Offload
from app.registry.telling import Derivation
from app.stores.errors import CacheUnavailableError, RefMovedError, RepositoryBusyError, StoreError
from app.stores.ports import Cache, Queue, Repository

BRANCH = "published"
LEASE = "publish"
LEASE_SECONDS = 3.0
MOVE_SECONDS = 0.25
LONGEST_PAUSE = 30.0
SHORTEST_PAUSE = 0.02
log = logging.getLogger("ml_registry.publishing")


class Publisher:
    """Sends what waits, a batch at a time, while this process is the one to do it.

    The election is by a lease in the cache, and a courtesy: two who believe they are elected send the same messages,
    each of them in order, and whoever moves the position second begins again where the first one put it.
    """

    def __init__(
        self,
        journal: Journal,
        derivation: Derivation,
        catalogue: Repository,
        queue: Queue,
        cache: Cache,
        offload: Offload,
    ) -> None:
        self._journal = journal
        self._derivation = derivation
        self._catalogue = catalogue
        self._queue = queue
        self._cache = cache
        self._offload = offload
        self._holder = secrets.token_hex(8)
        self._position: str | None = None
        self._backlog: Backlog | None = None  # begins behind the position
        self._source: Source | None = None  # what is to be read into it next
        self._accepted: str | None = None  # up to here all is, and the position is still before it
        self._moved_at = float("-inf")
        self._waiting_since: float | None = None

    @property
    def waiting(self) -> int:
        """How many events this process has read that the queue has not accepted. There may be more in the journal."""
        return len(self._backlog) if self._backlog is not None else 0

    def waits(self, now: float | None = None) -> float:
        """For how many seconds there has always been something to send; by time.monotonic."""
        return (now or time.monotonic()) - self._waiting_since if self._waiting_since is not None else 0.0

    async def step(self) -> bool:
        """Send one batch; tells whether there may be more to send now.

        Raises StoreError, QueueUnavailableError above all: what was not accepted waits for the next step.
        """
        if not await self._elected():
            self._backlog = self._waiting_since = None
            return False
        self._waiting_since = self._waiting_since or time.monotonic()
        backlog = await self._offload.abroad(self._filled)
        if batch := backlog.batch():
            backlog.settle(batch, await self._queue.send(batch))
        more = await self._offload.abroad(self._moved, backlog)
        self._waiting_since = self._waiting_since if more else None
        return more

    async def _elected(self) -> bool:
        try:
            return await self._cache.lease(LEASE, self._holder, LEASE_SECONDS)
        except CacheUnavailableError:
            return True  # that several publish costs repeats, that nobody does would cost the events

    def _filled(self) -> Backlog:
        """The backlog with what follows in the journal, as far as there is room and it can be read."""
        if self._backlog is None:
            self._position = self._catalogue.head(BRANCH)
            self._backlog, self._source, self._accepted = Backlog(self._position), None, None
        source, self._source = self._source or told(self._journal, self._derivation, self._backlog.newest), None
        try:
            if self._backlog.fill(source):
                self._source = source
        except CursorExpiredError:
            log.warning("%s of the catalogue is at no record of the journal: all of it is sent again", BRANCH)
            self._backlog, self._source = Backlog(), told(self._journal, self._derivation, None)
        except StoreError:
            if not self._backlog:
                raise  # what was read before it goes out first
        return self._backlog

    def _moved(self, backlog: Backlog) -> bool:
        """Move the position up to where all is accepted; tells whether there may be more to send.

        While there is, not at every step: where the catalogue lies elsewhere a move is a push. When somebody else moved
        it, the next step begins where that one put it.
        """
        self._accepted = backlog.done() or self._accepted
        more = bool(backlog) or self._source is not None
        if self._accepted and not (more and time.monotonic() - self._moved_at < MOVE_SECONDS):
            try:
                self._catalogue.move_branch(BRANCH, self._position, self._accepted)
            except (RefMovedError, RepositoryBusyError):
                self._backlog = None
                return True
            self._position, self._accepted, self._moved_at = self._accepted, None, time.monotonic()
        return more


def told(journal: Journal, derivation: Derivation, after: str | None) -> Source:
    """What the journal tells after a record, as messages. Raises CursorExpiredError."""
    for record in journal.behind(after):
        yield record.oid, [message_of(one.event) for one in derivation.told(record)]


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row, never twice the same: whoever waits must not come at once."""
    longest: float = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(failures, 30))
    return longest * random.uniform(0.5, 1)  # noqa: S311 (spreads load, guards nothing)
