"""The client against servers that are none, refuse, or are up to something."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.remote import reading
from app.remote.client import AddressError, Client, NoServerError, RemoteError, endpoint
from app.remote.queries import Place
from tests.support.cli import run

PAGE_INFO = {"hasNextPage": False, "endCursor": None}


@contextmanager
def answering(status: int, body: bytes, heard: list[str | None] | None = None, **headers: str) -> Iterator[str]:
    """The address of a server that gives every question the same answer; `heard` gets what callers sign in with."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if heard is not None:
                heard.append(self.headers["authorization"])
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def data(**members: object) -> bytes:
    return json.dumps({"data": members}).encode()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>Hello</html>"),
        (200, b"[1, 2]"),
        (200, b"null"),
        (200, b'"data"'),
        (200, b"{}"),
        (200, b'{"data": [], "errors": 7}'),
        (200, b'{"data": null, "errors": [{"message": 7}]}'),
        (200, b'{"data": {"projects": NaN}}'),
        (200, b'{"data": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}"),
        (200, b"[" * 100_000),
        (200, b"\xff\xfe"),
        (500, b"Internal Server Error"),
        (404, b'{"detail": "Not Found"}'),
        (200, data(projects=5)),
        (200, data(projects={"nodes": [{"name": "x"}], "pageInfo": PAGE_INFO})),
        (200, data()),
    ],
)
def test_a_server_that_is_no_registry_is_told_from_one(status: int, body: bytes) -> None:
    no_registry = pytest.raises(NoServerError, match=r"is not an ML Registry: .*Check the address\.")
    with answering(status, body) as url, Client(url) as client, no_registry:
        reading.projects(client)


@pytest.mark.parametrize(
    "read",
    [
        lambda client: reading.branches(client, "x"),
        lambda client: reading.artifacts(client, Place("x")),
        lambda client: reading.history(client, Place("x", "main"), 3, changes=True),
        lambda client: reading.ancestry(client, Place("x", at="main"), 3, changes=False),
        lambda client: reading.comparison(client, "x", "a", "b"),
        lambda client: reading.artifact(client, Place("x"), "y"),
        lambda client: reading.artifact_history(client, Place("x"), "y", 3),
        lambda client: reading.manifest(client, Place("x")),
    ],
)
def test_every_question_survives_an_answer_in_another_shape(read: Callable[[Client], object]) -> None:
    for shape in (5, {"place": 5}, {"place": {}}, {"base": 5, "head": 5, "comparison": 5}):
        no_registry = pytest.raises(NoServerError, match="in a shape of its own")
        with answering(200, data(project=shape, artifact=shape)) as url, Client(url) as client, no_registry:
            read(client)


def test_a_redirect_is_told_and_not_followed() -> None:
    told = pytest.raises(NoServerError, match="it sends callers on to https://elsewhere/graphql")
    with answering(307, b"", location="https://elsewhere/graphql") as url, Client(url) as client, told:
        client.ask("{ projects }")


def test_the_sentences_of_a_refusal_are_told_whatever_its_status() -> None:
    body = json.dumps({"errors": [{"message": "Not here."}, {"message": "Not now."}]}).encode()
    told = pytest.raises(RemoteError, match=r"^Not here\.\nNot now\.$")
    with answering(403, body) as url, Client(url) as client, told as caught:
        client.ask("{ projects }")
    assert caught.value.exit_code == 1


def test_a_server_that_never_answers_is_given_up() -> None:
    told = pytest.raises(NoServerError, match=r"did not answer within 0\.1 seconds\. Try again later\.")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout=0.1) as client, told:
            client.ask("{ projects }")


def test_the_program_ends_with_3_and_a_sentence_when_a_web_page_answers() -> None:
    with answering(200, b"<html>\x1b[31m</html>") as url:
        ran = run(url, "ls")
    assert (ran.code, ran.out) == (3, "")
    assert (
        ran.err
        == f"What is at {url}/graphql is not an ML Registry: it answers HTTP 200 and no GraphQL. Check the address.\n"
    )


def test_the_program_writes_what_a_refusal_says_without_its_control_characters() -> None:
    with answering(200, json.dumps({"errors": [{"message": "\x1b[31mred"}]}).encode()) as url:
        ran = run(url, "ls")
    assert (ran.code, ran.err) == (1, "\\x1b[31mred\n")


@pytest.mark.parametrize("address", ["http://one:8000", "http://one:8000/", "http://one:8000/graphql"])
def test_an_address_may_be_given_with_its_path_or_without(address: str) -> None:
    assert str(endpoint(address)) == "http://one:8000/graphql"


@pytest.mark.parametrize(
    "address", ["", "one:8000", "ftp://one", "http://", "http://[::1", "http://a:b@one", "http://one?x"]
)
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(AddressError, match=r"is like https://registry\.example\.org"):
        endpoint(address)


def test_a_token_is_sent_in_a_header_and_stands_in_no_address() -> None:
    heard: list[str | None] = []
    empty = data(projects={"nodes": [], "pageInfo": PAGE_INFO})
    with answering(200, empty, heard) as url:
        assert run(url, "ls", ML_REGISTRY_TOKEN="mlr_secret\n").code == 0
        assert run(url, "ls", "--token", "mlr_other").code == 0
        assert run(url, "ls", ML_REGISTRY_TOKEN="").code == 0
    assert heard == ["Bearer mlr_secret", "Bearer mlr_other", None]


@pytest.mark.parametrize("token", ["geheim geheim", "geheim\ngeheim", "geheim\u00fc"])
def test_what_cannot_be_a_token_is_refused_and_not_repeated(token: str) -> None:
    ran = run("http://127.0.0.1:1", "ls", ML_REGISTRY_TOKEN=token)
    assert ran.code == 2
    assert "geheim" not in ran.err
