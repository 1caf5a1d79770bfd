"""The events of this process, in order: published once, followed by any number of subscribers.

One bounded buffer serves everybody. A subscriber is a place in it, so a slow one costs nothing and delays nobody; when
the buffer has moved past its place it is cut off and told so.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from app.registry.errors import CursorExpiredError
from app.registry.manifest import Entry
from app.registry.model import Event, EventKind, ObjectState
from app.registry.search import glob

SIZE = 10_000
Place = tuple[str, str, str, int]


def place_of(event: Event) -> Place:
    """What a cursor names: the project, branch, commit, and place within the commit."""
    return (event.project.name, event.branch, event.commit, event.sequence)


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
    """The last `size` events. Lives on one event loop."""

    def __init__(self, size: int = SIZE) -> None:
        self._events: deque[Event] = deque(maxlen=size)
        self._published = 0
        self._moved = asyncio.Event()
        self._closed = False

    def publish(self, events: Sequence[Event]) -> None:
        """Append events and wake everybody who waits for more."""
        self._events.extend(events)
        self._published += len(events)
        self._wake()

    def close(self) -> None:
        """End every stream, for a server that stops."""
        self._closed = True
        self._wake()

    def since(self, after: Place | None) -> list[Event]:
        """The events just after a place, or all that are kept. Raises CursorExpiredError."""
        start = self._number_after(after) if after else self._oldest
        return list(islice(self._events, start - self._oldest, None))

    async def follow(self, after: Place | None, wanted: Callable[[Event], bool]) -> AsyncGenerator[Event, None]:
        """From now on, or from just after a place. Raises CursorExpiredError when the place is no longer known."""
        number = self._number_after(after) if after else self._published
        while not self._closed:
            if number < self._oldest:
                raise CursorExpiredError(
                    "This subscriber was too slow and was cut off. Subscribe again after the last cursor you handled; "
                    "if that has expired too, read the artifacts anew and subscribe without a cursor."
                )
            if number == self._published:
                await self._moved.wait()  # this very event: a new one takes its place when it is set
                continue
            event = self._events[number - self._oldest]
            number += 1
            if wanted(event):
                yield event

    @property
    def _oldest(self) -> int:
        return self._published - len(self._events)

    def _number_after(self, place: Place) -> int:
        # The earliest, should a branch have gone away from a commit and come back to it: rather twice than never.
        for number, event in enumerate(self._events, self._oldest + 1):
            if place_of(event) == place:
                return number
        raise CursorExpiredError(
            "The place this cursor names is no longer known here. Read the artifacts anew, then subscribe without one."
        )

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
