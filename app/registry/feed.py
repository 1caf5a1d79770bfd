"""The newest events of this process, in the order of the journal: told once, followed by any number of subscribers.

One bounded buffer serves everybody. A subscriber is a place in it, so a slow one costs nothing and delays nobody; when
the buffer has moved past its place it is cut off and told so.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from app.registry.errors import TooSlowError
from app.registry.manifest import Entry
from app.registry.model import Event, EventKind, ObjectState
from app.registry.search import glob

SIZE = 10_000


Place = tuple[str, int, int]
"""What a cursor names: a record of the journal, a move in it and an event of that move, the last two from 0."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and its place."""

    place: Place
    event: Event


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to hear of; all conditions that are given must hold. Names may be globs."""

    project: str | None = None
    branch: str | None = None
    artifact: str | None = None
    types: Sequence[str] | None = None
    kinds: Sequence[EventKind] | None = None
    object_states: Sequence[ObjectState] | None = None

    def test(self) -> Callable[[Event], bool]:
        """The filter as a test of one event."""
        project, branch, artifact = glob(self.project), glob(self.branch), glob(self.artifact)

        def wanted(event: Event) -> bool:
            return (
                project(event.project.name)
                and branch(event.branch)
                and (self.artifact is None or (event.change is not None and artifact(event.change.name)))
                and (self.kinds is None or event.kind in self.kinds)
                and (self.types is None or any(entry.type in self.types for entry in _entries(event)))
                and (self.object_states is None or _object_state(event) in self.object_states)
            )

        return wanted


def _entries(event: Event) -> list[Entry]:
    change = event.change
    return [side.entry for side in (change.before, change.after) if side] if change else []


def _object_state(event: Event) -> ObjectState | None:
    """What Git says of the bytes an entry pins after the change."""
    after = event.change.after if event.change else None
    if after is None or after.entry.object is None:
        return None
    return ObjectState.PENDING if after.entry.object.pending else ObjectState.READY


class Feed:
    """The last `size` events, record by record. Lives on one event loop."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._told: deque[Told] = deque()
        self._numbers: dict[Place, int] = {}
        self._ends: dict[str, int] = {}
        """By record, how many events had been told with its last one; the oldest record first."""
        self._count = 0
        self._moved = asyncio.Event()
        self._closed = False

    def publish(self, record: str, told: Sequence[Told]) -> None:
        """Append what a record made known, which may be nothing, and wake everybody who waits for more."""
        for one in told:
            self._numbers[one.place] = self._count
            self._told.append(one)
            self._count += 1
        self._ends[record] = self._count
        while len(self._told) > self._size:
            del self._numbers[self._told.popleft().place]
        while self._ends and (len(self._ends) > self._size + 1 or next(iter(self._ends.values())) < self._oldest):
            del self._ends[next(iter(self._ends))]
        self._wake()

    def pass_over(self, record: str) -> None:
        """A record that nobody was told of. Who goes on from before it does not find its place here any more."""
        self._told.clear()
        self._numbers.clear()
        self._ends = {record: self._count}
        self._wake()

    def close(self) -> None:
        """End every stream, for a server that stops."""
        self._closed = True
        self._wake()

    @property
    def now(self) -> int:
        """Where to go on for what has not been told yet."""
        return self._count

    @property
    def newest(self) -> str | None:
        """The record that was told last."""
        return next(reversed(self._ends), None)

    def behind(self, place: Place) -> int | None:
        """Where to go on after an event, None when it is not in the buffer."""
        number = self._numbers.get(place)
        return None if number is None else number + 1

    def end(self, record: str) -> int | None:
        """Where to go on after the last event of a record, None when that is not in the buffer."""
        return self._ends.get(record)

    async def more(self) -> None:
        """Wait until something was told."""
        await self._moved.wait()  # this very event: a new one takes its place when it is set

    async def follow(
        self, number: int, place: Place | None, wanted: Callable[[Event], bool]
    ) -> AsyncGenerator[Told, None]:
        """From there on, just after `place`, without an end. Raises TooSlowError for a follower that is overtaken."""
        while not self._closed:
            if number < self._oldest:
                raise TooSlowError(place)
            if number == self._count:
                await self.more()
                continue
            told = self._told[number - self._oldest]
            number, place = number + 1, told.place
            if wanted(told.event):
                yield told

    @property
    def _oldest(self) -> int:
        return self._count - len(self._told)

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
