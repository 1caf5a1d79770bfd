"""People who sign in elsewhere: JSON Web Tokens of one OpenID Connect issuer."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

from joserfc.errors import BadSignatureError, ClaimError, ExpiredTokenError, JoseError
from joserfc.jws import JWSRegistry, deserialize_compact
from joserfc.jwt import JWTClaimsRegistry
from joserfc.util import urlsafe_b64decode

from app.registry import names
from app.registry.access.identity import Identity
from app.registry.access.keys import Keys
from app.registry.access.policy import ANYONE
from app.registry.errors import UnauthenticatedError
from app.registry.model import Actor

ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA", "Ed25519"})
"""Asymmetric ones alone: what the issuer publishes can check a token, and never make one."""
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What a token may say it is. Others of the same issuer, as those that end a session, sign nobody in."""
MAX_TOKEN = 16 * 1024
MAX_SECONDS = 24 * 3600
LEEWAY_SECONDS = 60
"""By how much the issuer's clock and ours may differ."""
REMEMBERED = 10_000
"""Tokens that are known without being checked again, until they expire."""


class OidcIssuer:
    """Says who somebody is whom the issuer gave a token meant for this registry (`audience`)."""

    def __init__(self, issuer: str, audience: str, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._keys = keys
        self._clock = clock
        self._known: dict[bytes, Identity] = {}
        self._rules = _Rules()
        self._claims = JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    async def identify(self, token: str) -> Identity:
        """Who a token was given to. Raises UnauthenticatedError."""
        if len(token) > MAX_TOKEN or not token.isascii():
            self._refuse(f"A token has at most {MAX_TOKEN} characters, all of them ASCII.")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None:
            known = self._identity(await self._checked(token))
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[digest] = known
        if known.expires_at is not None and known.expires_at <= self._clock():
            del self._known[digest]
            self._refuse("This token has expired.")
        return known

    async def _checked(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that the issuer signed, for us and for now."""
        key = await self._keys.get(self._header(token).get("kid"))
        if key is None:
            self._refuse("The issuer has no such key as this token names, or cannot be asked right now.")
        try:
            claims = _json(deserialize_compact(token, key, registry=self._rules).payload)
            self._claims.validate(claims)
        except ExpiredTokenError:
            self._refuse("This token has expired.")
        except (JoseError, ValueError) as error:
            self._refuse(f"This token is not good: {_reason(error)}.")
        if claims["exp"] > self._clock() + MAX_SECONDS + LEEWAY_SECONDS:
            self._refuse("This token is good for more than a day.")
        return claims

    def _header(self, token: str) -> Mapping[str, Any]:
        """What a token says of itself, as far as that is to be believed before it is checked: its key's id."""
        try:
            header = _json(urlsafe_b64decode(token.partition(".")[0].encode()))
            self._rules.check_header(header)
        except (JoseError, ValueError) as error:
            self._refuse(f"This is no token to sign in with: {_reason(error)}.")
        return header

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        sub, groups = claims["sub"], claims.get("groups", [])
        if problem := names.problem_with_person(sub):
            self._refuse(f"The claim sub cannot be used. {problem}")
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            self._refuse("The claim groups has to be a list of names.")
        email = _person(claims.get("email")) if claims.get("email_verified") is True else None
        name = _person(claims.get("name")) or email or sub
        actor = Actor(name, email or f"{sub}@{urlsplit(self._issuer).hostname}")
        person = f"user:{email}" if email else f"sub:{sub}"  # apart: some issuers let people choose their sub
        known_by = frozenset({person, *(f"group:{group}" for group in groups), ANYONE})
        return Identity(actor, known_by, float(claims["exp"]))

    def _refuse(self, why: str) -> NoReturn:
        raise UnauthenticatedError(f"{why} Get a new one from {self._issuer} and sign in with that.") from None


class _UnfitError(ValueError):
    """A token is of a kind that is not taken; the message says why."""


class _Rules(JWSRegistry):
    """How a token may be signed, and what may stand in its header. Keys and addresses named there are never used."""

    max_header_length = MAX_TOKEN

    def __init__(self) -> None:
        super().__init__(strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        """The algorithm of that name, without the library's warning that EdDSA has another name by now."""
        return self.algorithms[name]

    def check_header(self, header: Mapping[str, Any]) -> None:
        """Raises JoseError or ValueError, also for what a header says must be understood: nothing is."""
        if "crit" in header or "b64" in header:
            raise _UnfitError("it asks for what is not understood here")
        super().check_header(dict(header))
        if header["alg"] not in ALGORITHMS:
            raise _UnfitError(f"it is not signed with one of {', '.join(sorted(ALGORITHMS))}")
        if header.get("typ", "JWT").lower() not in TYPES:
            raise _UnfitError("tokens of its type sign nobody in")


def _json(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError."""
    try:
        value = json.loads(data)
    except RecursionError:
        raise _UnfitError("it is nested too deep") from None
    if not isinstance(value, dict):
        raise _UnfitError("it is no JSON object")
    return value


def _reason(error: Exception) -> str:
    """What is wrong with a token, in our words."""
    if isinstance(error, _UnfitError):
        return str(error)
    if isinstance(error, ClaimError):
        return f"its claim {error.claim} is missing or wrong"
    return "its signature is wrong" if isinstance(error, BadSignatureError) else "it cannot be read"


def _person(value: Any) -> str | None:
    """What a claim says, where Git can take it for a name or an address."""
    return value if isinstance(value, str) and not names.problem_with_person(value) else None
