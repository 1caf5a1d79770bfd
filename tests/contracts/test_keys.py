"""The keys an issuer publishes, and everything else it might answer."""

import gzip
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from app.stores.connect import keys_of
from app.stores.errors import KeysUnavailableError, StoreError
from app.stores.keys import discovery
from tests.support.issuer import WELL_KNOWN, Issuer, answer, issuing


@pytest.fixture(scope="module")
def home() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture
def issuer(home: Issuer) -> Iterator[Issuer]:
    home.asked.clear()
    yield home
    home.moods.clear()


def says(value: object) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: answer(handler, 200, json.dumps(value).encode())


def sends(status: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: answer(handler, status, body, **headers)


async def test_keys_are_found_where_the_issuer_says(issuer: Issuer) -> None:
    keys = await keys_of(issuer.url).fetch()
    assert [key["kid"] for key in keys] == ["rsa", "ec", "ed"]
    assert issuer.asked == [WELL_KNOWN, "/keys"]


BAD = {
    "nothing there": sends(404, b""),
    "an error": sends(500, b"{}"),
    "another place": sends(302, b"", Location="/elsewhere"),
    "no JSON": sends(200, b"<html>"),
    "no object": sends(200, b"[]"),
    "deep JSON": sends(200, b"[" * 100_000),
    "no UTF-8": sends(200, b'{"\xff": 1}'),
    "more than a MiB": sends(200, b" " * (discovery.MAX_BYTES + 1)),
    "packed JSON": sends(200, gzip.compress(b"{}"), **{"Content-Encoding": "gzip"}),
    "a broken connection": lambda handler: handler.connection.close(),
}


@pytest.mark.parametrize("path", [WELL_KNOWN, "/keys"])
@pytest.mark.parametrize("mood", BAD.values(), ids=BAD)
async def test_what_is_no_answer_is_said_to_be_none(
    issuer: Issuer, path: str, mood: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    issuer.moods[path] = mood
    with pytest.raises(KeysUnavailableError):
        await keys_of(issuer.url).fetch()
    assert "/elsewhere" not in issuer.asked


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"issuer": "https://login.example.org", "jwks_uri": "+/keys"},
        {"issuer": "+/", "jwks_uri": "+/keys"},
        {"issuer": "+"},
        {"issuer": "+", "jwks_uri": 5},
        {"issuer": "+", "jwks_uri": "http://login.example.org/keys"},
        {"issuer": "+", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "+", "jwks_uri": "https://["},
    ],
)
async def test_a_document_that_cannot_be_trusted_is_not(issuer: Issuer, document: dict[str, object]) -> None:
    issuer.moods[WELL_KNOWN] = says(json.loads(json.dumps(document).replace("+", issuer.url)))
    with pytest.raises(KeysUnavailableError):
        await keys_of(issuer.url).fetch()
    assert issuer.asked == [WELL_KNOWN]


@pytest.mark.parametrize("keys", [{}, {"keys": 5}, {"keys": {"a": 1}}])
async def test_what_is_no_list_of_keys_is_refused(issuer: Issuer, keys: object) -> None:
    issuer.moods["/keys"] = says(keys)
    with pytest.raises(KeysUnavailableError):
        await keys_of(issuer.url).fetch()


async def test_an_issuer_that_takes_its_time_is_given_up(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "SECONDS", 0.2)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" ")
        except OSError:
            handler.close_connection = True

    issuer.moods["/keys"] = drip
    monkeypatch.setattr(discovery, "MAX_BYTES", 1 << 40)
    with pytest.raises(KeysUnavailableError, match="within"):
        await keys_of(issuer.url).fetch()


async def test_where_nobody_listens_it_says_so() -> None:
    with pytest.raises(KeysUnavailableError, match="cannot be reached"):
        await keys_of("http://127.0.0.1:1").fetch()


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://login.example.org",
            "login.example.org",
            "https://",
            "ftp://127.0.0.1",
            "https://login.example.org/?a",
        ),
        *("https://login.example.org/#a", "https://ada:secret@login.example.org", "https://[", ""),
    ],
)
def test_an_address_no_issuer_can_have_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="REGISTRY_OIDC_ISSUER"):
        keys_of(url)
