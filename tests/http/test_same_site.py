"""Who is let in: no page of another site, and nobody who calls the server by two names."""

from http.client import HTTPConnection

import httpx
import pytest

from tests.support.server import Server


@pytest.mark.parametrize("origin", ["http://[::1", "http://[bad]", "null", "", "http://evil.example"])
def test_a_page_of_any_other_origin_is_refused_whatever_it_calls_itself(shared_server: Server, origin: str) -> None:
    answer = httpx.get(f"{shared_server.url}/livez", headers={"origin": origin}, trust_env=False)
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"


def test_a_request_with_two_hosts_is_refused(shared_server: Server) -> None:
    host = shared_server.url.removeprefix("http://")
    connection = HTTPConnection(host)
    connection.putrequest("GET", "/livez", skip_host=True)
    connection.putheader("Host", host)
    connection.putheader("Host", "evil.example")
    connection.endheaders()
    assert connection.getresponse().status == 403
    connection.close()


def test_an_empty_accept_accepts_everything(shared_server: Server) -> None:
    headers = {"accept": "", "content-type": "application/json"}
    answer = httpx.post(
        f"{shared_server.url}/graphql", json={"query": "{ __typename }"}, headers=headers, trust_env=False
    )
    assert answer.status_code == 200
