"""Docstrings are the schema's descriptions.

The last paragraphs of a docstring may describe what has no docstring of its own, one `name: text` each, going on in
lines indented further: the attributes of a type, the arguments of a field, the values of an enum.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

import strawberry
from strawberry import UNSET
from strawberry.extensions import FieldExtension
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

C = TypeVar("C", bound=type)
ATTRIBUTE = "attribute"
"""The key of an `Attribute` in the metadata of its field."""
LINE = re.compile(r"(\w+): (.*)")


def split(documented: Any, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """A docstring as its own text, and the texts of those of `names` that it describes."""
    known = set(names)
    own: list[str] = []
    parts: dict[str, str] = {}
    current: str | None = None
    for line in (inspect.getdoc(documented) or "").splitlines():
        match = LINE.match(line)
        if match and match[1] in known:
            current = match[1]
            parts[current] = match[2]
        elif current and line.startswith(" "):
            parts[current] += " " + line.strip()
        else:
            own.append(line)
    return "\n".join(own).strip(), parts


def _describe(cls: C) -> C:
    definition: StrawberryObjectDefinition = cls.__strawberry_definition__  # type: ignore[attr-defined]
    names = [field.python_name for field in definition.fields]
    definition.description, _ = split(cls, names)
    for field in definition.fields:
        if field.default_value is None:
            field.default_value = UNSET  # what may be left out has no default to be told of
    for base in cls.__mro__:  # an attribute is described where it is declared
        _, parts = split(base, names)
        for field in definition.fields:
            field.description = field.description or parts.get(field.python_name)
    return cls


@dataclass_transform(kw_only_default=True)
def type_(cls: C) -> C:
    """An object type. Its fields stand in the schema as they do in the class: attributes without a value first."""
    written = [*vars(cls)]
    made = _describe(strawberry.type(cls))
    fields_of: list[StrawberryField] = made.__strawberry_definition__.fields  # type: ignore[attr-defined]
    fields_of.sort(key=lambda one: written.index(one.python_name) if one.python_name in written else -1)
    return made


@dataclass_transform(kw_only_default=True)
def interface(cls: C) -> C:
    """An interface."""
    return _describe(strawberry.interface(cls))


@dataclass_transform(kw_only_default=True)
def input_(cls: C) -> C:
    """An input object."""
    return _describe(strawberry.input(cls))


@dataclass_transform(kw_only_default=True)
def one_of(cls: C) -> C:
    """An input object of which exactly one field is given."""
    return _describe(strawberry.input(cls, one_of=True))


def enum(cls: type[Enum], doc: str) -> None:
    """Show an enum of the domain to callers, described for them."""
    definition = strawberry.enum(cls).__strawberry_definition__  # type: ignore[attr-defined]
    holder = type("Doc", (), {"__doc__": doc})
    definition.description, parts = split(holder, (value.name for value in definition.values))
    for value in definition.values:
        value.description = parts.get(value.name)


def field(resolver: Callable[..., Any]) -> Any:
    """A field computed by a method, with its arguments."""
    return _with_arguments(strawberry.field(resolver), resolver)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A field that no method is needed for: where its value stands, and the type that shows it to callers, if one does.

    `path` leads from the object to the value, by way of the attribute that the object is made with. With `paged`, it
    leads to the nodes of a page.
    """

    path: str
    view: Callable[[], type] | None = None
    paged: bool = False


def attribute(path: str) -> Any:
    """A field whose value stands at a path such as `value.entry.type`. The docstring of its type describes it."""
    get = attrgetter(path)
    resolver = lambda self: get(self)  # noqa: E731,PLW0108  Strawberry looks for `self`
    return strawberry.field(resolver=resolver, metadata={ATTRIBUTE: Attribute(path)})


def shown(path: str, view: Callable[[], type]) -> Any:
    """The same where callers see a value through a type, which is only needed once a request is answered."""
    get = attrgetter(path)
    return strawberry.field(resolver=lambda self: _show(view(), get(self)), metadata={ATTRIBUTE: Attribute(path, view)})


def list_of(path: str, view: Callable[[], type], *, paged: bool = False) -> Any:
    """The same for a list or a tuple of such values."""
    get = attrgetter(path)
    resolver = lambda self: [_show(view(), one) for one in get(self)]  # noqa: E731  as above
    return strawberry.field(resolver=resolver, metadata={ATTRIBUTE: Attribute(path, view, paged=paged)})


def nodes(view: Callable[[], type]) -> Any:
    """The same for the nodes of the page that a connection shows."""
    return list_of("value.nodes", view, paged=True)


@cache
def holds(view: type) -> str:
    """The name of the one attribute that such a type is made with."""
    (name,) = (one.name for one in fields(view) if one.init)
    return name


def _show(view: type, value: object) -> Any:
    return None if value is None else view(**{holds(view): value})


class _Counted(FieldExtension):
    """Holds callers to as many mutations as they may send."""

    async def resolve_async(self, next_: Callable[..., Any], source: Any, info: strawberry.Info, **given: Any) -> Any:
        """Count it, then do it."""
        info.context.count_mutation()
        return await next_(source, info, **given)


def mutation(resolver: Callable[..., Any]) -> Any:
    """A field of the mutation root."""
    return _with_arguments(strawberry.mutation(resolver, extensions=[_Counted()]), resolver)


def subscription(resolver: Callable[..., Any]) -> Any:
    """A field of the subscription root."""
    return _with_arguments(strawberry.subscription(resolver), resolver)


def _with_arguments(made: StrawberryField, resolver: Callable[..., Any]) -> StrawberryField:
    arguments = made.base_resolver.arguments if made.base_resolver else []
    made.description, parts = split(resolver, (argument.python_name for argument in arguments))
    for argument in arguments:
        argument.description = parts.get(argument.python_name)
        argument.default = UNSET if argument.default is None else argument.default
    return made
