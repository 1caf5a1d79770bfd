"""What scanners of GraphQL servers look for, asked of a started server."""

import json
from typing import Any

import httpx
import pytest

from tests.support.server import Server

LIMITED = "QUERY_LIMIT_EXCEEDED"
INVALID = "GRAPHQL_VALIDATION_FAILED"
ALIASES = "{ " + " ".join(f"a{n}: __typename" for n in range(101)) + " }"
DIRECTIVES = "{ __typename " + "@include(if: true) " * 50 + "}"
UNKNOWN = "{ __typename " + "@aa" * 10 + " }"
FIELDS = "{ __typename " + "__typename " * 600 + "}"
CIRCULAR = "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }"
FRAGMENTS = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"


def code(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


def post(server: Server, body: Any, **headers: str) -> httpx.Response:
    given = {"content-type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.client.post("/graphql", content=content, headers=given)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (ALIASES, {LIMITED}),
        (DIRECTIVES, {LIMITED, INVALID}),
        (UNKNOWN, {LIMITED, INVALID}),
        (FIELDS, {LIMITED}),
        (CIRCULAR, {LIMITED, INVALID}),
        (FRAGMENTS, {INVALID}),
    ],
    ids=["aliases", "directives", "unknown directives", "fields", "circular introspection", "circular fragments"],
)
def test_an_overload_is_refused_before_it_is_run(shared_server: Server, query: str, expected: set[str]) -> None:
    answer = post(shared_server, {"query": query})
    assert answer.status_code == 422
    assert code(answer) in expected
    assert len(answer.json()["errors"]) <= 10


def test_a_batch_is_refused_whole(shared_server: Server) -> None:
    answer = post(shared_server, [{"query": "{ __typename }"}] * 10)
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
def test_what_a_form_can_send_is_refused(shared_server: Server, media_type: str) -> None:
    answer = post(shared_server, b"query=%7B__typename%7D", content_type=media_type)
    assert (answer.status_code, code(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_mutation_by_get_is_refused(shared_server: Server) -> None:
    query = 'mutation { syncProject(input: {project: "demo"}) { __typename } }'
    answer = shared_server.client.get("/graphql", params={"query": query})
    assert (answer.status_code, code(answer), answer.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "POST")


def test_no_trace_of_how_an_operation_ran_is_told_however_it_is_asked_for(shared_server: Server) -> None:
    answer = post(
        shared_server,
        {"query": "{ __typename }", "extensions": {"tracing": True}},
        apollo_federation_include_trace="ftv1",
    )
    assert answer.json() == {"data": {"__typename": "Query"}}
    debugging = {"x-debug", "server", "x-powered-by", "x-trace"}
    assert debugging.isdisjoint(answer.headers)


def test_a_suggestion_names_nothing_that_introspection_does_not(shared_server: Server) -> None:
    fields = "{ __schema { queryType { fields { name } } } }"
    told = post(shared_server, {"query": fields}).json()["data"]["__schema"]["queryType"]["fields"]
    message = post(shared_server, {"query": "{ artifac { name } }"}).json()["errors"][0]["message"]
    suggested = message.partition("Did you mean")[2].split("'")[1::2]
    assert suggested
    assert set(suggested) <= {field["name"] for field in told}


def test_the_explorer_is_a_page_of_its_own_and_never_an_answer_of_the_endpoint(shared_server: Server) -> None:
    answer = shared_server.client.get("/graphql", headers={"accept": "text/html"})
    assert (answer.status_code, code(answer)) == (406, "NOT_ACCEPTABLE")
    for path in ("/graphiql", "/playground", "/console", "/altair"):
        assert shared_server.client.get(path).status_code == 404
    page = shared_server.client.get("/")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/graphql", "/livez", "/"])
def test_no_answer_lets_another_origin_read_it(shared_server: Server, path: str) -> None:
    for headers in ({}, {"origin": "https://evil.example"}, {"origin": shared_server.url}):
        answer = shared_server.client.get(path, params={"query": "{ __typename }"}, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]
