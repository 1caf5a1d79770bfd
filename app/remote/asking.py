"""How every command finds its server, and how it ends when there is no answer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from app.remote.client import AddressError, Client, RemoteError, endpoint
from app.remote.screen import note

EXITS = "Ends with 0; 1 when it is not there or the server refuses; 2 for wrong use; 3 when no registry answers."
TOKEN = re.compile(r"[!-~]*\Z")
LOCAL = "http://127.0.0.1:8000"


def _address(url: str) -> str:
    try:
        endpoint(url)
    except AddressError as error:
        raise typer.BadParameter(str(error)) from error
    return url


def _token(text: str | None) -> str | None:
    token = (text or "").strip()
    if not TOKEN.match(token):
        raise typer.BadParameter("A token is one word of ASCII characters.")
    return token or None


Server = Annotated[str, typer.Option(envvar="ML_REGISTRY_SERVER", help="The address of the server.", callback=_address)]

Token = Annotated[
    str | None, typer.Option(envvar="ML_REGISTRY_TOKEN", help="The token that says who you are.", callback=_token)
]


@contextmanager
def asking(server: str, token: str | None) -> Iterator[Client]:
    """A client for the time of a command, which ends with a sentence when there is no answer."""
    try:
        with Client(server, token) as client:
            yield client
    except RemoteError as error:
        note(str(error))
        raise typer.Exit(error.exit_code) from error
