"""Which artifacts a filter lets through. A filter is checked once, then asked for every entry."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import translate
from functools import partial
from typing import Any

from app.registry.diff import equal
from app.registry.errors import InvalidInputError
from app.registry.manifest import Entry
from app.registry.model import ObjectState


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


def glob(pattern: str | None) -> Callable[[str], bool]:
    """A name or a glob as a test; None lets everything through."""
    if pattern is None:
        return lambda _: True
    if not any(character in pattern for character in "*?["):
        return pattern.__eq__
    compiled = re.compile(translate(pattern))
    return lambda name: compiled.match(name) is not None


def matcher(wanted: ArtifactFilter) -> Callable[[Entry], bool]:
    """The test of one entry: everything but project, branch and object state. Raises InvalidInputError."""
    tests: list[Callable[[Entry], bool]] = []
    if wanted.name is not None:
        name = glob(wanted.name)
        tests.append(lambda entry: name(entry.name))
    if wanted.types is not None:
        types = frozenset(wanted.types)
        tests.append(lambda entry: entry.type in types)
    if wanted.label is not None:
        key, value = wanted.label
        tests.append(lambda entry: any(one.key == key and value in (None, one.value) for one in entry.labels))
    if wanted.text is not None:
        text = wanted.text.casefold()
        tests.append(lambda entry: text in entry.name.casefold() or text in entry.description.casefold())
    tests.extend(_metadata_test(condition) for condition in wanted.metadata)
    return lambda entry: all(test(entry) for test in tests)


def parse_path(path: str) -> tuple[str, ...]:
    """`config.type`, or the JSON pointer `/config/type` for keys with dots. Raises InvalidInputError."""
    if path.startswith("/"):
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    else:
        parts = path.split(".")
    if not all(parts):
        raise InvalidInputError.of(
            ("filter", "metadata", "path"), f"{path!r} is no path. Write 'config.type', or '/config/type' as a pointer."
        )
    return tuple(parts)


def _metadata_test(wanted: MetadataFilter) -> Callable[[Entry], bool]:
    path = parse_path(wanted.path)
    conditions = list(_conditions(wanted))

    def test(entry: Entry) -> bool:
        values = list(_values(entry.metadata, path))
        if wanted.exists is not None and bool(values) is not wanted.exists:
            return False
        if not conditions:
            return bool(values) or wanted.exists is False
        return any(all(condition(value) for condition in conditions) for value in values)

    return test


def _conditions(wanted: MetadataFilter) -> Iterator[Callable[[Any], bool]]:
    if wanted.eq is not MISSING:
        yield lambda value: _alike(value, wanted.eq)
    if wanted.among is not None:
        among = wanted.among
        yield lambda value: any(_alike(value, one) for one in among)
    bounds = ((wanted.gt, operator.gt), (wanted.gte, operator.ge), (wanted.lt, operator.lt), (wanted.lte, operator.le))
    for bound, holds in bounds:
        if bound is not None:
            yield partial(_within, holds, bound)
    if wanted.contains is not MISSING:
        yield lambda value: _contains(value, wanted.contains)


def _values(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Every value at a path, and the elements of a list that stands there beside the list itself."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not path:
            yield value
        for element in value:
            yield from _values(element, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


def _within(holds: Callable[[Any, Any], bool], bound: float, value: Any) -> bool:
    return _is_number(value) and holds(value, bound)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _alike(one: Any, other: Any) -> bool:
    """Equality of JSON values; numbers compare as numbers."""
    if _is_number(one) and _is_number(other):
        return bool(one == other)
    return equal(one, other)


def _contains(value: Any, part: Any) -> bool:
    """Text in a text, an element of a list, keys and values of an object."""
    if isinstance(value, str):
        return isinstance(part, str) and part in value
    if isinstance(value, Mapping):
        return isinstance(part, Mapping) and all(key in value and _alike(value[key], part[key]) for key in part)
    if isinstance(value, Sequence):
        return any(_alike(element, part) for element in value)
    return False
