"""What waits to be sent: each group in its order, one message of a group at a time, and how far all is accepted.

A message is offered until it is accepted, and nothing of its group overtakes it. So whoever receives a group first
hears of everything in order, whatever was refused, repeated, or sent by others at the same time.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias

from app.stores.ports import BATCH_BYTES, BATCH_MESSAGES, Message

ENOUGH_BYTES = 4 * 1024 * 1024
ENOUGH_RECORDS = 1000
Source: TypeAlias = Iterator[tuple[str, Sequence[Message]]]
"""Records, oldest first, and the messages each gives, which may be none."""


class Backlog:
    """Messages by group, and the records they are of. `newest` is the last record that was taken in."""

    def __init__(self, newest: str | None = None) -> None:
        self.newest = newest
        self._groups: dict[str, deque[tuple[str, Message]]] = {}  # whose turn is next comes first
        self._waiting: dict[str, int] = {}  # by record, oldest first, how many of its messages are not accepted yet
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __len__(self) -> int:
        """How many messages are not accepted yet."""
        return sum(self._waiting.values())

    def fill(self, source: Source) -> bool:
        """Take records in until enough wait; tells whether the source may have more."""
        while self._bytes < ENOUGH_BYTES and len(self._waiting) < ENOUGH_RECORDS:
            found = next(source, None)
            if found is None:
                return False
            self._add(*found)
        return True

    def batch(self) -> list[Message]:
        """What to send next: of some groups the oldest message each, as many as a queue takes together."""
        batch: list[Message] = []
        room = BATCH_BYTES
        for group in self._groups.values():
            _, message = group[0]
            if len(batch) == BATCH_MESSAGES or (batch and message.size > room):
                break
            batch.append(message)
            room -= message.size
        return batch

    def settle(self, batch: Sequence[Message], accepted: Collection[str]) -> None:
        """What became of a batch: groups whose message was accepted go behind the others, so the refused come first."""
        for message in batch:
            if message.id not in accepted:
                continue
            group = self._groups.pop(message.group)
            record, _ = group.popleft()
            self._waiting[record] -= 1
            self._bytes -= message.size
            if group:
                self._groups[message.group] = group

    def done(self) -> str | None:
        """The newest record up to which all is accepted, and forgets those; None when there is no new one."""
        newest = None
        while self._waiting and not next(iter(self._waiting.values())):
            newest = next(iter(self._waiting))
            del self._waiting[newest]
        return newest

    def _add(self, record: str, messages: Sequence[Message]) -> None:
        self.newest = record
        self._waiting[record] = len(messages)
        for message in messages:
            self._groups.setdefault(message.group, deque()).append((record, message))
            self._bytes += message.size
