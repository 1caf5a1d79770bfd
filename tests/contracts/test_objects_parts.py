"""What every store that takes bytes in parts does: nothing stands under the key before it is proven."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import httpx
import pytest

from app.stores.errors import BytesDifferError, PartsGoneError
from app.stores.objects import copying
from app.stores.objects.bucket import Address
from app.stores.objects.s3 import S3Objects
from app.stores.ports import Multipart, ObjectKey, StoredPart

BODY = hashlib.shake_256(b"weights").digest(20 * 1024 * 1024 + 7)
KEY = ObjectKey("search/ranker", hashlib.sha256(BODY).hexdigest())
NUMBERS = (1, 2, 3)


def hexdigest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Sender:
    """A store that takes everything from 9 MiB in parts, and a client that sends them."""

    store: S3Objects
    http: httpx.AsyncClient

    async def begin(self, *, checked: bool = False) -> Multipart:
        begun = await self.store.multipart.begin(KEY, size=len(BODY), content_type="a/b", checked=checked)
        assert begun
        return begun

    def part(self, upload: Multipart, number: int) -> bytes:
        return BODY[(number - 1) * upload.part_size : number * upload.part_size]

    async def send(self, upload: Multipart, number: int, content: bytes | None = None) -> httpx.Response:
        """One part as it is announced, `content` instead of what it should be."""
        right = self.part(upload, number)
        sha256 = hexdigest(right) if upload.checked else None
        request = await self.store.multipart.sign_part(
            KEY, upload, number, size=len(right), sha256=sha256, expires_in=60
        )
        sent = right if content is None else content
        return await self.http.put(request.url, headers=dict(request.headers), content=sent)

    async def parts(self, upload: Multipart) -> list[StoredPart]:
        return list(await self.store.multipart.parts(KEY, upload) or ())

    async def assemble(self, upload: Multipart) -> None:
        await self.store.multipart.assemble(KEY, upload, await self.parts(upload))

    async def fetched(self) -> httpx.Response:
        request = await self.store.sign_get(KEY, content_type="a/b", filename=None, expires_in=60)
        return await self.http.get(request.url)


@pytest.fixture(params=["strict", pytest.param("swift", marks=pytest.mark.slow)])
async def sender(request: pytest.FixtureRequest, bucket_at: Callable[[str], Address]) -> AsyncIterator[Sender]:
    store = S3Objects(bucket_at(request.param), 9 * 1024 * 1024)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        yield Sender(store, http)
    await store.close()


async def test_small_bytes_need_no_parts(sender: Sender) -> None:
    begun = await sender.store.multipart.begin(KEY, size=9 * 1024 * 1024 - 1, content_type="a/b", checked=False)
    assert begun is None


@pytest.mark.parametrize("checked", [False, True])
async def test_parts_sent_in_any_order_become_one_object(sender: Sender, checked: bool) -> None:  # noqa: FBT001 (a case)
    upload = await sender.begin(checked=checked)
    for number in (3, 1, 2):
        assert (await sender.send(upload, number)).status_code == 200
    assert await sender.store.stat(KEY) is None
    await sender.assemble(upload)
    stat = await sender.store.stat(KEY)
    assert stat
    assert (stat.size, stat.sha256 in {KEY.sha256, None}) == (len(BODY), True)
    assert (await sender.fetched()).content == BODY


async def test_parts_that_arrived_are_told_with_their_sizes(sender: Sender) -> None:
    upload = await sender.begin()
    answers = {number: await sender.send(upload, number) for number in (1, 3)}
    assert [(part.number, part.size) for part in await sender.parts(upload)] == [
        (number, len(sender.part(upload, number))) for number in (1, 3)
    ]
    told = {part.number: part.etag.strip('"') for part in await sender.parts(upload)}
    assert told == {number: answer.headers["etag"].strip('"') for number, answer in answers.items()}


async def test_a_part_sent_again_replaces_the_first(sender: Sender) -> None:
    upload = await sender.begin()
    for number in NUMBERS:
        await sender.send(upload, number, bytes(len(sender.part(upload, number))))
    for number in NUMBERS:
        await sender.send(upload, number)
    await sender.assemble(upload)
    assert await sender.store.stat(KEY)


async def test_a_part_of_another_length_is_refused(sender: Sender) -> None:
    upload = await sender.begin()
    for wrong in (sender.part(upload, 3)[:-1], sender.part(upload, 3) + b"!"):
        assert (await sender.send(upload, 3, wrong)).status_code == 403
    assert await sender.parts(upload) == []


async def test_other_bytes_than_a_checked_part_was_signed_for_are_refused(sender: Sender) -> None:
    upload = await sender.begin(checked=True)
    assert (await sender.send(upload, 3, bytes(len(sender.part(upload, 3))))).status_code == 400
    assert await sender.parts(upload) == []


async def test_other_bytes_in_parts_that_are_not_checked_never_stand_under_the_key(sender: Sender) -> None:
    upload = await sender.begin()
    wrong = bytes(len(sender.part(upload, 3)))
    for number, content in ((1, None), (2, None), (3, wrong)):
        await sender.send(upload, number, content)
    with pytest.raises(BytesDifferError) as refused:
        await sender.assemble(upload)
    assert refused.value.sha256 == hexdigest(BODY[: -len(wrong)] + wrong)
    assert await sender.store.stat(KEY) is None
    with pytest.raises(PartsGoneError):
        await sender.assemble(upload)


async def test_assembling_again_finds_it_done(sender: Sender) -> None:
    upload = await sender.begin()
    for number in NUMBERS:
        await sender.send(upload, number)
    parts = await sender.parts(upload)
    await asyncio.gather(*(sender.store.multipart.assemble(KEY, upload, parts) for _ in range(3)))
    await sender.store.multipart.assemble(KEY, upload, parts)
    assert await sender.store.multipart.parts(KEY, upload) is None
    await sender.store.multipart.assemble(KEY, upload, ())


async def test_another_upload_of_the_same_bytes_is_given_up_and_completes_too(sender: Sender) -> None:
    first, second = await sender.begin(), await sender.begin()
    for number in NUMBERS:
        await sender.send(first, number)
    await sender.send(second, 1)
    await sender.assemble(first)
    assert await sender.store.multipart.parts(KEY, second) is None
    assert (await sender.send(second, 2)).status_code == 404
    await sender.assemble(second)


async def test_an_upload_nobody_knows_has_no_parts_and_makes_nothing(sender: Sender) -> None:
    upload = await sender.begin()
    unknown = replace(upload, id=upload.id.translate(str.maketrans("0123456789", "1234567890")))
    with pytest.raises(PartsGoneError):
        await sender.store.multipart.assemble(KEY, unknown, ())


async def test_large_objects_are_copied_in_slices(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "SLICE_BYTES", 8 * 1024 * 1024)
    upload = await sender.begin()
    for number in NUMBERS:
        await sender.send(upload, number)
    await sender.assemble(upload)
    assert (await sender.fetched()).content == BODY
    bucket = sender.store._bucket  # noqa: SLF001 (links say themselves what type they answer)
    found = await bucket.ask("head_object", Key=bucket.key(KEY.project, KEY.sha256))
    assert found
    assert found["ContentType"] == "a/b"
