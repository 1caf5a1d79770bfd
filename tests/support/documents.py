"""Queries over a whole schema, made at random: every field, argument, fragment and directive it knows."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLNamedType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
)

MOST_FIELDS = 60
PLAIN = (None, True, False, 0, -7, 2**40, 1.5, "", "tsv", 'a "quoted" \\ line\n', "é😀")


@dataclass
class Document:
    """A query and the variables it is sent with."""

    text: str
    variables: dict[str, Any]


@dataclass
class Writer:
    """Writes one document.

    `known` are values worth asking for, by the place of an argument (`Query.project.name`), its name or a type's.
    """

    random: Random
    schema: GraphQLSchema
    known: Mapping[str, Sequence[Any]]
    variables: dict[str, Any] = field(default_factory=dict)
    defined: dict[str, str] = field(default_factory=dict)
    fragments: dict[str, tuple[GraphQLNamedType, str]] = field(default_factory=dict)
    count: int = 0

    def document(self, name: str = "Query", within: str = "%s") -> Document:
        """Selections of the type with that name, which stand `within` the rest of a query."""
        body = within % self._selections(self.schema.type_map[name], self.random.randint(2, 7))
        head = (
            f"query Q({', '.join(f'${name}: {kind}' for name, kind in self.defined.items())})" if self.defined else ""
        )
        fragments = (f"fragment {name} on {of} {text}" for name, (of, text) in self.fragments.items())
        return Document("\n".join([f"{head} {body}", *fragments]), self.variables)

    def _often(self, share: float) -> bool:
        return self.random.random() < share

    def _selections(self, of: GraphQLNamedType, depth: int) -> str:
        wanted = self.random.choice((1, 2, 2, 3, 4, 6))
        chosen = [self._selection(of, depth) for _ in range(wanted)]
        return f"{{ {' '.join([one for one in chosen if one] or ['__typename'])} }}"

    def _selection(self, of: GraphQLNamedType, depth: int) -> str:
        roll = self.random.random()
        fields = self._fields(of, depth)
        if roll < 0.08 or self.count > MOST_FIELDS:
            return f"{self._alias('__typename', '')}{self._directives()}"
        if depth > 1 and (roll < 0.2 or not fields):
            inner = self._narrowed(of)
            condition = f"on {inner} " if inner is not of or self._often(0.5) else ""
            return f"... {condition}{self._directives()} {self._selections(inner, depth - 1)}"
        if depth > 1 and roll < 0.3:
            return f"...{self._fragment(of, depth)}{self._directives()}"
        if not fields:
            return "__typename"
        name = self.random.choice(list(fields))
        return self._field(of, name, fields[name], depth)

    def _fields(self, of: GraphQLNamedType, depth: int) -> dict[str, GraphQLField]:
        """The fields of a type; at the end of the depth, those without fields of their own."""
        fields: dict[str, GraphQLField] = getattr(of, "fields", {})
        return {key: one for key, one in fields.items() if depth > 1 or is_leaf_type(get_named_type(one.type))}

    def _field(self, of: GraphQLNamedType, name: str, definition: GraphQLField, depth: int) -> str:
        self.count += 1
        arguments = self._arguments(f"{of}.{name}", definition)
        named = get_named_type(definition.type)
        inner = f" {self._selections(named, depth - 1)}" if is_composite_type(named) else ""
        # What has arguments is called after them, and after its type: only what is the same is merged.
        alias = self._alias(name, f"{of}_{zlib.crc32(arguments.encode())}" if definition.args else "")
        return f"{alias}{arguments}{self._directives()}{inner}"

    def _alias(self, name: str, suffix: str) -> str:
        if suffix:
            return f"{name}_{suffix}: {name}"
        return f"{self.random.choice('ab')}_{name}: {name}" if self._often(0.15) else name

    def _narrowed(self, of: GraphQLNamedType) -> GraphQLNamedType:
        """The type itself, one of those it may be, or an interface it has."""
        if is_abstract_type(of):
            return self.random.choice([of, *self.schema.get_possible_types(of)])
        return self.random.choice([of, *getattr(of, "interfaces", ())])

    def _fragment(self, of: GraphQLNamedType, depth: int) -> str:
        inner = self._narrowed(of)
        fitting = [name for name, (of, text) in self.fragments.items() if of is inner and text]
        if fitting and self._often(0.5):
            return self.random.choice(fitting)
        name = f"F{len(self.fragments)}"
        self.fragments[name] = inner, ""
        self.fragments[name] = inner, self._selections(inner, depth - 1)
        return name

    def _directives(self) -> str:
        if not self._often(0.12):
            return ""
        condition = self.random.choice(("true", "false"))
        if self._often(0.7):
            name = self.random.choice(("yes", "no"))
            self.defined[name] = "Boolean!"
            self.variables[name] = self._often(0.5)
            condition = f"${name}"
        return f" @{self.random.choice(('skip', 'include'))}(if: {condition})"

    def _arguments(self, field: str, definition: GraphQLField) -> str:
        given = []
        for name, argument in definition.args.items():
            if is_required_argument(argument) or self._often(0.4):
                given.append(f"{name}: {self._argument(field, name, argument)}")
        return f"({', '.join(given)})" if given else ""

    def _argument(self, field: str, name: str, argument: GraphQLArgument) -> str:
        place = f"{field}.{name}"
        value = self._value(place if place in self.known else name, argument.type)
        if self._often(0.55):
            return self._literal(get_named_type(argument.type), value)
        variable = f"v{len(self.defined)}"
        default = f" = {self._literal(get_named_type(argument.type), value)}" if self._often(0.2) else ""
        self.defined[variable] = f"{argument.type}{default}"
        if not (default or not is_non_null_type(argument.type)) or self._often(0.7):
            self.variables[variable] = {"no": "value"} if self._often(0.02) else value
        return f"${variable}"

    def _value(self, name: str, type_: Any) -> Any:
        if is_non_null_type(type_):
            return self._present(name, type_.of_type)
        return None if self._often(0.1) else self._present(name, type_)

    def _present(self, name: str, type_: Any) -> Any:
        if is_list_type(type_):
            return [self._value(name, type_.of_type) for _ in range(self.random.randint(0, 2))]
        if isinstance(type_, GraphQLInputObjectType):
            return {
                key: self._value(key, one.type)
                for key, one in type_.fields.items()
                if is_required_input_field(one) or self._often(0.2)
            }
        if isinstance(type_, GraphQLEnumType):
            return self.random.choice(list(type_.values))
        if type_.name == "JSON":
            return self._json(2)
        known = self.known.get(name) or self.known[type_.name]
        return self.random.choice(known)

    def _json(self, depth: int) -> Any:
        roll = self.random.random()
        if depth and roll < 0.2:
            return [self._json(depth - 1) for _ in range(self.random.randint(0, 2))]
        if depth and roll < 0.4:
            return {self.random.choice(("type", "rows", "x")): self._json(depth - 1)}
        return self.random.choice(PLAIN)

    def _literal(self, type_: GraphQLNamedType, value: Any) -> str:
        if isinstance(value, list):
            return f"[{', '.join(self._literal(type_, one) for one in value)}]"
        if isinstance(value, dict):
            fields = getattr(type_, "fields", {})
            parts = (f"{key}: {self._literal(_type_of(fields, key, type_), one)}" for key, one in value.items())
            return f"{{{', '.join(parts)}}}"
        if isinstance(value, str):
            return value if isinstance(type_, GraphQLEnumType) else json.dumps(value, ensure_ascii=False)
        return json.dumps(value)


def _type_of(fields: Mapping[str, Any], key: str, outer: GraphQLNamedType) -> GraphQLNamedType:
    return get_named_type(fields[key].type) if key in fields else outer
