"""The queue inside one process, for tests: it keeps what it accepts, in order, and drops repeats as SQS does."""

from collections.abc import Sequence

from app.stores.ports import Message


class MemoryQueue:
    """A Queue in a list; it never fails."""

    def __init__(self) -> None:
        self.delivered: list[Message] = []
        self._seen: set[str] = set()

    async def send(self, messages: Sequence[Message]) -> frozenset[str]:
        """See Queue. A repeat is accepted and not delivered again."""
        self.delivered += [message for message in messages if message.id not in self._seen]
        self._seen.update(message.id for message in messages)
        return frozenset(message.id for message in messages)

    async def close(self) -> None:
        """Nothing is held open."""
