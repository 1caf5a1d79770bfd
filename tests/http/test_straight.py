"""The path of the endpoint as people mistype it."""

import httpx

from tests.support.server import Server


def test_a_request_with_a_slash_too_many_is_sent_to_the_endpoint_with_its_query(shared_server: Server) -> None:
    client, asked = shared_server.client, {"query": "{ __typename }"}
    answer = client.get("/graphql/", params=asked)
    assert (answer.status_code, answer.headers.get("location")) == (307, "/graphql?" + str(httpx.QueryParams(asked)))
    assert client.get("/graphql/", params=asked, follow_redirects=True).json() == {"data": {"__typename": "Query"}}


def test_a_body_that_was_sent_with_a_slash_too_many_is_answered_at_the_endpoint(shared_server: Server) -> None:
    client, asked = shared_server.client, {"query": "{ __typename }"}
    answer = client.post("/graphql/", json=asked)
    assert (answer.status_code, answer.headers.get("location")) == (307, "/graphql")
    assert client.post("/graphql/", json=asked, follow_redirects=True).json() == {"data": {"__typename": "Query"}}
