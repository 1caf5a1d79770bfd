"""What is remembered in the process, within a bound."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")
MEMORY_BYTES = 64 * 1024 * 1024
LEAST = 2_000
"""Bytes that even the smallest value counts for, since what is kept of it takes as many."""


class Memory(Generic[T]):
    """Values by their names: those asked for longest ago go first once all add up to more than `limit` bytes."""

    def __init__(self, limit: int = MEMORY_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[int, T]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> T | None:
        """The value, or None when it is not remembered."""
        try:  # no lock: what another thread takes away between these steps was not remembered
            self._kept.move_to_end(key)
            return self._kept[key][1]
        except KeyError:
            return None

    def put(self, key: Hashable, size: int, value: T) -> None:
        """Remember a value that takes `size` bytes."""
        size = max(size, LEAST)
        with self._lock:
            replaced = self._kept.pop(key, None)
            self._kept[key] = (size, value)
            self._size += size - (replaced[0] if replaced else 0)
            while self._size > self._limit and len(self._kept) > 1:
                _, (freed, _) = self._kept.popitem(last=False)
                self._size -= freed
