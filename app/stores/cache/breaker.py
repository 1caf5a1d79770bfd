"""Holds exchanges with the cache's server to the time they may take, and stops asking one that does not answer."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import RedisError, ResponseError

from app.stores.errors import CacheUnavailableError
from app.stores.timings import Timings

AWAY = (RedisError, OSError, EOFError, RuntimeError)
"""What is raised where there is no answer; the last by uvloop, of a connection that was closed at once."""
NONSENSE = (ValueError, TypeError, AttributeError, LookupError)
"""What redis-py raises where an answer is not what was asked for."""


class Breaker:
    """Remembers that the server does not answer, and lets one caller every `pause` seconds find out again.

    An exchange takes at most `timeout` seconds; `timings` says how long they take.
    """

    def __init__(self, timeout: float, pause: float, timings: Timings) -> None:
        self._timings = timings
        self._timeout = timeout
        self._pause = pause
        self._retry_at: float | None = None

    @asynccontextmanager
    async def exchange(self, operation: str = "read") -> AsyncIterator[None]:
        """One exchange with the server. Raises CacheUnavailableError, whatever goes wrong."""
        self._enter()
        with self._timings.of("cache", operation):
            try:
                async with asyncio.timeout(self._timeout):
                    yield
            except ResponseError as error:
                self._retry_at = None
                raise refused(error) from error
            except AWAY as error:
                self._retry_at = time.monotonic() + self._pause
                raise CacheUnavailableError(f"The cache did not answer: {error or type(error).__name__}") from error
            except NONSENSE as error:
                raise senseless(error) from error
        self._retry_at = None

    def _enter(self) -> None:
        if self._retry_at is None:
            return
        now = time.monotonic()
        if now < self._retry_at:
            raise CacheUnavailableError("The cache did not answer a moment ago; it is asked again soon.")
        self._retry_at = now + self._pause


def refused(error: ResponseError) -> CacheUnavailableError:
    """The server answered that it will not."""
    return CacheUnavailableError(f"The cache refused: {error}")


def senseless(error: Exception) -> CacheUnavailableError:
    """The server answered what nobody can make sense of."""
    return CacheUnavailableError(f"The cache answered something else than was asked: {error}")
