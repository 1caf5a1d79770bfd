"""The explorer's routes, over a folder that stands in for a build; and the sources that are built."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from graphql import build_schema, parse, validate
from starlette.applications import Starlette

from app.http.explorer import routes

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "schema.graphql"
EXAMPLES = sorted((ROOT / "web" / "src" / "examples").glob("*.graphql"))
PAGE = "<!doctype html><title>ML Registry</title>"
SCRIPT = "main-ABCD2345.js"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "explorer"
    folder.mkdir()
    (folder / "index.html").write_text(PAGE)
    (folder / SCRIPT).write_text("run()")
    (folder / "main-ABCD2345.css").write_text("a{}")
    (folder / "codicon-ABCD2345.ttf").write_bytes(b"\0\1\0\0")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "licences.txt").write_text("MIT")
    (folder / "inputs.sha256").write_text("0" * 64)
    (tmp_path / "settings.py").write_text("secret")
    (tmp_path / SCRIPT).write_text("secret")
    return folder


@pytest.fixture
async def client(built: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(built) as client:
        yield client


def client_of(built: Path) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Starlette(routes=routes(built)))
    return httpx.AsyncClient(transport=transport, base_url="http://registry")


async def test_the_page_is_what_was_built(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_the_page_may_reach_nothing_but_its_own_origin(client: httpx.AsyncClient) -> None:
    headers = (await client.get("/")).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "worker-src": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "form-action": "'none'",
    }
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"


async def test_the_page_is_asked_for_anew_each_time(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).headers["cache-control"] == "no-cache"


async def test_a_page_that_was_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    async with client_of(tmp_path / "never") as client:
        answer = await client.get("/")
        asset = await client.get(f"/explorer/{SCRIPT}")
    assert answer.status_code == 200
    assert "make setup" in answer.text
    assert "<script" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert asset.status_code == 404


async def test_a_page_built_while_the_server_runs_is_served(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        assert "make setup" in (await client.get("/")).text
        (tmp_path / "index.html").write_text(PAGE)
        assert (await client.get("/")).text == PAGE


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        (SCRIPT, "text/javascript; charset=utf-8"),
        ("main-ABCD2345.css", "text/css; charset=utf-8"),
        ("codicon-ABCD2345.ttf", "font/ttf"),
    ],
)
async def test_a_hashed_file_has_its_type_and_is_cached_for_ever(
    client: httpx.AsyncClient, name: str, media_type: str
) -> None:
    answer = await client.get(f"/explorer/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_worker_may_reach_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/explorer/{SCRIPT}")
    assert answer.headers["content-security-policy"] == "default-src 'none'"


@pytest.mark.parametrize("path", ["/favicon.svg", "/favicon.ico"])
async def test_the_icon_is_an_svg_at_both_its_addresses(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.text) == (200, "<svg/>")
    assert answer.headers["content-type"] == "image/svg+xml"


async def test_the_licences_of_what_was_bundled_can_be_read(client: httpx.AsyncClient) -> None:
    answer = await client.get("/explorer/licences.txt")
    assert (answer.status_code, answer.text) == (200, "MIT")


# The transport decodes a path as a server does: `%2e%2e/` arrives as `../`, which a client would fold away.
@pytest.mark.parametrize(
    "path",
    [
        "/explorer/%2e%2e/settings.py",
        "/explorer/..%2fsettings.py",
        f"/explorer/%2e%2e/{SCRIPT}",
        f"/explorer/..%2f{SCRIPT}",
        f"/explorer/..%5c{SCRIPT}",
        f"/explorer/%252e%252e%252f{SCRIPT}",
        f"/explorer/./{SCRIPT}%00",
        "/explorer/%2fetc%2fpasswd",
        "/explorer/%2e%2e",
    ],
)
async def test_a_path_that_leaves_the_folder_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


@pytest.mark.parametrize("name", ["", "main-ZZZZ9999.js", "main.js", "index.html", "inputs.sha256", "favicon.svg"])
async def test_a_name_the_page_does_not_ask_for_is_not_found(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/explorer/{name}")).status_code == 404


@pytest.mark.parametrize("path", ["/", f"/explorer/{SCRIPT}", "/favicon.svg"])
async def test_head_answers_the_headers_of_get_without_its_body(client: httpx.AsyncClient, path: str) -> None:
    head, get = await client.head(path), await client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers


async def test_writing_to_the_page_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.post("/")).status_code == 405


def test_the_lock_pins_every_package_by_hash_and_names_no_registry() -> None:
    packages = json.loads((ROOT / "web" / "package-lock.json").read_text())["packages"]
    installed = {path: package for path, package in packages.items() if path}
    assert [path for path, package in installed.items() if "integrity" not in package] == []
    assert [path for path, package in installed.items() if "resolved" in package] == []


@pytest.mark.skipif(not SCHEMA.is_file(), reason="schema.graphql has not been written")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_against_the_schema(example: Path) -> None:
    assert validate(build_schema(SCHEMA.read_text()), parse(example.read_text())) == []
