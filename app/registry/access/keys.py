"""The keys of an issuer, kept here: fetched when one is asked for that is not known, and not oftener than we may."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from app.stores.errors import KeysUnavailableError
from app.stores.ports import KeySource

RETRY_SECONDS = 10.0
"""Between two looks at the issuer at least, whatever callers show us."""
STALE_SECONDS = 3600.0
"""After which the issuer is asked whether its keys are still the same."""
RSA_BITS = 2048
KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
log = logging.getLogger("ml_registry.access")


class Keys:
    """Public keys by their ids, None for one without. While the issuer is away those that are known stay good."""

    def __init__(self, source: KeySource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._keys: Mapping[str | None, Key] = {}
        self._looked: float | None = None
        self._fetched = clock()
        self._looking = asyncio.Lock()

    async def get(self, kid: str | None) -> Key | None:
        """The key of that id, or the only one where a token names none; None when there is none."""
        key = self._find(kid)
        stale = self._clock() - self._fetched > STALE_SECONDS and not self._looking.locked()
        if key is None or stale:
            await self._look()
            key = self._find(kid)
        return key

    def _find(self, kid: str | None) -> Key | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    async def _look(self) -> None:
        """Ask the issuer, unless it was asked a moment ago; where it does not answer, nothing changes."""
        async with self._looking:
            now = self._clock()
            if self._looked is not None and now - self._looked < RETRY_SECONDS:
                return
            self._looked = now
            try:
                self._keys = dict(_usable(await self._source.fetch()))
            except KeysUnavailableError as error:
                log.warning("the keys of the issuer cannot be fetched: %s", error)
            else:
                self._fetched = now


def _usable(keys: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str | None, Key]]:
    """Those that signatures can be checked with; none that is a shared secret, and none that is too short."""
    for one in keys:
        kind = KINDS.get(str(one.get("kty")))
        if kind is None or one.get("use", "sig") != "sig" or (kind is RSAKey and _bits(one.get("n")) < RSA_BITS):
            continue
        try:
            key = kind.import_key(dict(one))
        except (JoseError, ValueError, TypeError) as error:
            log.warning("a key of the issuer cannot be used: %s", type(error).__name__)
        else:
            yield key.kid, key


def _bits(modulus: Any) -> int:
    """About how many bits a number in base64url has, never fewer."""
    return len(modulus) * 6 if isinstance(modulus, str) else 0
