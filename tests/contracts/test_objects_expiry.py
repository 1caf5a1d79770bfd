"""What uploads leave behind goes once it is old by the store's clock, and nothing else goes with it."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from app.stores.errors import ObjectsUnavailableError
from app.stores.objects import leftovers
from app.stores.objects.bucket import Address
from app.stores.objects.local import LocalObjects
from app.stores.objects.s3 import S3Objects
from app.stores.ports import Multipart, ObjectKey
from tests.support.s3 import Begun, Bucket, Stored

DAY = 24 * 3600
OLD = 8 * DAY
BODY = b"weights and biases"
KEY = ObjectKey("search/ranker", hashlib.sha256(BODY).hexdigest())
TOKEN = "0123456789abcdef"


@pytest.fixture
async def store(bucket: Bucket) -> AsyncIterator[S3Objects]:
    store = S3Objects(Address.parse(bucket.setting("team/ml")), 1)
    yield store
    await store.close()


async def begin(store: S3Objects, key: ObjectKey = KEY) -> Multipart:
    begun = await store.multipart.begin(key, size=len(BODY), content_type="a/b", checked=False)
    assert begun
    return begun


async def send(store: S3Objects, upload: Multipart) -> None:
    request = await store.multipart.sign_part(KEY, upload, 1, size=len(BODY), sha256=None, expires_in=60)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.put(request.url, content=BODY)).status_code == 200


async def complete(store: S3Objects, upload: Multipart) -> None:
    await store.multipart.assemble(KEY, upload, await store.multipart.parts(KEY, upload) or ())


async def test_uploads_that_are_old_by_the_stores_clock_are_given_up_and_young_ones_are_not(
    store: S3Objects, bucket: Bucket
) -> None:
    old = [await begin(store) for _ in range(5)]
    bucket.ahead += timedelta(days=7)
    young = [await begin(store) for _ in range(3)]
    assert await store.expire_uploads(OLD) == 0
    bucket.ahead += timedelta(days=1, seconds=2)
    assert await store.expire_uploads(OLD) == len(old)
    assert set(bucket.uploads) == {upload.id.partition("/")[2] for upload in young}
    assert [await store.multipart.parts(KEY, upload) for upload in old] == [None] * len(old)


async def test_what_lies_aside_and_what_a_start_left_goes_as_old_as_that(store: S3Objects, bucket: Bucket) -> None:
    left = [f"team/ml/.incoming/a/b/{KEY.sha256}/{number:016x}" for number in range(4)] + [f"team/ml/.probe/{TOKEN}"]
    for name in left:
        bucket.objects[name] = Stored(BODY, bucket.now())
    assert await store.expire_uploads(OLD) == 0
    bucket.ahead += timedelta(days=9)
    assert await store.expire_uploads(OLD) == len(left)
    assert bucket.objects == {}


@pytest.mark.parametrize("prefix", ["team/ml", ""])
async def test_nothing_goes_that_is_stored_or_has_a_name_the_registry_gives_nothing(
    bucket: Bucket, prefix: str
) -> None:
    below = f"{prefix}/" if prefix else ""
    foreign = {
        f"{below}.incoming/notes.txt",
        f"{below}.incoming/a/b/{KEY.sha256}",
        f"{below}.incoming/a/b/{KEY.sha256}/{TOKEN}/more",
        f"{below}.incoming/../{KEY.sha256}/{TOKEN}",
        f"{below}.probe/readme",
        f"{below}backup/dump.sql",
        "elsewhere/dump.sql",
        f"{below}old/.incoming/a/b/{KEY.sha256}/{TOKEN}",
    }
    stored = {f"{below}a/b/{KEY.sha256}", f"{below}a/{KEY.sha256}"}
    for name in foreign | stored:
        bucket.objects[name] = Stored(BODY, bucket.now())
    bucket.uploads = {name.encode().hex(): Begun(name, bucket.now(), "a/b", None) for name in foreign}
    bucket.ahead += timedelta(days=90)
    store = S3Objects(Address.parse(bucket.setting(prefix)), 1)
    removed = await store.expire_uploads(OLD)
    await store.close()
    assert (removed, set(bucket.objects)) == (0, foreign | stored)
    assert {one.key for one in bucket.uploads.values()} == foreign


async def test_a_copy_that_a_killed_server_left_half_done_goes_and_the_object_stays(
    store: S3Objects, bucket: Bucket
) -> None:
    name = f"team/ml/{KEY.project}/{KEY.sha256}"
    bucket.objects[name] = Stored(BODY, bucket.now())
    bucket.uploads["copy"] = Begun(name, bucket.now(), "a/b", None)
    bucket.ahead += timedelta(days=9)
    assert await store.expire_uploads(OLD) == 1
    assert (list(bucket.objects), bucket.uploads) == ([name], {})


async def test_an_upload_that_is_completed_while_it_is_given_up_is_stored(
    store: S3Objects, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await begin(store)
    await send(store, upload)
    bucket.ahead += timedelta(days=9)
    remove = leftovers.remove

    async def late(*leftover: object) -> None:
        monkeypatch.setattr(leftovers, "remove", remove)
        await complete(store, upload)
        await remove(*leftover)  # type: ignore[arg-type]

    monkeypatch.setattr(leftovers, "remove", late)
    await store.expire_uploads(OLD)
    assert await store.stat(KEY)
    assert bucket.uploads == {}


async def test_an_upload_completed_at_the_last_moment_is_proven_while_others_expire(
    store: S3Objects, bucket: Bucket
) -> None:
    upload = await begin(store)
    await send(store, upload)
    bucket.ahead += timedelta(days=7)
    bucket.slow = 0.3
    completing = asyncio.create_task(complete(store, upload))
    async with asyncio.timeout(10):  # until it is being proven
        while not any("/.incoming/" in name for name in bucket.objects):  # noqa: ASYNC110 - a bucket sets no event
            await asyncio.sleep(0.005)
    assert await store.expire_uploads(OLD) == 0
    await completing
    assert await store.stat(KEY)


async def test_a_round_does_so_much_and_the_next_one_goes_on(
    store: S3Objects, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "MOST", 2)
    for _ in range(3):
        await begin(store)
    bucket.ahead += timedelta(days=9)
    assert [await store.expire_uploads(OLD) for _ in range(3)] == [2, 1, 0]


async def test_where_uploads_are_not_listed_what_lies_aside_goes_all_the_same(
    store: S3Objects, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.lists = False
    bucket.objects[f"team/ml/.incoming/a/b/{KEY.sha256}/{TOKEN}"] = Stored(BODY, bucket.now())
    bucket.ahead += timedelta(days=9)
    with pytest.raises(ObjectsUnavailableError, match="refuses list_multipart_uploads: NotImplemented"):
        await store.expire_uploads(OLD)
    assert bucket.objects == {}
    assert caplog.records == [], "the bucket can be used"


async def test_where_uploads_are_not_listed_an_upload_is_stored_and_leaves_nothing_aside(
    store: S3Objects, bucket: Bucket
) -> None:
    bucket.lists = False
    upload = await begin(store)
    await send(store, upload)
    await complete(store, upload)
    assert list(bucket.objects) == [f"team/ml/{KEY.project}/{KEY.sha256}"]


@pytest.mark.slow
async def test_swift_tells_the_ages_of_what_it_lists(bucket_at: Callable[[str], Address]) -> None:
    store = S3Objects(bucket_at("swift"), 1)
    old = await begin(store)
    await asyncio.sleep(4)
    young = await begin(store)
    assert await store.expire_uploads(OLD) == 0
    assert await store.expire_uploads(2) == 1
    assert await store.multipart.parts(KEY, old) is None
    assert await store.multipart.parts(KEY, young) == []
    await store.close()


async def test_a_folder_keeps_what_arrives_and_what_is_stored_and_loses_what_a_killed_server_left(
    tmp_path: Path,
) -> None:
    store = LocalObjects(tmp_path, "http://localhost", b"s" * 32)
    store.clean()
    stored, old, young = store.path(KEY), tmp_path / ".incoming" / "old", tmp_path / ".incoming" / "young"
    stored.parent.mkdir(parents=True)
    for path in (stored, old, young):
        path.write_bytes(BODY)
    for path in (stored, old):
        os.utime(path, (0, time.time() - OLD - 1))
    assert await store.expire_uploads(OLD) == 1
    assert [path.exists() for path in (stored, old, young)] == [True, False, True]
