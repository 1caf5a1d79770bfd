"""What comes in and goes out as JSON, and what a GraphQL request written in it may look like."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Never

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from app.http.errors import Code, Refusal
from app.http.headers import values_of
from app.http.within import within
from app.resolvers.limits import LIMITS

MAX_BODY = LIMITS.request_size
"""Bytes of a request's body, or characters of a message on a socket."""
BODY_SECONDS = LIMITS.body_seconds
MAX_DEPTH = 64
"""Lists and objects inside each other."""
MAX_LISTS = 50_000
"""Lists and objects in all, as many as a manifest may have nodes; to look at each takes a microsecond."""
STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""Strings of JSON. One that does not end goes to the end of the text: to begin anew at each quote in it takes hours."""
AS_JSON_DOES = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
"""What makes orjson refuse what has no form of its own in JSON."""
CLOSE = {"connection": "close"}
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """One operation as a caller asks for it, members checked, nothing parsed.

    `digest` is the sha-256 of the document in hexadecimal digits, empty when it did not come; without `query` it did.
    """

    query: str | None
    operation_name: str | None
    variables: Mapping[str, Any]
    digest: str = ""

    @property
    def teaches(self) -> bool:
        """Whether the document came with its digest, so that it is to be remembered."""
        return bool(self.query and self.digest)


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body, refused as soon as it is, or says it will be, larger than MAX_BODY, or takes BODY_SECONDS.

    Raises Refusal, and ClientDisconnect when the client leaves before the end.
    """
    try:
        return await within(BODY_SECONDS, _whole_body(scope, receive))
    except TimeoutError as error:
        message = f"The body was not here within {BODY_SECONDS:.0f} s; send it again, at once."
        raise Refusal(Code.REQUEST_TIMEOUT, message, headers=CLOSE) from error


async def _whole_body(scope: Scope, receive: Receive) -> bytes:
    for announced in values_of(scope, b"content-length"):
        if announced.isdecimal() and (len(announced) > len(str(MAX_BODY)) or int(announced) > MAX_BODY):
            raise _too_large()
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise _too_large()
    return bytes(body)


def _too_large() -> Refusal:
    return Refusal(Code.PAYLOAD_TOO_LARGE, f"A request has at most {MAX_BODY} bytes; send less at once.")


def decode_json(text: bytes | str) -> Any:
    """A JSON value: UTF-8, numbers finite, no key twice, not nested more than MAX_DEPTH deep. Raises Refusal."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        _check_lists(decoded)
        value = DECODER.decode(decoded)
    except UnicodeDecodeError as error:
        raise Refusal(Code.BAD_REQUEST, "The request is not valid UTF-8; encode it so.") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise Refusal(Code.BAD_REQUEST, f"The request is not valid JSON: {error}.") from error
    if decoded.count("{") + decoded.count("[") <= MAX_DEPTH:  # nothing is nested deeper than there are brackets
        return value
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, list | dict)]
        if not level:
            return value
    raise _too_deep()


def _check_lists(text: str) -> None:
    """Refuse more than MAX_LISTS, by the brackets that do not stand in strings."""
    if text.count("{") + text.count("[") <= MAX_LISTS:
        return
    bare = STRINGS.sub("", text)
    if bare.count("{") + bare.count("[") > MAX_LISTS:
        raise Refusal(Code.BAD_REQUEST, f"The JSON has more than {MAX_LISTS} lists and objects; send less at once.")


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _too_deep() -> Refusal:
    return Refusal(Code.BAD_REQUEST, f"The JSON is nested more than {MAX_DEPTH} deep; flatten it.")


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has a key twice")
    return members


DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unambiguous)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value that is JSON already."""

    json: bytes


def encode_json(value: Any) -> bytes:
    """Compact JSON in UTF-8 of finite numbers: manifests hold no others. Raises TypeError for what JSON cannot say."""
    try:
        return orjson.dumps(value, _fragment, AS_JSON_DOES)
    except orjson.JSONEncodeError:  # half a surrogate pair, which JSON can escape, or an integer of more than 64 bits
        return json.dumps(value, default=_decoded, allow_nan=False, separators=(",", ":")).encode()


def _fragment(value: object) -> orjson.Fragment:
    return orjson.Fragment(_json_of(value))


def _decoded(value: object) -> Any:
    return json.loads(_json_of(value))


def _json_of(value: object) -> bytes:
    if isinstance(value, Encoded):
        return value.json
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def parse_request(value: Any) -> GraphQLRequest:
    """The GraphQL request a JSON value describes; members nobody knows are ignored. Raises Refusal."""
    if not isinstance(value, dict):
        raise Refusal(Code.BAD_REQUEST, 'A request is one JSON object, like {"query": "{ __typename }"}.')
    _check_member(value, "operationName", str, "a string")
    _check_member(value, "variables", dict, "an object")
    _check_member(value, "extensions", dict, "an object")
    digest = _digest((value.get("extensions") or {}).get("persistedQuery"))
    query = value.get("query")
    if not isinstance(query, str) and (query is not None or not digest):
        raise Refusal(Code.BAD_REQUEST, "The member 'query' has to be the text of a GraphQL document.")
    return GraphQLRequest(query, value.get("operationName"), value.get("variables") or {}, digest)


def _digest(persisted: Any) -> str:
    """The digest in the extension `persistedQuery`; empty without one."""
    if persisted is None:
        return ""
    if isinstance(persisted, dict) and persisted.get("version") == 1:
        digest = persisted.get("sha256Hash")
        if isinstance(digest, str) and SHA256.fullmatch(digest):
            return digest
    message = "The extension 'persistedQuery' is {version: 1, sha256Hash}, the hash as 64 lowercase hexadecimal digits."
    raise Refusal(Code.BAD_REQUEST, message)


def _check_member(value: dict[str, Any], name: str, kind: type, described: str) -> None:
    if value.get(name) is not None and not isinstance(value[name], kind):
        raise Refusal(Code.BAD_REQUEST, f"The member '{name}' has to be {described}, null or absent.")
