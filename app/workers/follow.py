"""The sync loop: whatever wakes the registry or not, Git is looked at again after `interval` seconds."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger("ml_registry.workers")


async def repeat(work: Callable[[], Awaitable[None]], interval: float) -> None:
    """Do `work` over and over, `interval` seconds apart, until cancelled. A failure is logged and tried again."""
    while True:
        await asyncio.sleep(interval)
        try:
            await work()
        except Exception:
            log.exception("a round of the sync loop failed; the next one is in %s s", interval)
