"""The sync loop: other servers wake the registry, and whether they do or not, it looks at Git every so many seconds."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

log = logging.getLogger("ml_registry.workers")


async def repeat(work: Callable[[], Awaitable[None]], interval: float) -> None:
    """Do `work` over and over, `interval` seconds apart, until cancelled. A failure is logged and tried again."""
    while True:
        await asyncio.sleep(interval)
        try:
            await work()
        except Exception:
            log.exception("a round of the sync loop failed; the next one is in %s s", interval)


async def listen(wakes: AsyncGenerator[None, None], work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` whenever there is a wake, until cancelled. A failure is logged, and made good by the sync loop."""
    async with aclosing(wakes) as woken:
        async for _ in woken:
            try:
                await work()
            except Exception:
                log.exception("what another server wrote is not served yet")
