"""How often a caller may do something: a token bucket each, for as many callers as are worth remembering."""

from collections.abc import Hashable
from dataclasses import dataclass

from app.registry.errors import RateLimitedError

CALLERS = 10_000
ROUNDING = 1e-9


class Rate:
    """`at_once` of something after a pause, then `per_second`. Forgets who came longest ago beyond so many callers."""

    def __init__(self, what: str, *, per_second: float, at_once: int, callers: int = CALLERS) -> None:
        self._what = what
        self._per_second = per_second
        self._at_once = at_once
        self._callers = callers
        self._left: dict[Hashable, tuple[float, float]] = {}  # how much, and when; who came last is last

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._left)

    def take(self, who: Hashable, now: float, count: int = 1) -> None:
        """Take `count` at the moment `now`, in seconds of any clock. Raises RateLimitedError, and then takes nothing.

        More than go at once are taken when nothing else was for long enough, and paid for by waiting after.
        """
        left, before = self._left.pop(who, (self._at_once, now))
        left = min(self._at_once, left + max(0.0, now - before) * self._per_second)
        missing = min(count, self._at_once) - left
        self._left[who] = (left if missing > ROUNDING else left - count), now
        if len(self._left) > self._callers:
            del self._left[next(iter(self._left))]
        if missing > ROUNDING:
            raise RateLimitedError(self._what, self._per_second, missing / self._per_second)

    def pay(self, who: Hashable, now: float, count: int) -> None:
        """Take what nobody knew of before: it is not refused, and paid for by waiting after."""
        left, before = self._left.get(who, (self._at_once, now))
        self._left[who] = left - count, before


@dataclass(frozen=True, slots=True)
class Rates:
    """What callers are held to: mutations, each field of an operation, and presigned requests."""

    mutations: Rate
    presigns: Rate
