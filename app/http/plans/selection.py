"""What an operation selects, type by type, as graphql-core collects it: the tree that a plan is written from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
    is_abstract_type,
    is_object_type,
)
from graphql.execution.collect_fields import (
    FieldDetailsList,
    FragmentDetails,
    GroupedFieldSet,
    collect_fields,
    collect_subfields,
)
from graphql.execution.values import VariableValues
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from app.schema.described import ATTRIBUTE, Attribute

BACKREF = GraphQLCoreConverter.DEFINITION_BACKREF
MOST_FIELDS = 500
"""Fields of a plan, those of an interface counted once for every type that may be there: 20 ms to write, 300 kB."""


class Unplanned(Exception):  # noqa: N818  not an error: graphql-core takes over
    """The plan does not know what to do here."""


@dataclass(frozen=True)
class Field:
    """A field of an answer. `node` carries its arguments; `parts` say what is selected of each class it may be.

    Where it is an `attribute`, its value is there without the resolver, and without the type that shows the value.
    """

    key: str
    definition: GraphQLField
    resolver: StrawberryField
    node: FieldNode
    parts: Mapping[type, "Selection"]

    @cached_property
    def attribute(self) -> str | None:
        """The path to its value; None where the resolver has to be asked, or answers with another class."""
        found = self._declared
        if found is None or [*self.parts] != ([found.view()] if found.view else []):
            return None
        return found.path

    @cached_property
    def fixed(self) -> bool:
        """Whether all that is asked for follows from the value alone, so that it never changes if that does not."""
        inner = (field for part in self.parts.values() for field in part.fields)
        return self.attribute is not None and all(isinstance(one, Typename) or one.fixed for one in inner)

    @property
    def paged(self) -> bool:
        """Whether it is the nodes of a page."""
        return self._declared is not None and self._declared.paged

    @property
    def _declared(self) -> Attribute | None:
        found = self.resolver.metadata.get(ATTRIBUTE)
        return found if isinstance(found, Attribute) else None

    @property
    def holds_waits(self) -> bool:
        """Whether something below it is to be awaited."""
        return any(part.waits for part in self.parts.values())

    @property
    def waits(self) -> bool:
        """Whether it, or something below it, is to be awaited."""
        return self.resolver.is_async or self.holds_waits


@dataclass(frozen=True, slots=True)
class Typename:
    """The name of the type, as a field of an answer."""

    key: str
    name: str
    waits: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked of one object type, in the order of the answer. Where it `waits`, some of it is to be awaited."""

    fields: tuple[Field | Typename, ...]
    waits: bool


class Selector:
    """Collects the selections of one operation, its `variables` known."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: VariableValues,
    ) -> None:
        self._schema = schema
        self._operation = operation
        self._variables = variables
        self._fragments = {
            node.name.value: FragmentDetails(node)
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._count = 0

    def root(self) -> Selection:
        """What the operation asks of the query root. Raises Unplanned, and GraphQLError for a value that is missing."""
        root = self._schema.query_type
        if root is None:
            raise Unplanned
        found = collect_fields(self._schema, self._fragments, self._variables, root, self._operation)
        return self._selection(root, found.grouped_field_set)

    def _selection(self, of: GraphQLObjectType, grouped: GroupedFieldSet) -> Selection:
        self._count += len(grouped)
        if self._count > MOST_FIELDS:
            raise Unplanned
        fields = tuple(self._field(of, key, details) for key, details in grouped.items())
        return Selection(fields, any(field.waits for field in fields))

    def _field(self, parent: GraphQLObjectType, key: str, details: FieldDetailsList) -> Field | Typename:
        node = details[0].node
        name = node.name.value
        definition = self._schema.get_field(parent, name)
        if definition is None:
            raise Unplanned
        if name == "__typename":
            return Typename(key, parent.name)
        resolver = definition.extensions.get(BACKREF)
        if not isinstance(resolver, StrawberryField) or resolver.extensions:
            raise Unplanned
        parts = {cls: self._part(of, details) for cls, of in self._types(definition)}
        return Field(key, definition, resolver, node, parts)

    def _part(self, of: GraphQLObjectType, details: FieldDetailsList) -> Selection:
        found = collect_subfields(self._schema, self._fragments, self._variables, self._operation, of, details)
        return self._selection(of, found.grouped_field_set)

    def _types(self, field: GraphQLField) -> Iterator[tuple[type, GraphQLObjectType]]:
        """The object types a field's values may have, by the class of such values; none for leaves."""
        named = get_named_type(field.type)
        if is_object_type(named):
            yield _class_of(named), named
        elif is_abstract_type(named):
            if isinstance(named, GraphQLInterfaceType) and named.extensions[BACKREF].resolve_type:
                raise Unplanned
            for possible in self._schema.get_possible_types(named):
                yield _class_of(possible), possible


def _class_of(type_: GraphQLObjectType) -> type:
    """The class whose instances have this type, and no other. Raises Unplanned where there is no such class."""
    definition = type_.extensions.get(BACKREF)
    if not isinstance(definition, StrawberryObjectDefinition) or definition.is_type_of or definition.concrete_of:
        raise Unplanned
    return definition.origin
