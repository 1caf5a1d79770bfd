"""Sending again what was sent: the same messages, read from the journal anew, for listeners that lost them."""

import asyncio
from dataclasses import dataclass

from app.registry.backlog import Backlog, Source
from app.registry.envelope import message_of
from app.registry.journal import Journal
from app.registry.offload import Offload
from app.registry.publishing import pause
from app.registry.telling import Derivation
from app.stores.errors import QueueUnavailableError
from app.stores.ports import Queue

TRIES = 10  # in a row, which takes about a quarter of a minute


@dataclass(frozen=True, slots=True)
class Wanted:
    """The events of a project, or of one branch, from the first of a commit on; of its id the first digits will do."""

    project: str
    since: str
    branch: str | None = None


async def replay(journal: Journal, derivation: Derivation, queue: Queue, offload: Offload, wanted: Wanted) -> int:
    """Send them; answers how many, which is 0 when no event names the commit. The published position stays.

    Raises QueueUnavailableError when the queue is away for long: sending all of it once more does no harm.
    """
    backlog, source = Backlog(), _messages(journal, derivation, wanted)
    sent = failures = 0
    while await offload(backlog.fill, source) or backlog:
        batch = backlog.batch()
        try:
            accepted = await queue.send(batch) if batch else frozenset[str]()
        except QueueUnavailableError:
            failures += 1
            if failures == TRIES:
                raise
            await asyncio.sleep(pause(failures))
            continue
        backlog.settle(batch, accepted)
        backlog.done()
        sent, failures = sent + len(accepted), 0
    return sent


def _messages(journal: Journal, derivation: Derivation, wanted: Wanted) -> Source:
    """Record by record what is wanted, nothing of those before the commit."""
    begun = False
    for record in journal.behind(None):
        messages = []
        for told in derivation.told(record, wanted.project):
            if wanted.branch not in (None, told.event.branch):
                continue
            begun = begun or told.event.commit.startswith(wanted.since)
            if begun:
                messages.append(message_of(told.event))
        yield record.oid, messages
