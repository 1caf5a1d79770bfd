"""How much a caller may ask for at once, and the one pass over a document that holds it to that.

The pass visits every selection once and every fragment once, however often it is spread, so its time grows with the
text of a document and never with what the text expands to. It runs before the standard rules: some of those are slow
on exactly the documents that are refused here.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInputType,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    type_from_ast,
)

from app.resolvers.limits import Limits

LIMIT_EXCEEDED = "QUERY_LIMIT_EXCEEDED"
MAX_NESTING = 100
"""Selection sets inside each other, fragments followed, beyond which a document is not measured but refused."""
MAX_DIGITS = 9
"""Digits of a page size that are read; longer ones are as large as a page can be."""


class Measure(NamedTuple):
    """The size of a selection: `width` counts the fields of its own level, `cost` the fields its answer may hold."""

    depth: int = 0
    width: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    cost: int = 0

    def beside(self, other: "Measure") -> "Measure":
        """The size of both selections in the same selection set."""
        return Measure(
            max(self.depth, other.depth),
            self.width + other.width,
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.cost + other.cost,
        )


NOTHING = Measure()


def check_limits(schema: GraphQLSchema, document: DocumentNode, limits: Limits) -> list[GraphQLError]:
    """The limits the first definition that is too large exceeds, one error each; empty when all are kept.

    Fields and types the schema does not have, and fragments that spread themselves, are left to the standard rules.
    """
    ruler = _Ruler(schema, document, limits.page_size)
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            continue
        try:
            sentences = list(_exceeded(ruler.definition(definition), definition, limits))
        except _NestedTooDeeplyError:
            sentences = [f"is nested more than {limits.query_depth} fields deep"]
        if sentences:
            return [_error(definition, sentence) for sentence in sentences]
    return []


def _error(definition: OperationDefinitionNode | FragmentDefinitionNode, sentence: str) -> GraphQLError:
    message = f"The query {sentence}; ask for less at once."
    return GraphQLError(message, definition, extensions={"code": LIMIT_EXCEEDED})


def _exceeded(
    measure: Measure, definition: OperationDefinitionNode | FragmentDefinitionNode, limits: Limits
) -> Iterator[str]:
    if measure.depth > limits.query_depth:
        yield f"is nested more than {limits.query_depth} fields deep"
    if isinstance(definition, OperationDefinitionNode) and measure.width > limits.root_fields:
        yield f"has more than {limits.root_fields} fields at its root"
    if measure.fields > limits.fields:
        yield f"has more than {limits.fields} fields, fragments expanded"
    if measure.aliases > limits.aliases:
        yield f"has more than {limits.aliases} aliases, fragments expanded"
    if measure.directives > limits.directives:
        yield f"has more than {limits.directives} directives, fragments expanded"
    if measure.cost > limits.cost:
        yield f"may answer with more than {limits.cost} fields, as its page sizes multiply"


Inputs: TypeAlias = Mapping[str, GraphQLInputType]


def inputs(schema: GraphQLSchema, operation: OperationDefinitionNode) -> Inputs:
    """The variables of a valid operation that may hold more than one value each, and their types."""
    nodes = operation.variable_definitions or ()
    found = {node.variable.name.value: cast("GraphQLInputType", type_from_ast(schema, node.type)) for node in nodes}
    return {name: kind for name, kind in found.items() if not is_leaf_type(get_nullable_type(kind))}


def check_values(inputs: Inputs, variables: Mapping[str, Any], limits: Limits) -> list[GraphQLError]:
    """The same for the values of variables: to make input objects of them takes some 20 µs each."""
    if _hold_more(inputs, variables, limits.input_values):
        message = f"The variables hold more than {limits.input_values} values; send less at once."
        return [GraphQLError(message, extensions={"code": LIMIT_EXCEEDED})]
    return []


def _hold_more(inputs: Inputs, variables: Mapping[str, Any], most: int) -> bool:
    """Whether there are more than `most`. A scalar is one value, and so is what does not fit its type."""
    waiting: list[tuple[Any, Any]] = [(variables.get(name), kind) for name, kind in inputs.items()]
    count = len(waiting)
    while waiting and count <= most:
        value, given = waiting.pop()
        kind = get_nullable_type(given)
        inner: list[tuple[Any, Any]] = []
        if is_list_type(kind):
            items = value if isinstance(value, list) else [value]
            inner = [(item, kind.of_type) for item in items[: most + 1]]
        elif is_input_object_type(kind) and isinstance(value, dict):
            inner = [(value[name], field.type) for name, field in kind.fields.items() if name in value]
        count += len(inner)
        waiting += inner
    return count > most


class _NestedTooDeeplyError(Exception):
    """The document nests further than is worth measuring."""


class _Ruler:
    """Measures the definitions of one document, each fragment once."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, page_size: int) -> None:
        self._schema = schema
        self._page_size = page_size
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._measured: dict[str, Measure] = {}
        self._nesting = 0

    def definition(self, node: OperationDefinitionNode | FragmentDefinitionNode) -> Measure:
        """The size of an operation or a fragment. Raises _NestedTooDeeplyError."""
        if isinstance(node, FragmentDefinitionNode):
            return self._fragment(node.name.value)
        measure = self._selections(node.selection_set, self._schema.get_root_type(node.operation))
        variables = sum(len(variable.directives or ()) for variable in node.variable_definitions or ())
        return measure.beside(Measure(directives=len(node.directives or ()) + variables))

    def _fragment(self, name: str) -> Measure:
        if name not in self._measured:
            self._measured[name] = NOTHING  # what a fragment that spreads itself adds: the cycle is reported elsewhere
            if node := self._fragments.get(name):
                measure = self._selections(node.selection_set, self._schema.get_type(node.type_condition.name.value))
                self._measured[name] = measure.beside(Measure(directives=len(node.directives or ())))
        return self._measured[name]

    def _selections(self, node: SelectionSetNode, parent: GraphQLNamedType | None) -> Measure:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise _NestedTooDeeplyError
        total = NOTHING
        for selection in node.selections:
            total = total.beside(self._selection(selection, parent))
        self._nesting -= 1
        return total

    def _selection(self, node: SelectionNode, parent: GraphQLNamedType | None) -> Measure:
        if isinstance(node, FieldNode):
            return self._field(node, parent)
        if isinstance(node, InlineFragmentNode):
            condition = node.type_condition
            inner = self._selections(
                node.selection_set, self._schema.get_type(condition.name.value) if condition else parent
            )
        else:
            inner = self._fragment(node.name.value) if isinstance(node, FragmentSpreadNode) else NOTHING
        return inner.beside(Measure(directives=len(node.directives or ())))

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Measure:
        name = node.name.value
        definition = self._schema.get_field(parent, name) if is_composite_type(parent) else None
        inner = NOTHING
        if node.selection_set:
            inner = self._selections(node.selection_set, get_named_type(definition.type) if definition else None)
        return Measure(
            # How far introspection may go has a standard rule of its own.
            depth=1 if name in {"__schema", "__type"} else 1 + inner.depth,
            width=1,
            fields=1 + inner.fields,
            aliases=inner.aliases + (node.alias is not None),
            directives=inner.directives + len(node.directives or ()),
            cost=1 + self._page(node, definition) * inner.cost,
        )

    def _page(self, node: FieldNode, definition: GraphQLField | None) -> int:
        """How many items a paged field may answer with; 1 for every other field. A variable counts as the largest."""
        argument = definition.args.get("first") if definition else None
        if argument is None:
            return 1
        given = next((given.value for given in node.arguments or () if given.name.value == "first"), None)
        size = self._page_size
        if given is None and isinstance(argument.default_value, int):
            size = argument.default_value
        elif isinstance(given, IntValueNode) and len(given.value) <= MAX_DIGITS:
            size = int(given.value)
        return max(1, min(size, self._page_size))
