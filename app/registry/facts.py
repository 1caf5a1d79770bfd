"""What can be asked of an entry, as facts: a column, and a value that stands there in a form that can be looked up.

JSON values are frozen so that two are equal exactly when a filter takes them for equal: numbers compare as numbers,
booleans are no numbers, the order of keys says nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from app.registry.manifest import Entry

Column: TypeAlias = tuple[str, ...]
Value: TypeAlias = Any
"""Text, a number or None as it is; a token for a boolean; for a list a tuple of its elements behind `LIST`; for an
object a tuple of its (key, value) pairs, by key, behind `OBJECT`. So no element is ever equal to a pair.
"""

METADATA = "metadata"
"""What the columns of metadata begin with; the path follows."""
NAME: Column = ("name",)
TYPE: Column = ("type",)
IDENTIFIER: Column = ("dataObjectId",)
LABEL: Column = ("label",)
TEXT: Column = ("text",)
AWAITED: Column = ("awaited",)
"""Whether bytes that are pinned have yet to arrive, as Git has it: True or False."""
SETTLED: Column = ("settled",)
"""Pinned bytes that are said to have arrived, as (sha-256, size)."""

LIST, OBJECT = object(), object()
NUMBERS = (int, float)
"""The types of frozen numbers."""
_BOOLEANS = {True: object(), False: object()}


def facts(entry: Entry, shared: dict[Value, Value]) -> Iterator[tuple[Column, Value]]:
    """Every fact of an entry; some more than once. Pairs that are in `shared` already are not made anew."""
    for column, values_of in _RESERVED.items():
        for value in values_of(entry):
            yield column, value
    found: list[tuple[Column, Value]] = []
    for key, value in entry.metadata.items():
        _freeze(value, (METADATA, key), found, shared)
    yield from found


def values(entry: Entry, column: Column) -> Iterable[Value]:
    """The values of one entry in one column."""
    if column[0] == METADATA:
        return map(freeze, _standing(entry.metadata, column[1:]))
    return _RESERVED[column](entry)


def freeze(value: Any) -> Value:
    """A JSON value in the form that can be looked up."""
    return _freeze(value, (), [], {})


def _freeze(value: Any, column: Column, found: list[tuple[Column, Value]], shared: dict[Value, Value]) -> Value:
    """Freeze a value, and note it and all that is in it; the elements of a list stand where the list stands."""
    frozen: Value
    if isinstance(value, dict):
        pairs = [(key, _freeze(value[key], (*column, key), found, shared)) for key in sorted(value)]
        frozen = (OBJECT, *[shared.setdefault(pair, pair) for pair in pairs])
    elif isinstance(value, list | tuple):
        frozen = (LIST, *[_freeze(one, column, found, shared) for one in value])
    elif isinstance(value, bool):
        frozen = _BOOLEANS[value]
    else:
        frozen = value
    found.append((column, frozen))
    return frozen


def _standing(metadata: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Any]:
    """The values at a path. A list on the way stands for its elements; one at the end for itself and its elements."""
    there: list[Any] = [metadata]
    for key in path:
        there = [one[key] for one in _elements(there) if isinstance(one, dict) and key in one]
    for value in there:
        yield value
        if isinstance(value, list | tuple):
            yield from _nested(value)


def _elements(held: Iterable[Any]) -> Iterator[Any]:
    for one in held:
        if isinstance(one, list | tuple):
            yield from _elements(one)
        else:
            yield one


def _nested(held: Iterable[Any]) -> Iterator[Any]:
    for one in held:
        yield one
        if isinstance(one, list | tuple):
            yield from _nested(one)


def _labels(entry: Entry) -> Iterator[Value]:
    """The word alone, and the word with its value."""
    for label in entry.labels:
        yield (label.key,)
        if label.value is not None:
            yield label.key, label.value


def _settled(entry: Entry) -> Iterable[Value]:
    pin = entry.object
    return ((pin.sha256, pin.size),) if pin and not pin.pending else ()


_RESERVED: Mapping[Column, Callable[[Entry], Iterable[Value]]] = {
    NAME: lambda entry: (entry.name,),
    TYPE: lambda entry: () if entry.type is None else (entry.type,),
    IDENTIFIER: lambda entry: () if entry.data_object_id is None else (entry.data_object_id,),
    LABEL: _labels,
    TEXT: lambda entry: (entry.name.casefold(), entry.description.casefold()),
    AWAITED: lambda entry: (entry.object.pending,) if entry.object else (),
    SETTLED: _settled,
}
