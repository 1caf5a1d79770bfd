"""What resolvers are called with: coerced by graphql-core, converted by Strawberry, and most of it only once."""

from typing import Any

import strawberry
from graphql import Node, VariableNode, get_nullable_type, is_scalar_type
from graphql.execution.values import VariableValues, coerce_argument
from strawberry.relay import GlobalID
from strawberry.types.arguments import StrawberryArgument, convert_arguments
from strawberry.types.base import StrawberryMaybe

from app.http.plans.selection import Field

NO_VARIABLES = VariableValues({}, {})


class Argument:
    """One argument of one field of a document."""

    def __init__(self, schema: strawberry.Schema, field: Field, argument: StrawberryArgument) -> None:
        self._config = schema.config
        self._scalars = schema.schema_converter.scalar_registry
        self._field = field
        self._argument = argument
        self._name = schema.config.name_converter.from_argument(argument)
        self._node = next((one for one in field.node.arguments or () if one.name.value == self._name), None)
        self._variable = self._as_it_is()
        self.constant = not (self._node and _varies(self._node))

    def give(self, given: dict[str, Any], variables: VariableValues = NO_VARIABLES) -> None:
        """Put its value, if it has one, under its name in Python. Raises GraphQLError for what cannot be coerced."""
        if self._variable and (value := variables.coerced.get(self._variable)) is not None:
            given[self._argument.python_name] = value
            return
        coerced: dict[str, Any] = {}
        definition = self._field.definition.args[self._name]
        coerce_argument(coerced, self._field.node, self._name, definition, self._node, variables, None)
        given |= convert_arguments(coerced, [self._argument], self._scalars, self._config)

    def _as_it_is(self) -> str | None:
        """The variable whose value is taken as it was coerced, as those of scalars are, unless it is null or absent."""
        type_ = self._argument.type
        scalar = is_scalar_type(get_nullable_type(self._field.definition.args[self._name].type))
        if not scalar or type(type_) is StrawberryMaybe or GlobalID in (type_, getattr(type_, "of_type", None)):
            return None
        value = self._node.value if self._node else None
        return value.name.value if isinstance(value, VariableNode) else None


class Arguments:
    """The arguments of one field of a document, by their names in Python."""

    def __init__(self, schema: strawberry.Schema, field: Field) -> None:
        every = [Argument(schema, field, one) for one in field.resolver.arguments]
        self.constant: dict[str, Any] = {}
        for one in every:
            if one.constant:
                one.give(self.constant)
        self.varying = [one for one in every if not one.constant]

    def __call__(self, variables: VariableValues) -> dict[str, Any]:
        """All of them, for one request. Raises GraphQLError for what cannot be coerced."""
        given = self.constant.copy()
        for one in self.varying:
            one.give(given, variables)
        return given


def _varies(node: Node) -> bool:
    if isinstance(node, VariableNode):
        return True
    inner = (getattr(node, key) for key in node.keys)
    nodes = (one for value in inner for one in (value if isinstance(value, list | tuple) else [value]))
    return any(_varies(one) for one in nodes if isinstance(one, Node))
