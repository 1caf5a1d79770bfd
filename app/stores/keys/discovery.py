"""The keys of an OpenID Connect issuer, as it publishes them: a document that says where, and there a set of JWKs."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from app.stores.errors import KeysUnavailableError

WELL_KNOWN = "/.well-known/openid-configuration"
SECONDS = 5.0
"""For both answers together."""
MAX_BYTES = 1 << 20


class PublishedKeys:
    """Those of one issuer, asked for anew each time. Raises ValueError for a URL no issuer can have."""

    def __init__(self, issuer: str) -> None:
        if problem := problem_with_issuer(issuer):
            raise ValueError(problem)
        self._issuer = issuer

    async def fetch(self) -> Sequence[Mapping[str, Any]]:
        """See KeySource.fetch."""
        try:
            async with asyncio.timeout(SECONDS), _client(self._issuer) as client:
                found = await _json(client, self._issuer.rstrip("/") + WELL_KNOWN)
                place = found.get("jwks_uri")
                if found.get("issuer") != self._issuer:
                    raise KeysUnavailableError(f"{self._issuer} says it is the issuer {found.get('issuer')!r}")
                if not isinstance(place, str) or not _is_safe(place):
                    raise KeysUnavailableError(f"{self._issuer} has its keys at {place!r}, which is not https://")
                keys = (await _json(client, place)).get("keys")
        except TimeoutError as error:
            raise KeysUnavailableError(f"{self._issuer} did not answer within {SECONDS:g} seconds") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise KeysUnavailableError(
                f"{self._issuer} cannot be reached: {str(error) or type(error).__name__}"
            ) from error
        if not isinstance(keys, list):
            raise KeysUnavailableError(f"{self._issuer} publishes no list of keys")
        return [key for key in keys if isinstance(key, dict)]


def problem_with_issuer(url: str) -> str | None:
    """Why no issuer can have this URL, or None."""
    parts = urlsplit(url)
    if _is_safe(url) and not (parts.query or parts.fragment or parts.username):
        return None
    return "An issuer is an https:// address as its tokens have it, like https://login.example.org."


def _client(issuer: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        headers={"accept": "application/json", "accept-encoding": "identity"},
        timeout=SECONDS,
        follow_redirects=False,
        trust_env=not _is_loopback(urlsplit(issuer).hostname or ""),
    )


async def _json(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """The JSON object at a URL."""
    async with client.stream("GET", url) as response:
        if response.status_code != httpx.codes.OK:
            raise KeysUnavailableError(f"{url} answers HTTP {response.status_code}")
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > MAX_BYTES:
                raise KeysUnavailableError(f"{url} answers more than {MAX_BYTES} bytes")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise KeysUnavailableError(f"{url} does not answer JSON") from error
    if not isinstance(found, dict):
        raise KeysUnavailableError(f"{url} does not answer a JSON object")
    return found


def _is_safe(url: str) -> bool:
    """Whether nobody between can have changed what comes from there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host or "")))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
