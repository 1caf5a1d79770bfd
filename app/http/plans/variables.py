"""The variables of a request: what graphql-core makes of them, without asking the schema again what they are."""

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLSchema, OperationDefinitionNode, Undefined, get_nullable_type, is_leaf_type, is_non_null_type
from graphql.execution import get_variable_values
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource
from graphql.utilities import coerce_input_value

from app.http.plans.selection import Unplanned


class Variables:
    """The variables of one operation."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._nodes = operation.variable_definitions or ()
        found = [get_variable_signature(schema, node) for node in self._nodes]
        self._leaves = [
            one
            for one in found
            if isinstance(one, GraphQLVariableSignature)
            and not one.default
            and is_leaf_type(get_nullable_type(one.type))
        ]
        self._simple = len(self._leaves) == len(found)

    def __call__(self, given: Mapping[str, Any]) -> VariableValues:
        """The coerced values. Raises Unplanned for values that cannot be."""
        if not self._simple:
            values = get_variable_values(self._schema, self._nodes, dict(given), max_errors=1)
            if isinstance(values, list):
                raise Unplanned
            return values
        sources, coerced = {}, {}
        for one in self._leaves:
            value = given.get(one.name, Undefined)
            sources[one.name] = VariableValueSource(one, value)
            if value is not Undefined or is_non_null_type(one.type):
                coerced[one.name] = coerce_input_value(value, one.type)
                if coerced[one.name] is Undefined:
                    raise Unplanned
        return VariableValues(sources, coerced)
