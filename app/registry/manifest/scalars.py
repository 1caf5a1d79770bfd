"""Plain scalars: what the YAML 1.2 core schema makes of them, and which text other readers would retype."""

import math
import re

from app.registry.manifest.model import JSON, Code

MAX_DIGITS = 400

_WORDS: dict[str, JSON] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_STARTS = frozenset("~ntfNTF0123456789+-.")
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")

# What YAML 1.1 readers, or lax ones, take for something else than text. Wider than any single reader's rules.
_RETYPED = re.compile(
    r"(?:|~|=|<<|y|n|yes|no|on|off|true|false|null|[-+]?\.(?:inf|nan)"
    r"|[-+]?\.?[0-9][0-9_,.:]*(?:e[-+]?[0-9_.:]*)?"
    r"|[-+]?0[xob][0-9a-f_]*"
    r"|[0-9]{4}-[0-9]{1,2}(?:-[0-9]{1,2}.*)?)\Z",
    re.IGNORECASE | re.DOTALL,
)


class ScalarError(Exception):
    """A plain scalar has no JSON value; `code` says why."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def resolve(text: str) -> JSON:
    """The value of a plain scalar: None, bool, int, finite float or the text itself. Raises ScalarError."""
    if text and text[0] not in _STARTS:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        if len(text) > MAX_DIGITS:
            raise ScalarError(Code.NUMBER_TOO_LONG, f"An integer has at most {MAX_DIGITS} digits; put it in quotes.")
        return int(text)
    if _FLOAT.match(text):
        return _finite(text)
    if _BASED.match(text):
        if len(text) > MAX_DIGITS:
            raise ScalarError(Code.NUMBER_TOO_LONG, f"An integer has at most {MAX_DIGITS} digits; put it in quotes.")
        return int(text, 0)
    if _NOT_FINITE.match(text):
        raise ScalarError(Code.NOT_FINITE, f"{text} has no place in JSON; leave it out or put it in quotes.")
    return text


def is_null(text: str) -> bool:
    """Whether a plain scalar stands for nothing."""
    return text in _WORDS and _WORDS[text] is None


def is_retyped(text: str) -> bool:
    """Whether some YAML reader would make a plain `text` something else than text."""
    return _RETYPED.match(text) is not None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ScalarError(Code.NOT_FINITE, "The number is too large for a float; put it in quotes.")
    return number
