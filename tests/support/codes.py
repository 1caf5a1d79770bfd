"""The closed set of codes, and what holds every answer of a server under test to it."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import httpx

from app.http.errors import Code
from app.registry import errors
from app.stores.errors import LinkCode

MASKED = re.compile(r"Something went wrong here; the request id is [A-Za-z0-9._-]{1,64}\.\Z")
REFUSED_IN_TEXT = re.compile(r"([A-Z_]+): \S")
TOY = "TOY_BROKEN"
"""The one code of the toy schema's own."""


def refusals(kind: type[errors.RegistryError] = errors.RegistryError) -> set[str]:
    """The codes of the registry's refusals."""
    below = {code for subclass in kind.__subclasses__() for code in refusals(subclass)}
    return below | ({kind.code} if hasattr(kind, "code") else set())


LINKS = frozenset(get_args(LinkCode))
CODES = refusals() | set(map(str, Code)) | LINKS | {TOY}


def check(answer: httpx.Response) -> None:
    """Raise AssertionError for an answer that has another code than those there are, or tells what it should mask."""
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    if answer.request.method == "HEAD" or not (answer.is_error or media_type.endswith("json")):
        return
    answer.read()
    assert "Traceback (most recent call last)" not in answer.text, answer.text
    if media_type.endswith("json"):
        check_value(answer.json())
    elif answer.is_error and answer.content:
        told = REFUSED_IN_TEXT.match(answer.text)
        assert told, f"{answer.status_code} without a code: {answer.text[:200]!r}"
        assert told[1] in CODES, answer.text


async def check_soon(answer: httpx.Response) -> None:
    """The same for a client that waits."""
    media_type = answer.headers.get("content-type", "")
    if answer.is_error or "json" in media_type:
        await answer.aread()
        check(answer)


def check_value(value: Any) -> None:
    """Raise AssertionError for an answer in JSON, as above."""
    for told in _errors(value):
        code = told["extensions"]["code"]
        assert code in CODES, f"{code} is no code there is: {told}"
        assert (code != Code.INTERNAL) or MASKED.match(told["message"]), f"this should be masked: {told}"
    for member in _members(value):
        assert member.get("code", TOY) in CODES, f"a refusal with a code there is not: {member}"


def _errors(value: Any) -> list[dict[str, Any]]:
    return list(value.get("errors") or []) if isinstance(value, dict) else []


def _members(value: Any) -> Iterator[dict[str, Any]]:
    """The members of results that are refusals, wherever they stand."""
    if isinstance(value, dict):
        if str(value.get("__typename", "")).endswith("Error"):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _members(inner)


def loads(text: str) -> Any:
    """A message of a socket, checked as above."""
    message = json.loads(text)
    if message.get("type") == "error":
        check_value({"errors": message["payload"]})
    elif message.get("type") == "next":
        check_value(message["payload"])
    return message
