"""What callers show to say who they are: read from a request or a socket, and judged."""

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.types import Scope

from app.http.errors import Code, Refusal
from app.http.headers import values_of
from app.registry.access.identity import Identity
from app.registry.access.sign_in import SignIn
from app.registry.errors import UnauthenticatedError

LONGEST = 16 * 1024
"""Characters of a token."""
BEARER, BASIC = "Bearer", "Basic"


async def caller(sign_in: SignIn, scope: Scope, scheme: str = BEARER) -> Identity:
    """Who sent a request. Raises Refusal, which invites to answer by a scheme."""
    if not sign_in.required:
        return await sign_in.identify(None)
    return await _identified(sign_in, partial(_shown, scope), scheme)


async def caller_on_socket(sign_in: SignIn, scope: Scope, params: Mapping[str, Any]) -> Identity:
    """Who opened a socket: the payload of `connection_init` says it as the header does. Raises Refusal."""
    said = params.get("authorization", params.get("Authorization"))
    if not sign_in.required or said is None:
        return await caller(sign_in, scope)
    return await _identified(sign_in, partial(_said, said), BEARER)


async def _identified(sign_in: SignIn, read: Callable[[], str | None], scheme: str) -> Identity:
    try:
        return await sign_in.identify(read())
    except UnauthenticatedError as error:
        headers = {"www-authenticate": f'{scheme} realm="ml-registry"'}
        raise Refusal(Code.UNAUTHENTICATED, str(error), headers=headers) from error


def _said(said: object) -> str:
    if not isinstance(said, str):
        raise UnauthenticatedError('Sign in: send {"authorization": "Bearer <token>"}.')
    return _token(said)


def _shown(scope: Scope) -> str | None:
    headers = values_of(scope, b"authorization")
    if len(headers) > 1:
        raise UnauthenticatedError("There are several Authorization headers; send one.")
    return _token(headers[0]) if headers else None


def _token(said: str) -> str:
    """The token in what a header says: Git clients send it as the password of any user. Raises UnauthenticatedError."""
    scheme, _, value = said.partition(" ")
    token = value.strip()
    if scheme.lower() == "basic":
        token = _password(token)
    elif scheme.lower() != "bearer":
        raise UnauthenticatedError("Send the token as Authorization: Bearer <token>.")
    if not token.isascii() or not 0 < len(token) <= LONGEST:
        raise UnauthenticatedError(f"A token has 1 to {LONGEST} ASCII characters; this one has not.")
    return token


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError) as error:
        raise UnauthenticatedError("The user and password are not base64; send the token as the password.") from error
