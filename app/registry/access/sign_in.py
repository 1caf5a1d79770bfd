"""Who somebody is, by what they show."""

import time
from typing import Protocol

from app.registry.access.access import Access
from app.registry.access.identity import Identity
from app.registry.access.policy import ANYONE, TOKEN, digest_of
from app.registry.errors import UnauthenticatedError
from app.registry.model import Actor
from app.registry.trail import called


class Issuer(Protocol):
    """Somebody who is trusted to say who people are."""

    async def identify(self, token: str) -> Identity:
        """Who a token of theirs was given to. Raises UnauthenticatedError."""


class SignIn:
    """Knows callers by the API tokens of the policy in force, and by those of an issuer.

    While nobody has to sign in, everybody is the `owner`.
    """

    def __init__(self, access: Access, owner: Actor, issuer: Issuer | None = None) -> None:
        self._access = access
        self._owner = Identity(owner, frozenset({ANYONE}))
        self._issuer = issuer

    @property
    def required(self) -> bool:
        """Whether nobody gets anywhere without a token."""
        return self._access.required

    async def identify(self, token: str | None) -> Identity:
        """Who shows a token, or nothing; it is theirs what is done from here on. Raises UnauthenticatedError."""
        identity = await self._judged(token) if self._access.required else self._owner
        called(identity.label)
        return identity

    async def _judged(self, token: str | None) -> Identity:
        if token is None:
            raise UnauthenticatedError("Sign in: send the header Authorization: Bearer <token>.")
        if token.startswith(TOKEN):
            return self._known(token)
        if self._issuer is None:
            raise UnauthenticatedError(f"This is no API token, which begins with {TOKEN}. Ask an admin for one.")
        return await self._issuer.identify(token)

    def _known(self, text: str) -> Identity:
        token = self._access.policy.tokens.get(digest_of(text))
        if token is None:
            raise UnauthenticatedError("This token is not known, or was revoked. Ask an admin for another.")
        if token.expires_at <= time.time():
            raise UnauthenticatedError(f"The token {token.name} has expired. Ask an admin for another.")
        return token.identity
