"""Whether the pointers of a project may have moved, told without asking the server."""

import asyncio
import time
from contextlib import suppress

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from app.stores.cache.breaker import AWAY, NONSENSE

TRUST_SECONDS = 0.1
"""For this long after a ping was sent, its answer says that everything until then was heard."""
BEAT_SECONDS = 0.025
"""From one answer to the next ping."""
QUIET_SECONDS = 1.0
"""Nobody who has not asked for this long is waiting for an answer: the pings stop."""
LOST_SECONDS = 1.0
"""A connection that does not answer for this long is dead, whether it knows or not."""
PROJECTS = 10_000
"""How many projects have a number of their own."""


class Moves:
    """A number for each project that is another one once somebody said on `channel` that its pointers moved.

    Silence proves nothing, so pings go the way of the messages. Redis answers in order: with the answer to a ping
    everything has come that was said before it. No number is ever given twice, and all are new once something may have
    been missed.
    """

    def __init__(self, redis: Redis, channel: str, pause: float) -> None:
        self._redis = redis
        self._channel = channel
        self._pause = pause
        self._numbers: dict[str, int] = {}
        self._last = self._others = 0
        self._asked_at = self._known_until = float("-inf")
        self._wanted = asyncio.Event()
        self._ping = b""
        self._answered = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    def version(self, project: str) -> int | None:
        """The number of a project, or None where a move may have been missed: it will be known soon.

        From an event loop. Whoever asks first after QUIET_SECONDS is told None.
        """
        self._asked_at = now = time.monotonic()
        if now < self._known_until:
            return self._numbers.get(project, self._others)
        self._wanted.set()
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        return None

    def moved(self, project: str) -> None:
        """Somebody moved a pointer of a project."""
        if len(self._numbers) >= PROJECTS:
            self._renew()
        self._last += 1
        self._numbers[project] = self._last

    async def close(self) -> None:
        """Listen no more."""
        if self._listening:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    def _renew(self) -> None:
        self._numbers.clear()
        self._last += 1
        self._others = self._last

    async def _listen(self) -> None:
        while await self._asked():
            try:
                async with self._redis.pubsub() as channel, asyncio.TaskGroup() as group:
                    async with asyncio.timeout(LOST_SECONDS):
                        await channel.subscribe(self._channel)
                    group.create_task(self._beat(channel))
                    await self._hear(channel)
            except* (*AWAY, *NONSENSE):
                pass  # versions end by themselves
            await asyncio.sleep(self._pause)

    async def _hear(self, channel: PubSub) -> None:
        async for message in channel.listen():
            if message["type"] == "message":
                self.moved(message["data"].decode())
            elif message["type"] == "subscribe":  # what was said before was said to nobody
                self._renew()
            elif message["data"] == self._ping:
                self._answered.set()

    async def _beat(self, channel: PubSub) -> None:
        while await self._asked():
            sent = time.monotonic()
            self._ping = repr(sent).encode()
            self._answered.clear()
            async with asyncio.timeout(LOST_SECONDS):
                await channel.ping(self._ping)
                await self._answered.wait()
            self._known_until = sent + TRUST_SECONDS
            await asyncio.sleep(BEAT_SECONDS)

    async def _asked(self) -> bool:
        """True once somebody wants to know."""
        if time.monotonic() > self._asked_at + QUIET_SECONDS:
            self._wanted.clear()
        return await self._wanted.wait()
