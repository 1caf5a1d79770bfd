"""The publisher's loop: events go out when something was told, and whatever wakes it or not, every second."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from app.registry.publishing import Publisher, pause
from app.stores.errors import StoreError

LOOK_SECONDS = 1.0
PERSISTENT = 6  # failures in a row; fewer, in about a second, are what any queue has
log = logging.getLogger("ml_registry.workers")


async def publish(publisher: Publisher, told: Callable[[], Awaitable[None]]) -> None:
    """Send what there is and wait until `told` says there is more, until cancelled. What fails is tried again later."""
    failures = 0
    while True:
        try:
            more = await publisher.step()
        except Exception as error:  # the events must go out, whatever went wrong
            failures += 1
            if failures == PERSISTENT:
                unexpected = not isinstance(error, StoreError)
                log.warning("events are not published and wait in Git: %s", error, exc_info=unexpected)
            await asyncio.sleep(pause(failures))
            continue
        if failures >= PERSISTENT:
            log.warning("events are published again")
        failures = 0
        if not more:
            with suppress(TimeoutError):
                await asyncio.wait_for(told(), LOOK_SECONDS)
