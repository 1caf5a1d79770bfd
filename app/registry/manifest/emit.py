"""From JSON values to YAML that this reader, YAML 1.1 readers and people all read the same.

Text is plain where nobody could take it for something else, a literal block where it has lines, else double-quoted.
"""

import re
from collections.abc import Mapping

from app.registry.manifest.model import JSON
from app.registry.manifest.scalars import is_retyped

_UNSAFE_START = frozenset("-?:,[]{}#&*!|>'\"%@`=<.~ \t")
_UNSAFE = re.compile(r": |:\Z| #|\s\Z|\t")
_UNSAFE_IN_FLOW = re.compile(r"[,\[\]{}]|:[,\[\]{}]")
_DIGITS = re.compile(r"[0-9]{1,20}\Z")
_NAMED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
IDENTIFIER = "dataObjectId"


def text(value: str, *, flow: bool) -> str:
    """Text on one line."""
    unsafe = (
        value[:1] in _UNSAFE_START
        or not value.isprintable()
        or is_retyped(value)
        or _UNSAFE.search(value)
        or (flow and _UNSAFE_IN_FLOW.search(value))
    )
    return f'"{"".join(map(_escaped, value))}"' if unsafe else value


def scalar(value: JSON, *, flow: bool, identifier: bool = False) -> str:
    """A scalar on one line. With `identifier` digits stay bare, because the reader takes them as text there."""
    if isinstance(value, str):
        return value if identifier and _DIGITS.match(value) else text(value, flow=flow)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _float(value) if isinstance(value, float) else str(value)


def inline(value: JSON, *, entry: bool = False) -> str:
    """Any value on one line, in flow style. `entry`: it is an entry, so its dataObjectId is an identifier."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(inline_pair(key, item, entry=entry) for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(inline(item) for item in value) + "]"
    return scalar(value, flow=True)


def inline_pair(key: str, value: JSON, *, entry: bool = False) -> str:
    """A key and its value in flow style."""
    if isinstance(value, Mapping | list | tuple):
        return f"{text(key, flow=True)}: {inline(value)}"
    return f"{text(key, flow=True)}: {scalar(value, flow=True, identifier=entry and key == IDENTIFIER)}"


def after_key(value: JSON, column: int, step: int, *, identifier: bool = False, entry: bool = False) -> list[str]:
    """What follows the colon of a key at `column` in block style: the rest of its line, then the lines below it."""
    if isinstance(value, Mapping | list | tuple) and value:
        return ["", *block(value, column + step, step, entry=entry)]
    if isinstance(value, str) and _is_literal(value):
        header = " |" if value.endswith("\n") else " |-"
        lines = value.removesuffix("\n").split("\n")
        return [header, *(" " * (column + step) + line if line else "" for line in lines)]
    if isinstance(value, Mapping | list | tuple):
        return [" " + inline(value)]
    return [" " + scalar(value, flow=False, identifier=identifier)]


def pair(key: str, value: JSON, column: int, step: int, *, entry: bool = False) -> list[str]:
    """The lines of a key and its value in block style. `entry`: the key stands directly in an entry."""
    first, *rest = after_key(value, column, step, identifier=entry and key == IDENTIFIER)
    return [f"{' ' * column}{text(key, flow=False)}:{first}", *rest]


def block(value: JSON, column: int, step: int, *, entry: bool = False) -> list[str]:
    """The lines of a collection that is not empty, in block style."""
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in pair(key, item, column, step, entry=entry)]
    return [line for item in value for line in element(item, column, step)]


def element(value: JSON, column: int, step: int, *, entry: bool = False) -> list[str]:
    """The lines of one item of a list in block style."""
    dash = " " * column + "-"
    if isinstance(value, Mapping | list | tuple) and value:
        first, *rest = block(value, column + 2, step, entry=entry)
        return [f"{dash} {first[column + 2 :]}", *rest]
    first, *rest = after_key(value, column, step)
    return [dash + first, *rest]


def _is_literal(value: str) -> bool:
    body = value.removesuffix("\n")
    if "\n" not in value or not body or body[0].isspace() or body[-1].isspace():
        return False
    return all(line.isprintable() for line in body.replace("\t", " ").split("\n"))


def _escaped(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"


def _float(value: float) -> str:
    # YAML 1.1 wants a point in the mantissa and a sign in the exponent.
    mantissa, exponent, power = repr(value).partition("e")
    if exponent and "." not in mantissa:
        mantissa += ".0"
    return mantissa + exponent + power
