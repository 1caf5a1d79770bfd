"""The way to a server: one POST a question, and one kind of error for everything that can become of it."""

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Any, ClassVar, NoReturn, Self

import httpx

TIMEOUT_SECONDS = 30.0
"""How long a server may be silent before it is given up."""
MAX_DEPTH = 100
"""Levels of an answer; a registry's own stay far below."""
HEADERS = {"accept": "application/graphql-response+json", "content-type": "application/json"}


class RemoteError(Exception):
    """The question has no answer; the message is a sentence for the user. `exit_code` is what a program ends with."""

    exit_code: ClassVar[int] = 1


class NoServerError(RemoteError):
    """Nothing that can be asked is at the address: no server, a silent one, or one that is no registry."""

    exit_code: ClassVar[int] = 3


class AddressError(ValueError):
    """An address nobody can call; the message says what one looks like."""


class Client:
    """Asks one server, until it is closed. `url` is as `endpoint` takes it; proxies of the environment are used."""

    def __init__(self, url: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self._endpoint = endpoint(url)
        self._timeout = timeout
        try:
            self._http = httpx.Client(
                headers=HEADERS,
                timeout=timeout,
                follow_redirects=False,
                trust_env=not _is_loopback(self._endpoint.host),
            )
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
            raise NoServerError(f"The proxies or certificates the environment names cannot be used: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, document: str, **variables: Any) -> dict[str, Any]:
        """The data of a query. Raises RemoteError when the server refuses, NoServerError when no registry answers."""
        response = self._post(json.dumps({"query": document, "variables": variables}))
        if response.has_redirect_location:
            raise self.not_a_registry(f"it sends callers on to {response.headers['location']}")
        answer = _answer(response.content)
        if messages := list(_messages(answer.get("errors"))):
            raise RemoteError("\n".join(messages))
        if not isinstance(data := answer.get("data"), dict):
            raise self.not_a_registry(f"it answers HTTP {response.status_code} and no GraphQL")
        return data

    def not_a_registry(self, why: str) -> NoServerError:
        """The error to raise about a server that answers otherwise than a registry does."""
        return NoServerError(f"What is at {self._endpoint} is not an ML Registry: {why}. Check the address.")

    def _post(self, body: str) -> httpx.Response:
        try:
            return self._http.post(self._endpoint, content=body)
        except httpx.TimeoutException as error:
            raise NoServerError(
                f"The server at {self._endpoint} did not answer within {self._timeout:g} seconds. Try again later."
            ) from error
        except httpx.RequestError as error:
            raise NoServerError(
                f"No server can be reached at {self._endpoint}: {str(error) or type(error).__name__}. Start one with "
                "`ml-registry serve`, or name another with --server."
            ) from error


def endpoint(url: str) -> httpx.URL:
    """Where the server at an address takes queries. Raises AddressError for what is no address of a server."""
    try:
        address = httpx.URL(url.rstrip("/").removesuffix("/graphql") + "/graphql")
        usable = address.scheme in {"http", "https"} and address.host and not (address.userinfo or address.query)
    except (httpx.InvalidURL, ValueError) as error:
        raise AddressError(_EXAMPLE) from error
    if not usable:
        raise AddressError(_EXAMPLE)
    return address


_EXAMPLE = "The address of a server is like https://registry.example.org or http://127.0.0.1:8000."


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answer(content: bytes) -> dict[str, Any]:
    """A GraphQL answer; one without any members when it is none."""
    try:
        answer = json.loads(content, parse_constant=_refuse)
        sound = isinstance(answer, dict) and _depth(answer) <= MAX_DEPTH
    except (ValueError, RecursionError):
        return {}
    return answer if sound else {}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _messages(errors: Any) -> Iterator[str]:
    """The sentences of a GraphQL answer's errors."""
    if not isinstance(errors, Sequence):
        return
    for error in errors:
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            yield error["message"]
