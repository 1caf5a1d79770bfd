"""How long the stores take to answer: plain numbers, counted as it happens and read when somebody asks."""

from bisect import bisect_left
from collections.abc import Callable
from threading import Lock
from time import perf_counter
from typing import TypeAlias

from app.stores.errors import (
    CacheUnavailableError,
    ObjectsUnavailableError,
    QueueUnavailableError,
    RemoteUnavailableError,
    RepositoryCorruptError,
)

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: where one bucket ends and the next begins."""
FAULTS = (
    CacheUnavailableError,
    ObjectsUnavailableError,
    QueueUnavailableError,
    RemoteUnavailableError,
    RepositoryCorruptError,
    OSError,
)
"""What counts as a failure of a store. That something is not there, or was moved by others, is an answer."""
Span: TypeAlias = Callable[[BaseException | None], None]
"""Ends what a tracer began, and says what it ended in."""


class Histogram:
    """How many took how long. Any thread may add."""

    __slots__ = ("_lock", "buckets", "seconds")

    def __init__(self) -> None:
        self._lock = Lock()
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        with self._lock:
            self.buckets[bisect_left(BOUNDS, seconds)] += 1
            self.seconds += seconds


class Timings:
    """A histogram for each store and operation, and for each failure; `trace` begins a span, where that is wanted."""

    def __init__(self, trace: Callable[[str, str], Span | None] | None = None) -> None:
        self._trace = trace
        self._lock = Lock()
        self.took: dict[tuple[str, str], Histogram] = {}
        self.failed: dict[tuple[str, str], int] = {}
        self.failing: set[str] = set()
        """The stores whose last answer was none."""

    def of(self, store: str, operation: str) -> "Timing":
        """Measures the time of a block."""
        return Timing(self, store, operation, self._trace and self._trace(store, operation))

    def add(self, key: tuple[str, str], seconds: float, *, failed: bool) -> None:
        """One more."""
        histogram = self.took.get(key)
        if histogram is None or failed:
            with self._lock:
                histogram = self.took.setdefault(key, Histogram())
                if failed:
                    self.failed[key] = self.failed.get(key, 0) + 1
                    self.failing.add(key[0])
        histogram.add(seconds)
        if self.failing and not failed:
            self.failing.discard(key[0])


class Timing:
    """One measurement. A class, since a generator costs several times as much."""

    __slots__ = ("_began", "_key", "_span", "_timings")

    def __init__(self, timings: Timings, store: str, operation: str, span: Span | None) -> None:
        self._timings = timings
        self._key = store, operation
        self._span = span
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._timings.add(self._key, perf_counter() - self._began, failed=isinstance(error, FAULTS))
        if self._span:
            self._span(error)
