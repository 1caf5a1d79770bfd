"""From JSON values to an `Entry`: what the reserved keys mean, checked in one place for files and for callers."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.registry import names
from app.registry.manifest.model import (
    DEFAULT_LIMITS,
    JSON,
    RESERVED,
    Code,
    Entry,
    InvalidEntryError,
    Label,
    ObjectPin,
    Problem,
)
from app.registry.manifest.scalars import MAX_DIGITS

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_CONTENT_TYPE = re.compile(r"[!-~]+/[ -~]+\Z")
_OBJECT_KEYS = {"sha256", "size", "contentType", "filename", "state"}
_MAX_TEXT = 255
_MAX_SIZE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Issue:
    """What is wrong with an entry, and under which of its keys (None: the entry itself)."""

    code: Code
    message: str
    key: str | None = None


class FieldError(Exception):
    """A reserved key holds what it may not hold."""


def entry_from(name: str, value: Mapping[str, JSON]) -> Entry:
    """The entry that `value` describes, as the reader would have it. Raises InvalidEntryError."""
    issues = list(_unwritable(value))
    if not issues:
        made = interpret(name, value)
        if isinstance(made, Entry):
            return made
        issues = made
    raise InvalidEntryError(tuple(Problem(issue.code, issue.message, artifact=name) for issue in issues))


def interpret(name: str, value: JSON) -> Entry | list[Issue]:
    """The entry, or everything that is wrong with it. `value` holds JSON values only."""
    issues = []
    if sentence := names.problem_with_artifact(name):
        issues.append(Issue(Code.BAD_NAME, sentence))
    if not isinstance(value, Mapping):
        issues.append(Issue(Code.ENTRY_NOT_A_MAPPING, f"{name!r} is not a mapping; indent its keys below its name."))
        return issues
    fields: dict[str, Any] = {}
    for key, check in _FIELDS.items():
        try:
            fields[key] = check(value.get(key))
        except FieldError as error:
            issues.append(Issue(Code.BAD_FIELD, f"{key} of {name!r}: {error}", key))
    if issues:
        return issues
    identifier = fields["dataObjectId"]
    return Entry(
        name=name,
        data_object_id=identifier,
        type=fields["type"],
        description=fields["description"] or "",
        labels=fields["labels"],
        object=fields["object"],
        metadata={key: item for key, item in value.items() if key not in RESERVED},
        entry={**value, "dataObjectId": identifier} if "dataObjectId" in value else dict(value),
    )


def _identifier(value: JSON) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value == "":
        raise FieldError("an identifier is not empty; leave the key out instead.")
    if value is None or isinstance(value, str):
        return value
    raise FieldError("an identifier is a whole number or text.")


def _text(value: JSON) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise FieldError("it has to be text; put it in quotes.")


def _labels(value: JSON) -> tuple[Label, ...]:
    if value is None:
        return ()
    if isinstance(value, Mapping):
        return tuple(_label(key, item) for key, item in value.items())
    if not isinstance(value, list | tuple):
        raise FieldError("labels are a list or a mapping.")
    found: list[Label] = []
    for item in value:
        if isinstance(item, str):
            found.append(_label(item, None))
        elif isinstance(item, Mapping):
            found.extend(_label(key, one) for key, one in item.items())
        else:
            raise FieldError("a label in a list is text or `key: value`; put other values in quotes.")
    return tuple(found)


def _label(key: str, value: JSON) -> Label:
    if not key:
        raise FieldError("a label has a name.")
    if value is None or isinstance(value, str):
        return Label(key, value)
    if isinstance(value, bool | int | float):
        return Label(key, json.dumps(value))
    raise FieldError(f"the value of the label {key!r} has to be text.")


def _object(value: JSON) -> ObjectPin | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise FieldError("an object is a mapping with sha256 and size.")
    if unknown := sorted(value.keys() - _OBJECT_KEYS):
        raise FieldError(f"an object has no {unknown[0]!r}; it has {', '.join(sorted(_OBJECT_KEYS))}.")
    sha256, size, state = value.get("sha256"), value.get("size"), value.get("state")
    if not isinstance(sha256, str) or not _SHA256.match(sha256):
        raise FieldError("sha256 is 64 lowercase hexadecimal digits, in quotes if they look like a number.")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE:
        raise FieldError("size is the number of bytes.")
    if state not in (None, "pending"):
        raise FieldError("state is `pending`, or left out once the bytes have arrived.")
    content_type = value.get("contentType", ObjectPin.__dataclass_fields__["content_type"].default)
    if not isinstance(content_type, str) or len(content_type) > _MAX_TEXT or not _CONTENT_TYPE.match(content_type):
        raise FieldError("contentType is a media type such as application/json.")
    return ObjectPin(sha256, size, content_type, _filename(value.get("filename")), state == "pending")


def _filename(value: JSON) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
        raise FieldError(f"filename is printable text of 1 to {_MAX_TEXT} characters.")
    if value in {".", ".."} or "/" in value or "\\" in value:
        raise FieldError("filename is a name without folders.")
    return value


_FIELDS = {
    "dataObjectId": _identifier,
    "type": _text,
    "description": _text,
    "labels": _labels,
    "object": _object,
}


def _unwritable(value: JSON, depth: int = 1) -> Iterator[Issue]:
    """What in values given by a program no manifest can hold."""
    if depth > DEFAULT_LIMITS.depth:
        yield Issue(Code.TOO_DEEP, f"Values are nested at most {DEFAULT_LIMITS.depth} deep.")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                yield Issue(Code.BAD_VALUE, f"The key {key!r} is not text.")
            yield from _unwritable_scalar(key)
            yield from _unwritable(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _unwritable(item, depth + 1)
    else:
        yield from _unwritable_scalar(value)


def _unwritable_scalar(value: JSON) -> Iterator[Issue]:
    if isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            yield Issue(Code.BAD_VALUE, "Text has to be valid Unicode, without lone surrogates.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield Issue(Code.NOT_FINITE, "A number has to be finite.")
    elif isinstance(value, int):
        if abs(value) >= 10**MAX_DIGITS:
            yield Issue(Code.NUMBER_TOO_LONG, f"An integer has at most {MAX_DIGITS} digits; give it as text.")
    elif value is not None:
        yield Issue(Code.BAD_VALUE, f"{type(value).__name__} is not a JSON value.")
