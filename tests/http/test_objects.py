"""The embedded object store over HTTP: every refusal, what downloads carry, and what is left on the disk."""

import asyncio
import errno
import hashlib
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from uvicorn.server import ServerState

from app.http import intake
from app.http import objects as endpoint
from app.stores.objects.local import LocalObjects
from app.stores.ports import ObjectKey, SignedRequest

BODY = bytes(range(256)) * 8
SHA256 = hashlib.sha256(BODY).hexdigest()
KEY = ObjectKey("search/ranker", SHA256)


@asynccontextmanager
async def served(objects: LocalObjects, listener: socket.socket) -> AsyncIterator[None]:
    """uvicorn's own protocol on a listener, without the pauses its main loop makes at the end."""
    config = uvicorn.Config(
        Starlette(routes=endpoint.object_routes(objects)), ws="none", lifespan="off", log_level="warning"
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: config.http_protocol_class(config=config, server_state=state, app_state={}), sock=listener
    )
    yield
    server.close()
    for connection in list(state.connections):
        connection.shutdown()
    await server.wait_closed()
    await asyncio.gather(*state.tasks)  # which close what they have open


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[LocalObjects]:
    listener = socket.create_server(("127.0.0.1", 0))
    store = LocalObjects(tmp_path / "objects", f"http://127.0.0.1:{listener.getsockname()[1]}", b"s" * 32)
    store.clean()
    async with served(store, listener):
        yield store


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
async def stored(objects: LocalObjects, http: httpx.AsyncClient) -> str:
    """The URL of a download of BODY."""
    assert (await put(http, await signed_put(objects), BODY)).status_code == 200
    return await signed_get(objects)


async def signed_put(objects: LocalObjects, key: ObjectKey = KEY, size: int = len(BODY)) -> SignedRequest:
    return await objects.sign_put(key, size=size, content_type="text/html", expires_in=60)


async def signed_get(objects: LocalObjects, filename: str | None = "page.html", content_type: str = "text/html") -> str:
    return (await objects.sign_get(KEY, content_type=content_type, filename=filename, expires_in=60)).url


async def put(http: httpx.AsyncClient, request: SignedRequest, content: object) -> httpx.Response:
    return await http.put(request.url, headers=dict(request.headers), content=content)  # type: ignore[arg-type]


def code(response: httpx.Response) -> tuple[int, str]:
    error = response.json()["errors"][0]
    assert error["message"]
    return response.status_code, error["extensions"]["code"]


def left_on_disk(objects: LocalObjects) -> list[Path]:
    root = objects.path(KEY).parents[2]
    return [path for path in root.rglob("*") if path.is_file()]


def with_query(url: str, **changes: str | None) -> str:
    parts = urlsplit(url)
    query = {name: value for name, value in (dict(parse_qsl(parts.query)) | changes).items() if value is not None}
    return parts._replace(query=urlencode(query)).geturl()


async def test_a_project_and_one_below_it_keep_their_objects_apart(objects: LocalObjects) -> None:
    assert objects.path(ObjectKey("a", SHA256)).parent.parent.name == "a"
    assert objects.path(ObjectKey("a/b", SHA256)).parent.parent.name == "a+b"


@pytest.mark.parametrize("project", ["..", "a/../b", "a+b", "", "/a", "a/", ".incoming"])
async def test_a_key_that_could_leave_its_folder_has_no_path(objects: LocalObjects, project: str) -> None:
    with pytest.raises(ValueError, match="not the key of an object"):
        objects.path(ObjectKey(project, SHA256))


@pytest.mark.parametrize(
    "change",
    [
        {"size": "2049"},
        {"size": None},
        {"type": "text/plain"},
        {"expires": "99999999999"},
        {"signature": "0" * 64},
        {"signature": "é"},
        {"filename": "other"},
    ],
    ids=str,
)
async def test_a_put_link_changed_in_its_query_is_refused(
    objects: LocalObjects, http: httpx.AsyncClient, change: dict[str, str | None]
) -> None:
    request = await signed_put(objects)
    response = await http.put(with_query(request.url, **change), headers=dict(request.headers), content=BODY)
    assert code(response) == (403, "LINK_INVALID")
    assert left_on_disk(objects) == []


@pytest.mark.parametrize("change", [{"filename": "b.exe"}, {"filename": None}, {"type": "a/b"}, {"size": "1"}], ids=str)
async def test_a_get_link_changed_in_its_query_is_refused(
    stored: str, http: httpx.AsyncClient, change: dict[str, str | None]
) -> None:
    assert code(await http.get(with_query(stored, **change))) == (403, "LINK_INVALID")


async def test_a_link_serves_no_other_project_digest_or_method(
    objects: LocalObjects, stored: str, http: httpx.AsyncClient
) -> None:
    request = await signed_put(objects)
    assert code(await http.get(stored.replace("ranker", "reader"))) == (403, "LINK_INVALID")
    assert code(await http.get(stored.replace(SHA256, SHA256[::-1]))) == (403, "LINK_INVALID")
    assert code(await http.get(request.url)) == (403, "LINK_INVALID")
    assert code(await http.put(stored, headers=dict(request.headers), content=BODY)) == (403, "LINK_INVALID")


@pytest.mark.parametrize(
    "change",
    [{"expires": "soon"}, {"expires": None}, {"expires": "-1"}, {"signature": None}, {"type": None}, {"more": "1"}],
    ids=str,
)
async def test_a_query_that_is_no_link_answers_400(
    objects: LocalObjects, http: httpx.AsyncClient, change: dict[str, str | None]
) -> None:
    assert code(await http.get(with_query(await signed_get(objects), **change))) == (400, "LINK_MALFORMED")


async def test_a_repeated_parameter_answers_400(objects: LocalObjects, http: httpx.AsyncClient) -> None:
    assert code(await http.get((await signed_get(objects)) + "&type=a%2Fb")) == (400, "LINK_MALFORMED")


async def test_an_expired_link_says_to_ask_for_a_new_one(objects: LocalObjects, http: httpx.AsyncClient) -> None:
    url = (await objects.sign_get(KEY, content_type="a/b", filename=None, expires_in=0)).url
    response = await http.get(url)
    assert code(response) == (403, "LINK_EXPIRED")
    assert "ask for a new link" in response.json()["errors"][0]["message"]


async def test_another_secret_opens_nothing(objects: LocalObjects, http: httpx.AsyncClient, tmp_path: Path) -> None:
    base_url = (await signed_get(objects)).partition("/objects/")[0]
    stranger = LocalObjects(tmp_path, base_url, b"t" * 32)
    assert code(await http.get(await signed_get(stranger))) == (403, "LINK_INVALID")


async def test_wrong_bytes_are_named_and_not_kept(objects: LocalObjects, http: httpx.AsyncClient) -> None:
    assert code(await put(http, await signed_put(objects), BODY[::-1])) == (400, "DIGEST_MISMATCH")
    assert left_on_disk(objects) == []


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"!"], ids=["short", "long"])
async def test_a_wrong_content_length_is_refused_before_the_body_is_read(
    objects: LocalObjects, http: httpx.AsyncClient, body: bytes
) -> None:
    assert code(await put(http, await signed_put(objects), body)) == (400, "SIZE_MISMATCH")
    assert left_on_disk(objects) == []


async def chunked(body: bytes, size: int = 100) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def test_a_chunked_body_of_the_right_size_is_stored(objects: LocalObjects, http: httpx.AsyncClient) -> None:
    assert (await put(http, await signed_put(objects), chunked(BODY))).status_code == 200
    assert left_on_disk(objects) == [objects.path(KEY)]


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"!"], ids=["short", "long"])
async def test_a_chunked_body_of_another_size_is_refused(
    objects: LocalObjects, http: httpx.AsyncClient, body: bytes
) -> None:
    assert code(await put(http, await signed_put(objects), chunked(body))) == (400, "SIZE_MISMATCH")
    assert left_on_disk(objects) == []


@pytest.mark.parametrize("name", ["Content-Type", "x-amz-checksum-sha256"])
async def test_a_header_other_than_signed_is_refused(objects: LocalObjects, http: httpx.AsyncClient, name: str) -> None:
    request = await signed_put(objects)
    response = await http.put(request.url, headers={**dict(request.headers), name: "text/plain"}, content=BODY)
    assert code(response) == (403, "HEADER_MISMATCH")


async def test_a_stored_object_is_answered_before_the_body_is_sent(objects: LocalObjects, stored: str) -> None:
    request = await signed_put(objects)
    reader, writer = await asyncio.open_connection(urlsplit(stored).hostname, urlsplit(stored).port)
    await start_put(writer, request)
    assert b" 412 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert left_on_disk(objects) == [objects.path(KEY)]


async def test_a_second_upload_changes_nothing(objects: LocalObjects, stored: str, http: httpx.AsyncClient) -> None:
    before = objects.path(KEY).stat()
    assert code(await put(http, await signed_put(objects), BODY)) == (412, "ALREADY_STORED")
    assert objects.path(KEY).stat() == before
    assert (await http.get(stored)).content == BODY


async def test_of_many_uploads_at_once_one_wins(objects: LocalObjects, http: httpx.AsyncClient) -> None:
    body = os.urandom(3_000_000)
    request = await signed_put(objects, ObjectKey("many", hashlib.sha256(body).hexdigest()), len(body))
    responses = await asyncio.gather(*(put(http, request, body) for _ in range(5)))
    assert sorted(response.status_code for response in responses) == [200, 412, 412, 412, 412]
    assert len(left_on_disk(objects)) == 1


async def start_put(writer: asyncio.StreamWriter, request: SignedRequest, body: bytes = b"") -> None:
    parts = urlsplit(request.url)
    head = [f"PUT {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(BODY)}"]
    lines = [*head, *(f"{name}: {value}" for name, value in request.headers), "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()


async def until(condition: object) -> None:
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 - a file in a folder sets no event
            await asyncio.sleep(0.01)


async def test_a_client_that_hangs_up_leaves_nothing_behind(objects: LocalObjects) -> None:
    request = await signed_put(objects)
    _, writer = await asyncio.open_connection(urlsplit(request.url).hostname, urlsplit(request.url).port)
    await start_put(writer, request, BODY[:1000])
    await until(lambda: left_on_disk(objects))
    writer.close()
    await writer.wait_closed()
    await until(lambda: not left_on_disk(objects))


async def test_a_client_that_falls_silent_is_sent_away(objects: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "STALLED_SECONDS", 0.05)
    request = await signed_put(objects)
    reader, writer = await asyncio.open_connection(urlsplit(request.url).hostname, urlsplit(request.url).port)
    await start_put(writer, request, BODY[:1000])
    assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert left_on_disk(objects) == []


async def test_a_full_disk_is_said_and_nothing_is_kept(
    objects: LocalObjects, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert code(await put(http, await signed_put(objects), BODY)) == (507, "STORAGE_FULL")
    assert left_on_disk(objects) == []


@pytest.mark.usefixtures("stored")
async def test_what_a_killed_server_left_is_cleaned_at_the_start(objects: LocalObjects) -> None:
    leftover = objects.path(KEY).parents[2] / ".incoming" / "half"
    leftover.write_bytes(b"half")
    objects.clean()
    assert left_on_disk(objects) == [objects.path(KEY)]


async def test_a_download_can_never_run_as_a_page_of_the_server(stored: str, http: httpx.AsyncClient) -> None:
    headers = (await http.get(stored)).headers
    assert headers["content-type"] == "text/html"
    assert headers["content-disposition"].startswith("attachment;")
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert headers["x-content-type-options"] == "nosniff"


async def test_a_download_may_be_kept_by_its_user_alone(stored: str, http: httpx.AsyncClient) -> None:
    headers = (await http.get(stored)).headers
    assert headers["cache-control"] == "private, immutable"
    assert headers["etag"] == f'"{SHA256}"'


async def test_head_says_what_get_would_without_the_bytes(stored: str, http: httpx.AsyncClient) -> None:
    head, get = await http.head(stored), await http.get(stored)
    assert head.content == b""
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    assert head.headers["content-length"] == str(len(BODY))


async def test_ranges_give_the_bytes_asked_for(stored: str, http: httpx.AsyncClient) -> None:
    for text, expected in {"0-0": BODY[:1], "2000-": BODY[2000:], "-5": BODY[-5:], "2040-9999": BODY[2040:]}.items():
        response = await http.get(stored, headers={"Range": f"bytes={text}"})
        assert (response.status_code, response.content) == (206, expected)


@pytest.mark.parametrize(
    "text", ["bytes=5-1", "bytes=a-b", "bytes=", "bytes", "lines=1-2", "bytes=" + "," * 9999, "bytes=" + "0-," * 1000]
)
async def test_a_range_that_is_none_or_too_many_gives_all_of_the_bytes(
    stored: str, http: httpx.AsyncClient, text: str
) -> None:
    response = await http.get(stored, headers={"Range": text})
    assert (response.status_code, response.content) == (200, BODY)


async def test_several_ranges_come_as_parts(stored: str, http: httpx.AsyncClient) -> None:
    response = await http.get(stored, headers={"Range": "bytes=0-1,5-6"})
    assert response.status_code == 206
    assert response.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert re.findall(rb"Content-Range: bytes (\d+-\d+)/2048\r\n\r\n(..)\r\n", response.content) == [
        (b"0-1", BODY[0:2]),
        (b"5-6", BODY[5:7]),
    ]


@pytest.mark.parametrize("text", ["2048-", "-0"])
async def test_a_range_beyond_the_bytes_is_refused(stored: str, http: httpx.AsyncClient, text: str) -> None:
    assert (await http.get(stored, headers={"Range": f"bytes={text}"})).status_code == 416


async def test_a_range_of_other_bytes_gives_the_whole(stored: str, http: httpx.AsyncClient) -> None:
    for etag, status in {f'"{SHA256}"': 206, '"other"': 200}.items():
        response = await http.get(stored, headers={"Range": "bytes=0-1", "If-Range": etag})
        assert response.status_code == status


async def test_a_download_of_nothing_answers_404(objects: LocalObjects, http: httpx.AsyncClient) -> None:
    assert code(await http.get(await signed_get(objects))) == (404, "OBJECT_NOT_FOUND")


async def test_a_refusal_is_json_like_every_other_refusal(objects: LocalObjects, http: httpx.AsyncClient) -> None:
    response = await http.get(await signed_get(objects))
    assert json.loads(response.content).keys() == {"errors"}
    assert response.headers["content-type"] == "application/json"
