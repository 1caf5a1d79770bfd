"""The loop that takes away what uploads left behind: now, and then every few hours."""

import asyncio
import logging

from app.registry.expiry import EVERY_SECONDS, Expiry
from app.stores.errors import StoreError

log = logging.getLogger("ml_registry.workers")


async def expire(expiry: Expiry) -> None:
    """Round after round, until cancelled. What fails is told once for as long as it does, and tried again."""
    said = None
    while True:
        try:
            await expiry.step()
        except Exception as error:  # the next round may go better, whatever went wrong
            if str(error) != said:
                unexpected = not isinstance(error, StoreError)
                log.warning("what uploads left behind stays for now: %s", error, exc_info=unexpected)
            said = str(error)
        else:
            said = None
        await asyncio.sleep(EVERY_SECONDS)
