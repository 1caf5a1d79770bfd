"""Whether the pointers of a project may have moved, told without asking the server."""

import asyncio
import logging
import time
from threading import Event, Lock, Thread

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry

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
log = logging.getLogger("ml_registry.cache")


class Moves:
    """A number for each project that is another one once somebody said on `channel` that its pointers moved.

    Silence proves nothing, so pings go the way of the messages. Redis answers in order: with the answer to a ping
    everything has come that was said before it. No number is ever given twice, and all are new once something may have
    been missed.

    A thread listens: an event loop that is busy with answers would hear too late that nothing moved, have to ask,
    and be the busier for it.
    """

    def __init__(self, url: str, channel: str, *, timeout: float, pause: float) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=LOST_SECONDS,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0, supported_errors=()),  # or a subscription that failed would connect again
            protocol=2,
        )
        self._channel = channel
        self._pause = pause
        self._numbers: dict[str, int] = {}
        self._last = self._others = 0
        self._counting = Lock()
        self._asked_at = self._known_until = float("-inf")
        self._heard = True
        self._wanted = Event()
        self._closed = Event()
        self._thread: Thread | None = None

    def version(self, project: str) -> int | None:
        """The number of a project, or None where a move may have been missed: it will be known soon.

        Whoever asks first after QUIET_SECONDS is told None.
        """
        self._asked_at = now = time.monotonic()
        if now < self._known_until:
            return self._numbers.get(project, self._others)
        self._wanted.set()
        if self._thread is None:
            self._thread = Thread(target=self._listen, name="moves", daemon=True)
            self._thread.start()
        return None

    def moved(self, project: str) -> None:
        """Somebody moved a pointer of a project."""
        with self._counting:
            self._last += 1
            if len(self._numbers) < PROJECTS:
                self._numbers[project] = self._last
            else:
                self._others, self._numbers = self._last, {}

    async def close(self) -> None:
        """Listen no more."""
        self._closed.set()
        self._wanted.set()
        if self._thread:
            await asyncio.to_thread(self._thread.join, LOST_SECONDS)
        self._redis.close()

    def _renew(self) -> None:
        with self._counting:
            self._last += 1
            self._others, self._numbers = self._last, {}

    def _listen(self) -> None:
        while not self._closed.is_set():
            if not self._wanted.wait(QUIET_SECONDS):
                continue
            try:
                with self._redis.pubsub() as channel:  # type: ignore[no-untyped-call]
                    self._follow(channel)
            except Exception as error:  # noqa: BLE001  whatever it was, versions end by themselves, and it is tried again
                if self._heard:
                    log.warning("what moves in the cache is not heard, and each read asks it: %s", error)
                self._heard = False
                self._closed.wait(self._pause)
            if time.monotonic() > self._asked_at + QUIET_SECONDS:
                self._wanted.clear()

    def _follow(self, channel: PubSub) -> None:
        """Hear what is said, and ping for as long as somebody asks. Returns once closed; raises what redis-py does."""
        channel.subscribe(self._channel)
        sent: float | None = None
        due = float("-inf")
        while not self._closed.is_set():
            now = time.monotonic()
            asked = now < self._asked_at + QUIET_SECONDS
            if sent is None and asked and now >= due:
                sent = now
                channel.ping(repr(sent))
            if sent is not None and now > sent + LOST_SECONDS:
                raise TimeoutError
            message = channel.get_message(timeout=BEAT_SECONDS if asked else TRUST_SECONDS)
            if message is None:
                continue
            if message["type"] == "message":
                self.moved(message["data"].decode())
            elif message["type"] == "subscribe":  # what was said before was said to nobody
                self._renew()
            elif sent is not None and message["data"] == repr(sent).encode():
                self._known_until, due, sent = sent + TRUST_SECONDS, now + BEAT_SECONDS, None
                if not self._heard:
                    log.warning("what moves in the cache is heard again")
                self._heard = True
