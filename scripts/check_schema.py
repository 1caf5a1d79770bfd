"""Hold `schema.graphql` to three things: the server serves it, it says all the contract says, and all is described.

The contract is the smallest schema that every release serves: `tests/schema/contract.graphql`, or the file named on the
command line.
"""

# ruff: noqa: INP001, T201 - a script, not a package; printing is how it answers
import sys
from collections.abc import Iterator
from pathlib import Path

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_introspection_type,
    is_specified_scalar_type,
)
from graphql.utilities.print_schema import print_input_value

from app.schema.build import print_schema

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = ROOT / "schema.graphql"
CONTRACT = ROOT / "tests" / "schema" / "contract.graphql"
Fielded = GraphQLObjectType | GraphQLInterfaceType


def main(contract: Path) -> int:
    """Exit status: 0 when all holds; 1 with a line for each thing that does not."""
    committed = COMMITTED.read_text()
    schema = build_schema(committed)
    problems = [*missing(build_schema(contract.read_text()), schema), *undescribed(schema)]
    if committed != print_schema():
        problems.append("schema.graphql is not what the server serves; run: ml-registry schema > schema.graphql")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def missing(contract: GraphQLSchema, schema: GraphQLSchema) -> Iterator[str]:
    """Everything the contract says that the schema does not say, or says otherwise."""
    for name, wanted in own_types(contract):
        served = schema.type_map.get(name)
        if type(served) is not type(wanted):
            yield f"{name} is not served as the contract has it"
        else:
            yield from _missing_of_type(wanted, served)


def _missing_of_type(wanted: GraphQLNamedType, served: GraphQLNamedType | None) -> Iterator[str]:
    match wanted, served:
        case (GraphQLObjectType() | GraphQLInterfaceType(), GraphQLObjectType() | GraphQLInterfaceType()):
            yield from _missing_of_fields(wanted, served)
        case (GraphQLInputObjectType(), GraphQLInputObjectType()):
            if wanted.is_one_of != served.is_one_of:
                yield f"{wanted.name} differs in @oneOf"
            yield from _missing_of_values(wanted.name, wanted.fields, served.fields)
        case (GraphQLUnionType(), GraphQLUnionType()):
            lacking = {t.name for t in wanted.types} - {t.name for t in served.types}
            yield from (f"{wanted.name} lacks {name}" for name in sorted(lacking))
        case (GraphQLEnumType(), GraphQLEnumType()):
            yield from (f"{wanted.name} lacks {value}" for value in sorted(wanted.values.keys() - served.values.keys()))


def _missing_of_fields(wanted: Fielded, served: Fielded) -> Iterator[str]:
    lacking = {i.name for i in wanted.interfaces} - {i.name for i in served.interfaces}
    yield from (f"{wanted.name} does not implement {name}" for name in sorted(lacking))
    for name, field in wanted.fields.items():
        found = served.fields.get(name)
        if found is None or str(found.type) != str(field.type):
            yield f"{wanted.name}.{name} is {found and found.type}, not {field.type}"
        else:
            yield from _missing_of_values(f"{wanted.name}.{name}", field.args, found.args)


def _missing_of_values(
    place: str,
    wanted: dict[str, GraphQLArgument] | dict[str, GraphQLInputField],
    served: dict[str, GraphQLArgument] | dict[str, GraphQLInputField],
) -> Iterator[str]:
    for name, value in wanted.items():
        found = served.get(name)
        written, said = print_input_value(name, value), found and print_input_value(name, found)
        if written != said:
            yield f"{place} has {said}, not {written}"
    for name in served.keys() - wanted.keys():
        if str(served[name].type).endswith("!"):
            yield f"{place}({name}:) is required, and the contract does not know it"


def undescribed(schema: GraphQLSchema) -> Iterator[str]:
    """Every type, field, argument and enum value without a description."""
    for type_name, named in own_types(schema):
        elements: dict[str, str | None] = {type_name: named.description}
        if isinstance(named, Fielded | GraphQLInputObjectType):
            for name, field in named.fields.items():
                elements[f"{type_name}.{name}"] = field.description
                for argument, value in getattr(field, "args", {}).items():
                    elements[f"{type_name}.{name}({argument}:)"] = value.description
        if isinstance(named, GraphQLEnumType):
            elements |= {f"{type_name}.{name}": value.description for name, value in named.values.items()}
        yield from (f"{place} has no description" for place, description in elements.items() if not description)


def own_types(schema: GraphQLSchema) -> Iterator[tuple[str, GraphQLNamedType]]:
    """The types a schema defines itself."""
    for name, named in schema.type_map.items():
        standard = isinstance(named, GraphQLScalarType) and is_specified_scalar_type(named)
        if not standard and not is_introspection_type(named):
            yield name, named


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else CONTRACT))
