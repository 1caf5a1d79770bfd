"""The way to a server: one POST a question, and one kind of error for everything that can become of it."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from typing import Any, ClassVar, NoReturn, Self

import httpx

from app.remote import sse

TIMEOUT_SECONDS = 30.0
"""How long a server may be silent before it is given up; a stream has a sign of life every 12 seconds."""
MAX_DEPTH = 100
"""Levels of an answer; a registry's own stay far below."""
HEADERS = {"accept": "application/graphql-response+json", "content-type": "application/json"}
EVENT_STREAM = "text/event-stream"
GATEWAY_STATUSES = frozenset({502, 503, 504})
"""What is answered in the place of a server that is stopping, starting or out of reach."""


class RemoteError(Exception):
    """The question has no answer; the message is a sentence for the user. `exit_code` is what a program ends with."""

    exit_code: ClassVar[int] = 1


class NoServerError(RemoteError):
    """Nothing that can be asked is at the address: no server, a silent one, or one that is no registry."""

    exit_code: ClassVar[int] = 3


class UnreachableError(NoServerError):
    """There is no connection to the server, or no more; a moment later there may be one."""


class AddressError(ValueError):
    """An address nobody can call; the message says what one looks like."""


class Client:
    """Asks one server, until it is closed. `url` is as `endpoint` takes it; proxies of the environment are used.

    With a `token` it says who asks; a token is printable ASCII.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = TIMEOUT_SECONDS) -> None:
        self._endpoint = endpoint(url)
        self._timeout = timeout
        try:
            self._http = httpx.Client(
                headers=HEADERS | ({"authorization": f"Bearer {token}"} if token else {}),
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
        with self._reaching():
            response = self._http.post(self._endpoint, content=_body(document, variables))
        return self._data(response, response.content)

    @contextmanager
    def subscribe(self, document: str, **variables: Any) -> Iterator[Iterator[dict[str, Any]]]:
        """The data of a subscription's results as they come, for the time of a block that is connected.

        To enter, and each result, raises UnreachableError where there is no connection or it ends, RemoteError when
        the server refuses, NoServerError when it is no registry.
        """
        headers = {"accept": EVENT_STREAM}
        request = self._http.build_request("POST", self._endpoint, content=_body(document, variables), headers=headers)
        with self._reaching():
            response = self._http.send(request, stream=True)
        with closing(response):
            if not (response.is_success and response.headers.get("content-type", "").startswith(EVENT_STREAM)):
                with self._reaching():
                    content = response.read()
                self._data(response, content)
                raise self.not_a_registry("it answers a subscription once")
            yield self._results(response)

    def _results(self, response: httpx.Response) -> Iterator[dict[str, Any]]:
        try:
            for name, content in sse.messages(response.iter_bytes()):
                if name == "next":
                    yield self._data(response, content)
        except httpx.RequestError as error:
            raise UnreachableError(f"The connection to {self._endpoint} was lost: {_reason(error)}.") from error
        raise UnreachableError(f"The server at {self._endpoint} ended the connection.")

    def _data(self, response: httpx.Response, content: bytes) -> dict[str, Any]:
        """The data of an answer. Raises as `ask` does."""
        if response.has_redirect_location:
            raise self.not_a_registry(f"it sends callers on to {response.headers['location']}")
        answer = _answer(content)
        errors = _errors(answer)
        messages = "\n".join(_messages(errors))
        if response.status_code in GATEWAY_STATUSES or any(map(_is_cut_off, errors)):
            why = messages or f"It answers HTTP {response.status_code}; try again later."
            raise UnreachableError(f"The server at {self._endpoint} cannot go on right now. {why}")
        if messages:
            raise RemoteError(messages)
        if not isinstance(data := answer.get("data"), dict):
            raise self.not_a_registry(f"it answers HTTP {response.status_code} and no GraphQL")
        return data

    def not_a_registry(self, why: str) -> NoServerError:
        """The error to raise about a server that answers otherwise than a registry does."""
        return NoServerError(f"What is at {self._endpoint} is not an ML Registry: {why}. Check the address.")

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Raises UnreachableError where the server cannot be reached."""
        try:
            yield
        except httpx.TimeoutException as error:
            raise UnreachableError(
                f"The server at {self._endpoint} did not answer within {self._timeout:g} seconds. Try again later."
            ) from error
        except httpx.RequestError as error:
            raise UnreachableError(
                f"No server can be reached at {self._endpoint}: {_reason(error)}. Start one with `ml-registry serve`, "
                "or name another with --server."
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


def _body(document: str, variables: dict[str, Any]) -> str:
    return json.dumps({"query": document, "variables": variables})


def _reason(error: httpx.RequestError) -> str:
    return str(error) or type(error).__name__


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answer(content: bytes) -> dict[str, Any]:
    """A GraphQL answer; one without any members when it is none."""
    try:
        answer = read_json(content)
        sound = isinstance(answer, dict) and _depth(answer) <= MAX_DEPTH
    except (ValueError, RecursionError):
        return {}
    return answer if sound else {}


def read_json(text: str | bytes) -> Any:
    """A JSON value, and no `NaN` or `Infinity`, which Python would take for one. Raises ValueError, RecursionError."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _errors(answer: dict[str, Any]) -> list[dict[str, Any]]:
    errors = answer.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _messages(errors: list[dict[str, Any]]) -> Iterator[str]:
    """The sentences of a GraphQL answer's errors."""
    for error in errors:
        if isinstance(error.get("message"), str):
            yield error["message"]


def _is_cut_off(error: dict[str, Any]) -> bool:
    """Whether it ends a stream and gives the cursor to resume it from."""
    extensions = error.get("extensions")
    return isinstance(extensions, dict) and "cursor" in extensions
