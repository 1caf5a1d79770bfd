"""What the endpoint answers over plain HTTP: statuses, media types, codes, and nothing it should keep to itself."""

import gc
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from graphql import get_introspection_query

JSON = {"content-type": "application/json"}
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)


async def ask(client: httpx.AsyncClient, query: str, accept: str | None = None, **members: Any) -> httpx.Response:
    headers = {**JSON, "accept": accept or "application/graphql-response+json"}
    return await client.post("/graphql", content=json.dumps({"query": query, **members}), headers=headers)


async def post(client: httpx.AsyncClient, body: bytes | AsyncIterator[bytes], **headers: str) -> httpx.Response:
    return await client.post("/graphql", content=body, headers={**JSON, **headers})


def code(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/graphql-response+json; charset=utf-8"
    answer = response.json()
    assert "data" not in answer
    return str(answer["errors"][0]["extensions"]["code"])


async def test_a_query_is_answered_with_200_and_data_alone(client: httpx.AsyncClient) -> None:
    response = await ask(client, "{ hello later }")
    assert (response.status_code, response.json()) == (200, {"data": {"hello": "Hello, world!", "later": "later"}})


async def test_interfaces_and_unions_resolve_to_their_types(client: httpx.AsyncClient) -> None:
    response = await ask(client, "{ animals { __typename name } pets { ... on Cat { purrs } ... on Dog { barks } } }")
    assert response.json()["data"] == {
        "animals": [{"__typename": "Dog", "name": "Rex"}, {"__typename": "Cat", "name": "Tom"}],
        "pets": [{"barks": True}, {"purrs": True}],
    }


async def test_variables_and_the_named_operation_are_used(client: httpx.AsyncClient) -> None:
    query = "query A { later } query B($n: String!) { hello(name: $n) }"
    response = await ask(client, query, operationName="B", variables={"n": "Ada"})
    assert response.json() == {"data": {"hello": "Hello, Ada!"}}


async def test_every_answer_forbids_caching_and_sniffing_and_varies_by_accept_and_by_who_asks(
    client: httpx.AsyncClient,
) -> None:
    for response in (await ask(client, "{ hello }"), await ask(client, "{"), await client.delete("/graphql")):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["vary"] == "Accept, Authorization"
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_the_full_introspection_query_passes_every_limit(client: httpx.AsyncClient) -> None:
    query = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    response = await ask(client, query)
    assert response.status_code == 200
    assert "errors" not in response.json()


# ── What comes in ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b'{"query":',
        b"[]",
        b'[{"query": "{ hello }"}]',
        b"null",
        b'"{ hello }"',
        b"7",
        b'{"query": "{ hello }", "variables": {"n": NaN}}',
        b'{"query": "{ hello }", "variables": {"n": -Infinity}}',
        b'{"query": "{ hello }", "variables": {"n": 1e999}}',
        b'{"query": "{ hello }", "variables": {"n": ' + b"9" * 5000 + b"}}",
        b'{"query": "\xff"}',
        b'\xef\xbb\xbf{"query": "{ hello }"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"query": "{ hello }", "variables": {"n": ' + b"[" * 100 + b"]" * 100 + b"}}",
        b"{}",
        b'{"qeury": "{ hello }"}',
        b'{"query": null}',
        b'{"query": 7}',
        b'{"query": ["{ hello }"]}',
        b'{"query": "{ hello }", "variables": []}',
        b'{"query": "{ hello }", "variables": "{}"}',
        b'{"query": "{ hello }", "extensions": 1}',
        b'{"query": "{ hello }", "operationName": 1}',
        b'{"query": "{ hello }", "query": "{ later }"}',
        b'{"query": "{ hello }", "variables": {"a": {"b": 1, "b": 1}}}',
        '{"query": "{ hello }"}'.encode("utf-16"),
    ],
    ids=lambda body: body[:45].decode("latin-1"),
)
async def test_a_body_that_is_no_request_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await post(client, body)
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


async def test_null_members_are_as_good_as_absent_ones_and_unknown_ones_are_ignored(client: httpx.AsyncClient) -> None:
    response = await ask(client, "{ hello }", operationName=None, variables=None, extensions=None, other=1)
    assert response.status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/json-patch+json",
        "application/jsonp",
        "application/graphql",
        "application/json; charset=latin-1",
        "application/json, text/plain",
        "",
    ],
)
async def test_a_body_of_another_media_type_is_a_415(client: httpx.AsyncClient, content_type: str) -> None:
    response = await post(client, b'{"query": "{ hello }"}', **{"content-type": content_type})
    assert (response.status_code, code(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_compressed_body_is_a_415(client: httpx.AsyncClient) -> None:
    response = await post(client, b'{"query": "{ hello }"}', **{"content-encoding": "gzip"})
    assert (response.status_code, code(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", 'application/json; charset="UTF-8"', "application/json;v=1"],
)
async def test_json_in_utf_8_is_taken_with_any_parameters(client: httpx.AsyncClient, content_type: str) -> None:
    response = await post(client, b'{"query": "{ hello }"}', **{"content-type": content_type})
    assert response.status_code == 200


async def test_a_body_that_announces_too_much_is_a_413_before_it_is_read(client: httpx.AsyncClient) -> None:
    async def never() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    response = await post(client, never(), **{"content-length": str(1024 * 1024 + 1)})
    assert (response.status_code, code(response)) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_that_grows_too_large_is_a_413_before_its_end(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1000:
            sent += 1
            yield b" " * 65536

    response = await post(client, endless())
    assert (response.status_code, code(response)) == (413, "PAYLOAD_TOO_LARGE")
    assert sent < 20


# ── Methods ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_other_methods_are_a_405_that_names_the_allowed_ones(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/graphql")
    assert (response.status_code, code(response)) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, HEAD, POST"


async def test_a_query_may_be_asked_with_get(client: httpx.AsyncClient) -> None:
    parameters = {"query": "query($n: String!) { hello(name: $n) }", "variables": '{"n": "Ada"}', "operationName": ""}
    response = await client.get("/graphql", params=parameters)
    assert (response.status_code, response.json()) == (200, {"data": {"hello": "Hello, Ada!"}})


async def test_a_mutation_by_get_is_a_405_and_changes_nothing(client: httpx.AsyncClient, world: Any) -> None:
    for query in ("mutation { bump }", "query A { hello } mutation B { bump }"):
        response = await client.get("/graphql", params={"query": query, "operationName": "B" if "B" in query else ""})
        assert (response.status_code, code(response)) == (405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == "POST"
    assert world.bumps == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "?query=%ff",
        "?query={hello}&variables=[1]",
        "?query={hello}&variables={",
        "?q=1",
        "?query={hello}&query={later}",
    ],
)
async def test_a_url_that_is_no_request_is_a_400(client: httpx.AsyncClient, url: str) -> None:
    response = await client.get(f"/graphql{url}")
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


# ── Documents ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("query", ["", "{", "{ hello", "nonsense", '{ hello(name: "\ud800") }', "{" * 2000, "# only"])
async def test_a_document_that_does_not_parse_is_a_400(client: httpx.AsyncClient, query: str) -> None:
    response = await ask(client, query)
    assert (response.status_code, code(response)) == (400, "GRAPHQL_PARSE_FAILED")


async def test_a_document_of_too_many_tokens_is_not_parsed(client: httpx.AsyncClient) -> None:
    response = await ask(client, "{" + " hello" * 2000 + "}")
    assert (response.status_code, code(response)) == (400, "GRAPHQL_PARSE_FAILED")


@pytest.mark.parametrize(
    "query",
    [
        "{ nothing }",
        "{ hello } { later }",
        "{ hello } query A { later }",
        "query A { later } query A { hello }",
        "{ animals }",
        "{ hello @nothing }",
        "{ ...A } fragment A on Query { ...A }",
        "fragment A on Query { hello }",
        "type A { a: Int }",
        "query($n: Nothing) { hello }",
        "subscription { count(to: 1) again: count(to: 1) }",
        "subscription { count(to: 1) @skip(if: true) }",
        "{ nickname(of: {text: null}) }",
    ],
)
async def test_a_document_that_does_not_validate_is_a_422(client: httpx.AsyncClient, query: str) -> None:
    response = await ask(client, query)
    assert (response.status_code, code(response)) == (422, "GRAPHQL_VALIDATION_FAILED")


@pytest.mark.parametrize("name", [None, "", "C"])
async def test_a_request_that_names_no_operation_of_several_is_a_422(
    client: httpx.AsyncClient, name: str | None
) -> None:
    response = await ask(client, "query A { hello } query B { later }", operationName=name)
    assert (response.status_code, code(response)) == (422, "OPERATION_NOT_FOUND")


@pytest.mark.parametrize("variables", [{}, {"n": None}, {"n": 7}, {"n": {}}])
async def test_variables_that_do_not_fit_are_a_422(client: httpx.AsyncClient, variables: dict[str, Any]) -> None:
    response = await ask(client, "query($n: String!) { hello(name: $n) }", variables=variables)
    assert (response.status_code, code(response)) == (422, "BAD_USER_INPUT")


async def test_input_refused_while_executing_is_shown_as_the_callers_fault(client: httpx.AsyncClient) -> None:
    late = 'query($n: String = "x") { hello(name: $n) }'
    for query, variables in ((late, {"n": None}), ("query($o: Nickname!) { nickname(of: $o) }", {"o": {"text": None}})):
        response = await ask(client, query, variables=variables)
        assert response.json()["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_at_most_ten_errors_are_listed(client: httpx.AsyncClient) -> None:
    invalid = await ask(client, "{" + " nothing" * 15 + "}")
    failing = await ask(client, "{" + "".join(f" f{number}: fails" for number in range(15)) + "}")
    assert len(invalid.json()["errors"]) == len(failing.json()["errors"]) == 10


@pytest.fixture
def frozen_heap() -> Iterator[None]:
    """The heap as a server has it after its start: collecting what the other tests left takes 50 ms by itself."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen_heap")
@pytest.mark.parametrize("levels", [60, 14])
async def test_a_fragment_bomb_is_refused_within_50_ms(client: httpx.AsyncClient, levels: int) -> None:
    spread = "...f{0} ...f{0}" if levels == 60 else "x: pets {{ ...f{0} }} y: pets {{ ...f{0} }}"
    fragments = (f"fragment f{level} on Query {{ {spread.format(level + 1)} }}" for level in range(levels))
    query = "{ ...f0 }" + " ".join(fragments) + f"fragment f{levels} on Query {{ hello }}"
    await ask(client, "{ hello }")
    start = time.perf_counter()
    response = await ask(client, query)
    assert time.perf_counter() - start < 0.05
    assert (response.status_code, code(response)) == (422, "QUERY_LIMIT_EXCEEDED")


async def test_a_document_is_parsed_and_validated_once(edge: Any, client: httpx.AsyncClient) -> None:
    engine = edge._engine  # noqa: SLF001  the fact under test is inside
    assert engine.prepare("{ hello }").document is engine.prepare("{ hello }").document
    long = "{ hello }" + " " * 20_000
    assert engine.prepare(long).document is not engine.prepare(long).document
    assert (await ask(client, long)).status_code == 200


# ── What goes out ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (URQL, "application/graphql-response+json"),
        ("*/*", "application/json"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;q=0.5, */*", "application/graphql-response+json"),
        ("application/*", "application/graphql-response+json"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON; charset=utf-8", "application/json"),
        ("application/json, application/graphql-response+json", "application/graphql-response+json"),
        ("application/graphql-response+json;q=0.5, application/json", "application/json"),
        ("application/graphql-response+json;q=0, */*", "application/json"),
        ("application/json;q=0.5, text/event-stream;q=0.4", "application/json"),
        ("text/event-stream;q=0.5, */*", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream, application/json;q=0.9", "text/event-stream"),
        ("text/*, application/json;q=0", "text/event-stream"),
    ],
)
async def test_a_query_is_answered_in_the_media_type_the_client_prefers(
    client: httpx.AsyncClient, accept: str, media_type: str
) -> None:
    response = await ask(client, "{ hello }", accept=accept)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"


async def test_without_an_accept_header_the_answer_is_a_graphql_response(client: httpx.AsyncClient) -> None:
    request = client.build_request("POST", "/graphql", content=b'{"query": "{ hello }"}', headers=JSON)
    del request.headers["accept"]
    response = await client.send(request)
    assert response.headers["content-type"] == "application/graphql-response+json; charset=utf-8"


@pytest.mark.parametrize(
    "accept", ["text/html", "application/xml", "image/*", "application/json;q=0", "application/json;q=nan", "*/*;q=0"]
)
async def test_an_accept_header_nothing_fits_is_a_406(client: httpx.AsyncClient, accept: str) -> None:
    response = await ask(client, "{ hello }", accept=accept)
    assert (response.status_code, code(response)) == (406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize("accept", ["application/graphql-response+json", "application/json", "*/*"])
async def test_a_subscription_over_json_is_a_406_that_names_the_way(client: httpx.AsyncClient, accept: str) -> None:
    response = await ask(client, "subscription { count(to: 1) }", accept=accept)
    assert (response.status_code, code(response)) == (406, "NOT_ACCEPTABLE")
    assert "text/event-stream" in response.json()["errors"][0]["message"]


async def test_a_partial_success_is_a_294_and_a_200_in_plain_json(client: httpx.AsyncClient) -> None:
    assert (await ask(client, "{ hello refused }")).status_code == 294
    assert (await ask(client, "{ mustNotFail }")).status_code == 294
    assert (await ask(client, "{ hello refused }", accept="application/json")).status_code == 200


async def test_a_refusal_keeps_its_status_and_says_what_it_is_to_a_client_of_plain_json(
    client: httpx.AsyncClient,
) -> None:
    response = await ask(client, "{ nothing }", accept="application/json")
    assert (response.status_code, code(response)) == (422, "GRAPHQL_VALIDATION_FAILED")


async def test_half_a_surrogate_pair_is_escaped(client: httpx.AsyncClient) -> None:
    response = await ask(client, "{ surrogate }")
    assert response.content == b'{"data":{"surrogate":"\\ud83d"}}'
    assert (await ask(client, "query($n: String!) { hello(name: $n) }", variables={"n": "\ud800"})).status_code == 200


async def test_a_public_error_is_shown_with_its_code_and_path(client: httpx.AsyncClient) -> None:
    answer = (await ask(client, "{ refused }")).json()
    assert answer["data"] == {"refused": None}
    assert answer["errors"] == [
        {
            "message": "The toy is broken. Buy another.",
            "locations": [{"line": 1, "column": 3}],
            "path": ["refused"],
            "extensions": {"code": "TOY_BROKEN"},
        }
    ]


async def test_an_unexpected_error_is_masked_and_logged_once_with_its_traceback(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "ml_registry"):
        response = await ask(client, "{ fails }")
    error = response.json()["errors"][0]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["extensions"]["requestId"] in error["message"]
    assert "hunter2" not in response.text
    (record,) = caplog.records
    assert error["extensions"]["requestId"] in record.getMessage()
    assert record.exc_info
    assert "hunter2" in str(record.exc_info[1])


async def test_an_error_outside_the_fields_is_a_masked_500(client: httpx.AsyncClient) -> None:
    response = await post(client, b'{"query": "{ hello }"}', authorization="crash")
    assert (response.status_code, code(response)) == (500, "INTERNAL")
    assert "hunter2" not in response.text


async def test_a_refusal_while_the_context_is_made_keeps_its_status_and_headers(client: httpx.AsyncClient) -> None:
    response = await post(client, b'{"query": "{ hello }"}', authorization="wrong")
    assert (response.status_code, code(response)) == (401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_the_request_id_of_the_scope_is_the_one_told(app: Any) -> None:
    async def identified(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"request_id": "r-42"}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(identified), base_url="http://toy") as client:
        response = await ask(client, "{ fails }")
    assert response.json()["errors"][0]["extensions"]["requestId"] == "r-42"
