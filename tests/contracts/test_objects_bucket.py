"""What is particular to buckets: where they are, what some do not do, how they fail, what signing costs."""

import asyncio
import hashlib
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from app.stores.errors import ObjectsUnavailableError
from app.stores.objects.bucket import Address
from app.stores.objects.s3 import S3Objects
from app.stores.ports import Multipart, ObjectKey
from tests.support.s3 import CREDENTIALS, Bucket, strict_s3
from tests.support.server import free_port

LARGE = 64 * 1024 * 1024
BODY = b"weights and biases"
KEY = ObjectKey("a/b", hashlib.sha256(BODY).hexdigest())


@pytest.fixture
async def store(bucket: Bucket) -> AsyncIterator[S3Objects]:
    store = S3Objects(Address.parse(bucket.setting()), LARGE)
    yield store
    await store.close()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


async def upload(store: S3Objects, http: httpx.AsyncClient) -> httpx.Response:
    request = await store.sign_put(KEY, size=len(BODY), content_type="a/b", expires_in=60)
    return await http.put(request.url, headers=dict(request.headers), content=BODY)


async def upload_in_parts(store: S3Objects, http: httpx.AsyncClient) -> Multipart:
    begun = await store.multipart.begin(KEY, size=len(BODY), content_type="a/b", checked=False)
    assert begun
    request = await store.multipart.sign_part(KEY, begun, 1, size=len(BODY), sha256=None, expires_in=60)
    await http.put(request.url, content=BODY)
    return begun


# ── Addresses ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://bytes", Address("bytes")),
        ("s3://bytes/", Address("bytes")),
        ("s3://bytes/a/b/?region=eu-west-1", Address("bytes", "a/b/", "eu-west-1")),
        ("s3://bytes?endpoint=http://minio:9000", Address("bytes", "", None, "http://minio:9000", path_style=True)),
        ("s3://bytes?endpoint=https://e&path_style=false", Address("bytes", "", None, "https://e", path_style=False)),
        ("s3://bytes?path_style=true", Address("bytes", path_style=True)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("bytes", "s3://"),
        ("https://bytes", "s3://"),
        ("s3:///prefix", "bucket"),
        ("s3://key:secret@bytes", "AWS way"),
        ("s3://bytes?acl=public", "endpoint, path_style, region"),
        ("s3://bytes?endpoint=minio:9000", "http://"),
        ("s3://bytes?path_style=yes", "path_style"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_in_words(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Address.parse(text)


# ── Signing ──────────────────────────────────────────────────────────────────────────────────


async def test_signing_costs_no_request_and_a_millisecond_at_most(store: S3Objects, bucket: Bucket) -> None:
    await store.start()
    asked = len(bucket.asked)
    spent = []
    for _ in range(200):
        started = time.perf_counter()
        await store.sign_put(KEY, size=len(BODY), content_type="a/b", expires_in=60)
        spent.append(time.perf_counter() - started)
    assert len(bucket.asked) == asked
    median = sorted(spent)[len(spent) // 2]
    print(f"signing a PUT: {median * 1000:.2f} ms")  # noqa: T201 (a figure to read)
    assert median < 0.001


async def test_everything_a_put_promises_is_signed(store: S3Objects) -> None:
    request = await store.sign_put(KEY, size=len(BODY), content_type="a/b", expires_in=60)
    signed = httpx.URL(request.url).params["X-Amz-SignedHeaders"].split(";")
    assert signed == ["content-length", "content-type", "host", "if-none-match", "x-amz-checksum-sha256"]


async def test_lent_credentials_end_a_link_with_them(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    lent = {"Version": 1, "AccessKeyId": "registry", "SecretAccessKey": "s3cret", "SessionToken": "t"}
    (tmp_path / "lent.json").write_text(json.dumps({**lent, "Expiration": until.isoformat()}))
    show = f"{sys.executable} -c \"print(open('{tmp_path / 'lent.json'}').read())\""
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {show}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    store = S3Objects(Address.parse(bucket.setting()), LARGE)
    short = await store.sign_get(KEY, content_type="a/b", filename=None, expires_in=60)
    long = await store.sign_get(KEY, content_type="a/b", filename=None, expires_in=7200)
    await store.close()
    assert short.expires_at < until
    assert long.expires_at == until


# ── What some stores do not do ───────────────────────────────────────────────────────────────


async def test_a_store_that_does_everything_is_not_warned_of(
    store: S3Objects, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    await store.start()
    assert caplog.records == []
    assert bucket.objects == {}


@pytest.mark.parametrize(
    ("lacking", "told"), [("checks", "sent in parts"), ("conditions", "more than once"), ("tells", "by their size")]
)
async def test_what_a_store_does_not_do_is_told_once_with_what_follows(
    store: S3Objects, bucket: Bucket, caplog: pytest.LogCaptureFixture, lacking: str, told: str
) -> None:
    setattr(bucket, lacking, False)
    await store.start()
    await store.sign_put(KEY, size=1, content_type="a/b", expires_in=60)
    (record,) = caplog.records
    assert told in record.getMessage()


async def test_where_sha_256_is_not_checked_the_smallest_object_is_sent_in_parts_and_proven_here(
    store: S3Objects, bucket: Bucket, http: httpx.AsyncClient
) -> None:
    bucket.checks = False
    begun = await upload_in_parts(store, http)
    await store.multipart.assemble(KEY, begun, await store.multipart.parts(KEY, begun) or ())
    assert await store.stat(KEY)


@pytest.mark.parametrize("conditions", [False, None], ids=["ignored", "refused"])
async def test_a_store_that_knows_no_conditions_is_not_sent_any(
    store: S3Objects,
    bucket: Bucket,
    conditions: bool | None,  # noqa: FBT001 (a case)
) -> None:
    bucket.conditions = conditions
    request = await store.sign_put(KEY, size=1, content_type="a/b", expires_in=60)
    assert "If-None-Match" not in dict(request.headers)


async def test_moto_takes_what_is_sent_whole_and_in_parts(
    bucket_at: Callable[[str], Address], http: httpx.AsyncClient
) -> None:
    store = S3Objects(bucket_at("moto"), LARGE)
    assert (await upload(store, http)).status_code == 200
    stat = await store.stat(KEY)
    assert stat
    assert stat.size == len(BODY)
    content = bytes(LARGE)
    key = ObjectKey("a/b", hashlib.sha256(content).hexdigest())
    begun = await store.multipart.begin(key, size=LARGE, content_type="a/b", checked=True)
    assert begun
    for number, first in enumerate(range(0, LARGE, begun.part_size), 1):
        part = content[first : first + begun.part_size]
        sha256 = hashlib.sha256(part).hexdigest()
        request = await store.multipart.sign_part(key, begun, number, size=len(part), sha256=sha256, expires_in=60)
        assert (await http.put(request.url, headers=dict(request.headers), content=part)).status_code == 200
    await store.multipart.assemble(key, begun, await store.multipart.parts(key, begun) or ())
    assert await store.stat(key)
    await store.close()


# ── Failing ──────────────────────────────────────────────────────────────────────────────────


async def test_a_put_whose_answer_was_lost_is_told_by_412_and_is_there(
    store: S3Objects, bucket: Bucket, http: httpx.AsyncClient
) -> None:
    await store.start()
    bucket.mute = "PUT"
    assert (await upload(store, http)).status_code == 500
    assert (await upload(store, http)).status_code == 412
    assert await store.stat(KEY)


@pytest.mark.parametrize("lost", ["POST", "PUT", "DELETE", "GET"])
async def test_any_answer_may_be_lost_while_parts_are_put_together(
    store: S3Objects, bucket: Bucket, http: httpx.AsyncClient, lost: str
) -> None:
    bucket.checks = False
    begun = await upload_in_parts(store, http)
    parts = await store.multipart.parts(KEY, begun) or ()
    bucket.mute = lost
    await store.multipart.assemble(KEY, begun, parts)
    assert list(bucket.objects) == [f"{KEY.project}/{KEY.sha256}"]


async def test_a_store_that_is_away_at_the_start_is_used_once_it_is_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    port = free_port()
    store = S3Objects(Address.parse(f"s3://bytes?region=eu-west-1&endpoint=http://127.0.0.1:{port}"), LARGE)
    await store.start()
    assert "cannot be used" in caplog.text
    with pytest.raises(ObjectsUnavailableError):
        await store.stat(KEY)
    with strict_s3(port):
        assert await store.stat(KEY) is None
        await store.sign_put(KEY, size=1, content_type="a/b", expires_in=60)
    await store.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING][-1] == (
        "the bucket bytes answers again"
    )


async def test_a_store_that_only_fails_is_unavailable_and_told_of_once(
    store: S3Objects, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.broken = True
    for _ in range(3):
        with pytest.raises(ObjectsUnavailableError):
            await store.stat(KEY)
    assert len(caplog.records) == 1


async def test_credentials_that_are_not_believed_are_no_missing_bytes(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = S3Objects(Address.parse(bucket.setting()), LARGE)
    with pytest.raises(ObjectsUnavailableError):
        await store.stat(KEY)
    await store.close()


async def test_a_bucket_that_is_not_there_takes_nothing_and_knows_of_no_upload(bucket: Bucket) -> None:
    store = S3Objects(replace(Address.parse(bucket.setting()), bucket="other"), LARGE)
    with pytest.raises(ObjectsUnavailableError, match="NoSuchBucket"):
        await store.sign_put(KEY, size=1, content_type="a/b", expires_in=60)
    with pytest.raises(ObjectsUnavailableError, match="NoSuchBucket"):
        await store.multipart.parts(KEY, Multipart("a/b", 1, checked=False))
    await store.close()


async def test_whoever_stops_waiting_does_not_stop_what_is_put_together(
    store: S3Objects, bucket: Bucket, http: httpx.AsyncClient
) -> None:
    bucket.checks = False
    begun = await upload_in_parts(store, http)
    waiting = asyncio.create_task(store.multipart.assemble(KEY, begun, await store.multipart.parts(KEY, begun) or ()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await store.multipart.assemble(KEY, begun, ())
    assert await store.stat(KEY)
