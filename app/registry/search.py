"""Which artifacts a filter lets through. A filter is checked once and becomes conditions, each on one column."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import translate
from math import inf
from typing import Any

from app.registry.errors import InvalidInputError
from app.registry.facts import (
    AWAITED,
    IDENTIFIER,
    LABEL,
    METADATA,
    NAME,
    NUMBERS,
    OBJECT,
    TEXT,
    TYPE,
    Column,
    Value,
    freeze,
    values,
)
from app.registry.manifest import DEFAULT_LIMITS, Entry
from app.registry.model import ObjectState

MAX_PATTERN = 1000
"""Characters of a glob or a path; names are much shorter."""
MAX_CONDITIONS = 32
"""Conditions on metadata in one filter."""
_BAD_ESCAPE = re.compile("~(?![01])")


class Missing(Enum):
    """Stands for a condition that is not asked, where None asks for a null. Reads alike in every process."""

    MISSING = "MISSING"


MISSING = Missing.MISSING


@dataclass(frozen=True, slots=True)
class MetadataFilter:
    """Conditions on the value at a path; those that are None are not asked. A path through a list means any element."""

    path: str
    eq: Any = MISSING
    among: Sequence[Any] | None = None
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None
    contains: Any = MISSING
    exists: bool | None = None


@dataclass(frozen=True, slots=True)
class ArtifactFilter:
    """All conditions that are given must hold. Names may be globs (`*`, `?`, `[a-z]`)."""

    project: str | None = None
    branch: str | None = None
    name: str | None = None
    types: Sequence[str] | None = None
    label: tuple[str, str | None] | None = None
    object_states: Sequence[ObjectState] | None = None
    metadata: Sequence[MetadataFilter] = ()
    text: str | None = None
    data_object_id: str | None = None


Choice = Callable[[Iterable[Value]], Iterable[Value]]
"""Of some values, those that are looked for. One call for many values is what makes a long scan fast."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds when a value in the column is one of `among` (None: whatever it is) and every choice takes it.

    An `absent` one holds when there is no value.
    """

    column: Column
    among: frozenset[Value] | None = None
    choices: tuple[Choice, ...] = ()
    absent: bool = False

    def holds(self, entry: Entry) -> bool:
        """Whether an entry fulfils it."""
        there = values(entry, self.column)
        if self.among is not None:
            there = [value for value in there if value in self.among]
        return any(True for _ in self.chosen(there)) is not self.absent

    def chosen(self, there: Iterable[Value]) -> Iterable[Value]:
        """Of some values that are among those asked for, the ones every choice takes."""
        for choice in self.choices:
            there = choice(there)
        return there


@dataclass(frozen=True, slots=True)
class Between:
    """The choice of numbers within all bounds; one that is not asked lies at infinity."""

    above: float
    least: float
    below: float
    most: float

    def __call__(self, there: Iterable[Value]) -> Iterable[Value]:
        """Those of some values."""
        above, least, below, most = self.above, self.least, self.below, self.most
        return [one for one in there if isinstance(one, NUMBERS) and above < one < below and least <= one <= most]

    def part_of(self, numbers: Sequence[float]) -> slice:
        """Where they stand in some numbers that are sorted."""
        begin = max(bisect_right(numbers, self.above), bisect_left(numbers, self.least))
        return slice(begin, min(bisect_left(numbers, self.below), bisect_right(numbers, self.most)))


def glob(pattern: str | None) -> Callable[[str], bool]:
    """A name or a glob as a test; None lets everything through."""
    if pattern is None:
        return lambda _: True
    if not _is_glob(pattern):
        return pattern.__eq__
    compiled = re.compile(translate(pattern))  # whose every `*` is taken once and for all: no text makes it slow
    return lambda name: compiled.match(name) is not None


def asks_store(states: Collection[ObjectState]) -> bool:
    """Whether what Git says of the bytes is not enough, since just one of READY and MISSING is asked for."""
    return (ObjectState.READY in states) is not (ObjectState.MISSING in states)


def matcher(wanted: ArtifactFilter) -> Callable[[Entry], bool]:
    """The test of one entry: everything but project, branch and what only the store knows. Raises InvalidInputError."""
    asked = conditions(wanted)
    return lambda entry: all(condition.holds(entry) for condition in asked)


def conditions(wanted: ArtifactFilter) -> list[Condition]:
    """What an entry has to fulfil, the cheapest first. Raises InvalidInputError, for all of the filter."""
    for field, pattern in (("project", wanted.project), ("branch", wanted.branch), ("name", wanted.name)):
        if pattern is not None and len(pattern) > MAX_PATTERN:
            raise InvalidInputError.of(("filter", field), f"A name or a glob has at most {MAX_PATTERN} characters.")
    if len(wanted.metadata) > MAX_CONDITIONS:
        message = f"A filter has at most {MAX_CONDITIONS} conditions on metadata, not {len(wanted.metadata)}."
        raise InvalidInputError.of(("filter", "metadata"), message)
    return sorted(_conditions(wanted), key=lambda condition: bool(condition.choices))


def parse_path(path: str, where: tuple[str, ...] = ("path",)) -> tuple[str, ...]:
    """`config.type`, or the JSON pointer `/config/type` for keys with dots. Raises InvalidInputError."""
    if path.startswith("/"):
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    else:
        parts = path.split(".")
    if len(path) > MAX_PATTERN or len(parts) > DEFAULT_LIMITS.depth:
        message = f"A path has at most {DEFAULT_LIMITS.depth} keys and {MAX_PATTERN} characters; no entry goes deeper."
        raise InvalidInputError.of(where, message)
    if not all(parts):
        message = f"{path!r} is no path. Write 'config.type', or '/config/type' as a pointer."
        raise InvalidInputError.of(where, message)
    if path.startswith("/") and _BAD_ESCAPE.search(path):
        raise InvalidInputError.of(where, f"{path!r} is no JSON pointer: write '~0' for '~' and '~1' for '/'.")
    return tuple(parts)


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def _conditions(wanted: ArtifactFilter) -> Iterator[Condition]:
    if wanted.name is not None and not _is_glob(wanted.name):
        yield Condition(NAME, frozenset([wanted.name]))
    if wanted.types is not None:
        yield Condition(TYPE, frozenset(wanted.types))
    if wanted.data_object_id is not None:
        yield Condition(IDENTIFIER, frozenset([wanted.data_object_id]))
    if wanted.label is not None:
        key, value = wanted.label
        yield Condition(LABEL, frozenset([(key,) if value is None else (key, value)]))
    if wanted.object_states is not None:
        awaited = {state is ObjectState.PENDING for state in wanted.object_states}
        yield Condition(AWAITED, frozenset(awaited))
    for number, one in enumerate(wanted.metadata):
        yield from _on_metadata(one, ("filter", "metadata", str(number)))
    if wanted.text is not None:
        text = wanted.text.casefold()
        yield Condition(TEXT, choices=(lambda texts: [one for one in texts if text in one],))
    if wanted.name is not None and _is_glob(wanted.name):
        fits = re.compile(translate(wanted.name)).match
        yield Condition(NAME, choices=(lambda names: filter(fits, names),))


def _on_metadata(wanted: MetadataFilter, where: tuple[str, ...]) -> Iterator[Condition]:
    column = (METADATA, *parse_path(wanted.path, (*where, "path")))
    among = None if wanted.among is None else frozenset(_frozen(one, (*where, "in")) for one in wanted.among)
    if wanted.eq is not MISSING:
        value = _frozen(wanted.eq, (*where, "eq"))
        among = frozenset([value]) if among is None or value in among else frozenset()
    part = MISSING if wanted.contains is MISSING else _frozen(wanted.contains, (*where, "contains"))
    pairs = part[1:] if isinstance(part, tuple) and part[0] is OBJECT else ()
    choices = (*_bounds(wanted), *_containing(part, pairs))
    if wanted.exists is not False:
        yield Condition(column, among, choices)
        for key, value in pairs:
            yield Condition((*column, key), frozenset([value]))  # follows from the above, and is but a look-up
    elif among is None and not choices:
        yield Condition(column, absent=True)
    else:
        yield Condition(column, frozenset())  # what is not there fulfils nothing


def _bounds(wanted: MetadataFilter) -> Iterator[Choice]:
    bounds = ((wanted.gt, -inf), (wanted.gte, -inf), (wanted.lt, inf), (wanted.lte, inf))
    if any(bound is not None for bound, _ in bounds):
        yield Between(*(nowhere if bound is None else bound for bound, nowhere in bounds))


def _containing(part: Value, pairs: tuple[Value, ...]) -> Iterator[Choice]:
    """Texts with a text in them, lists with an element, objects with some pairs, or any when the pairs are none.

    A list with a text among its elements needs no look: that element stands in the same column.
    """
    if pairs:
        yield from (_holding(tuple, pair) for pair in pairs)
    elif part is not MISSING:
        yield _holding(str if isinstance(part, str) else tuple, OBJECT if part == (OBJECT,) else part)


def _holding(kind: type[Any], item: Value) -> Choice:
    return lambda there: [one for one in there if isinstance(one, kind) and item in one]


def _frozen(value: Any, where: tuple[str, ...]) -> Value:
    """A value to compare with. Raises InvalidInputError for one that is deeper than any entry."""
    level = [value]
    for _ in range(DEFAULT_LIMITS.depth + 1):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        message = f"A value is nested at most {DEFAULT_LIMITS.depth} deep; no entry goes deeper."
        raise InvalidInputError.of(where, message)
    return freeze(value)


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
