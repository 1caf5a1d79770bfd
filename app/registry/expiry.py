"""Expiry: what is left of uploads that nobody completes is taken away by one of the servers, every few hours."""

import logging
import secrets

from app.registry.uploads import MULTIPART_SECONDS
from app.stores.ports import Cache, ObjectStore

LEASE = "expire"
EVERY_SECONDS = 6 * 3600
LEFT_SECONDS = MULTIPART_SECONDS + 24 * 3600  # what was completed at the last moment has a day to be proven in
log = logging.getLogger("ml_registry.expiry")


class Expiry:
    """Elected by a lease that outlasts the round: whoever starts later has nothing to do. Two would do no harm."""

    def __init__(self, objects: ObjectStore, cache: Cache) -> None:
        self._objects = objects
        self._cache = cache
        self._holder = secrets.token_hex(8)

    async def step(self) -> None:
        """One round, where it is this server's turn. Raises StoreError: what is left waits for the next one."""
        if not await self._cache.lease(LEASE, self._holder, EVERY_SECONDS):
            return
        if removed := await self._objects.expire_uploads(LEFT_SECONDS):
            log.info("%s leftovers of uploads that nobody completed are taken away", removed)
