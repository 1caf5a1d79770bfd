"""Which documents have answers that may be kept, and that this was decided of every field there is."""

import pytest
from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    parse,
    validate,
)

from app.http.lasting import FILTER, LASTING, STATE, lasting
from app.schema.build import build_schema

SCHEMA = build_schema()._schema  # noqa: SLF001  what the walk is given
FLEETING = {
    "Query.viewer",  # who asks
    "Project.viewerCanWrite",
    "Query.upload",  # secrets, and what the store has
    "Upload.*",
    "UploadPart.*",
    "ArrivedPart.*",
    "StoredObject.state",
    "StoredObject.download",
    "Download.*",
    "HttpHeader.*",
    "Project.sync",  # clocks, and how far the registry has come
    "SyncStatus.*",
    "Registry.eventCursor",
    "Project.events",
    "EventConnection.*",
    "EventEdge.*",
    "Event.*",
    "ArtifactEvent.*",
    "BranchEvent.*",
    "ManifestEvent.*",
}


def fields(of: GraphQLNamedType) -> dict[str, GraphQLField]:
    return of.fields if isinstance(of, GraphQLObjectType | GraphQLInterfaceType) else {}


def readable() -> dict[str, GraphQLNamedType]:
    """The types a query can come to, by name."""
    assert SCHEMA.query_type
    found: dict[str, GraphQLNamedType] = {}
    ahead: list[GraphQLNamedType] = [SCHEMA.query_type]
    while ahead:
        one = ahead.pop()
        if one.name not in found:
            found[one.name] = one
            ahead += [get_named_type(field.type) for field in fields(one).values()]
            ahead += [
                get_named_type(argument.type) for field in fields(one).values() for argument in field.args.values()
            ]
            if isinstance(one, GraphQLInputObjectType):
                ahead += [get_named_type(field.type) for field in one.fields.values()]
            if isinstance(one, GraphQLInterfaceType | GraphQLUnionType):
                ahead += SCHEMA.get_possible_types(one)
    return found


def test_it_is_decided_of_every_field_a_query_can_ask_for_whether_it_lasts() -> None:
    there = {f"{name}.{field}" for name, one in readable().items() for field in fields(one)}
    fleeting = {one for one in there if one in FLEETING or f"{one.partition('.')[0]}.*" in FLEETING}
    assert there - LASTING == fleeting
    assert there >= LASTING
    assert not fleeting & LASTING


def test_only_one_condition_of_a_filter_asks_the_store() -> None:
    inputs = [one for one in readable().values() if isinstance(one, GraphQLInputObjectType)]
    named = {(one.name, name) for one in inputs for name, it in one.fields.items() if "State" in str(it.type)}
    assert named == {(FILTER, STATE)}


@pytest.mark.parametrize(
    "query",
    [
        "{ __typename registry { version } }",
        '{ __schema { types { name fields { name } } } __type(name: "Query") { kind } }',
        "query($n: String!) { project(name: $n) { branches { nodes { head { oid author { at } } } } } }",
        '{ ...a } fragment a on Query { artifact(project: "p", name: "n") { ... on Node { id } object { digest } } }',
        '{ artifacts(filter: {type: ["m"], metadata: [{path: "a", eq: {objectStat: 1}}]}) { totalCount } }',
    ],
)
def test_what_follows_from_git_lasts(query: str) -> None:
    document = parse(query)
    assert not validate(SCHEMA, document)
    assert lasting(SCHEMA, document)


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer { name } }",
        "{ registry { version cursor: eventCursor } }",
        '{ project(name: "p") { name viewerCanWrite } }',
        '{ project(name: "p") { sync { lagSeconds } } }',
        '{ artifact(project: "p", name: "n") { object { download { url } } } }',
        '{ artifact(project: "p", name: "n") { object { ...o } } } fragment o on StoredObject { state }',
        '{ node(id: "1") { ... on Project { events { nodes { id } } } } }',
        "query A { registry { version } } query B { viewer { name } }",
        "{ artifacts(filter: {objectState: [READY]}) { totalCount } }",
        "query($f: ArtifactFilter) { artifacts(filter: $f) { totalCount } }",
        "query($s: [ObjectState!]) { artifacts(filter: {objectState: $s}) { totalCount } }",
        'mutation { syncProject(input: {project: "p"}) { __typename } }',
        "subscription { events { cursor } }",
    ],
)
def test_what_anything_else_has_a_say_in_does_not(query: str) -> None:
    document = parse(query)
    assert not validate(SCHEMA, document)
    assert not lasting(SCHEMA, document)
