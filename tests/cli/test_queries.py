"""The questions against the schema itself."""

from enum import StrEnum
from itertools import product

import pytest
from graphql import GraphQLEnumType, GraphQLSchema, build_schema, parse, validate

from app.remote import queries, reading
from app.remote.queries import Place
from app.remote.shapes import EventKind, ObjectState
from app.resolvers.limits import Limits
from app.schema.limits import check_limits
from tests.support.server import ROOT

PLACES = [Place("p"), Place("p", branch="b"), Place("p", at="r")]
PAGED = ("$first: Int!", "$after: String")
ON_BRANCHES = [(queries.HISTORY, (*PAGED, "$changes: Boolean!")), (queries.MANIFEST, ())]
ON_COMMITS = [(queries.LOGGED_COMMIT, ("$changes: Boolean!",)), (queries.COMMIT_CHANGES, PAGED)]
EVERYWHERE = [(queries.ARTIFACTS, (*PAGED, "$filter: ArtifactFilter"))]
DOCUMENTS = [
    queries.PROJECTS,
    queries.BRANCHES,
    queries.WHOLE_ARTIFACT,
    queries.ARTIFACT_HISTORY,
    queries.COMPARISON,
    queries.EVENT_CURSOR,
    queries.EVENTS,
    *(place.document(selection, *declared) for place, (selection, declared) in product(PLACES, EVERYWHERE)),
    *(place.document(selection, *declared) for place, (selection, declared) in product(PLACES[:2], ON_BRANCHES)),
    *(place.document(selection, *declared) for place, (selection, declared) in product(PLACES[2:], ON_COMMITS)),
]


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_question_fits_the_schema_and_its_limits_with_the_largest_pages(
    document: str, schema: GraphQLSchema
) -> None:
    parsed = parse(document)
    assert validate(schema, parsed) == []
    assert check_limits(schema, parsed, Limits()) == []


def test_a_page_is_the_largest_a_registry_gives() -> None:
    assert Limits().page_size == reading.PAGE_SIZE


@pytest.mark.parametrize("words", [EventKind, ObjectState])
def test_conditions_take_the_words_of_the_schema(words: type[StrEnum], schema: GraphQLSchema) -> None:
    kind = schema.type_map[words.__name__]
    assert isinstance(kind, GraphQLEnumType)
    assert set(kind.values) == set(words)
