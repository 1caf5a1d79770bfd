"""Scalars and enums as they stand in answers: the common case as an expression, everything else by graphql-core."""

from collections.abc import Callable
from typing import Any

from graphql import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLString,
    Undefined,
)
from strawberry.types.enum import StrawberryEnumDefinition

from app.http.plans.selection import BACKREF, Unplanned
from app.schema.scalars import unchanged


def as_it_is(type_: GraphQLLeafType, value: str) -> str | None:
    """When the value named `value` needs no look at all, as a condition; None when it always does."""
    if type_ in (GraphQLString, GraphQLID) or type_.coerce_output_value is str:
        return f"type({value}) is str"
    if type_.coerce_output_value is unchanged:
        return f"type({value}) is dict"
    if type_ is GraphQLInt:
        return f"type({value}) is int and {GRAPHQL_MIN_INT} <= {value} <= {GRAPHQL_MAX_INT}"
    if type_ is GraphQLBoolean:
        return f"type({value}) is bool"
    return None


def coercion(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    """What makes any value of the type what stands in the answer. It raises where graphql-core reports an error."""
    coerce = type_.coerce_output_value

    def coerced(value: Any) -> Any:
        if value is None or value is Undefined or isinstance(value, Exception):
            raise Unplanned
        answer = coerce(value)
        if answer is None or answer is Undefined:
            raise Unplanned
        return answer

    return _members(type_, coerced) if isinstance(type_, GraphQLEnumType) else coerced


def _members(type_: GraphQLEnumType, coerced: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same for an enum whose members are looked up; what only equals one is not taken for it."""
    definition = type_.extensions.get(BACKREF)
    if not isinstance(definition, StrawberryEnumDefinition):
        raise Unplanned
    kind = definition.wrapped_cls
    members: list[Any] = list(kind)
    names = {member: coerced(member) for member in members}
    return lambda value: names[value] if type(value) is kind else coerced(value)
