"""Uploads in parts to a bucket: sent aside, put together there, hashed, and only then copied under their own name.

`<prefix>/.incoming/<project>/<sha256>/<token>` is where one upload gathers. S3 knows no sha-256 of what it puts
together from parts, so the bytes are read here once; until that is done they are nobody's object.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from app.stores.errors import BytesDifferError, ObjectsUnavailableError, PartsGoneError
from app.stores.objects import leftovers
from app.stores.objects.bucket import Bucket
from app.stores.objects.copying import copy
from app.stores.objects.headers import checksum, media_type
from app.stores.ports import Multipart, ObjectKey, SignedRequest, StoredPart

MIN_PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 1000  # as many as S3 lists at once; it would take ten times that
PROVING = 4
BLOCK = 1024 * 1024
log = logging.getLogger("ml_registry.objects")


class S3Multipart:
    """A MultipartStore in a bucket; `wanted` tells whether objects of a size are sent in parts."""

    def __init__(self, bucket: Bucket, wanted: Callable[[int], Awaitable[bool]]) -> None:
        self._bucket = bucket
        self._wanted = wanted
        self._room = asyncio.Semaphore(PROVING)
        self._assembling: dict[str, asyncio.Task[None]] = {}

    async def begin(self, key: ObjectKey, *, size: int, content_type: str, checked: bool) -> Multipart | None:
        """See MultipartStore."""
        if not await self._wanted(size):
            return None
        token = secrets.token_hex(8)
        members = {"Key": self._aside(key, token), "ContentType": media_type(content_type)}
        members |= {"ChecksumAlgorithm": "SHA256"} if checked else {}
        made = await self._bucket.answer("create_multipart_upload", (), **members)
        return Multipart(f"{token}/{made['UploadId']}", part_size(size), checked)

    async def sign_part(
        self, key: ObjectKey, upload: Multipart, number: int, *, size: int, sha256: str | None, expires_in: int
    ) -> SignedRequest:
        """See MultipartStore."""
        signed = {"ChecksumSHA256": checksum(sha256)} if sha256 else {}
        headers = (("x-amz-checksum-sha256", checksum(sha256)),) if sha256 else ()
        members = {**self._named(key, upload), "PartNumber": number, "ContentLength": size, **signed}
        return await self._bucket.sign("upload_part", members, expires_in, headers)

    async def parts(self, key: ObjectKey, upload: Multipart) -> Sequence[StoredPart] | None:
        """See MultipartStore."""
        found: list[StoredPart] = []
        more: dict[str, Any] = {}
        while page := await self._bucket.ask("list_parts", **self._named(key, upload), **more):
            found += [
                StoredPart(one["PartNumber"], one["Size"], one["ETag"], one.get("ChecksumSHA256"))
                for one in page.get("Parts", ())
            ]
            if not page.get("IsTruncated"):
                return found
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}
        return None

    async def assemble(self, key: ObjectKey, upload: Multipart, parts: Sequence[StoredPart]) -> None:
        """See MultipartStore. Goes on when the caller does not wait for it: whoever asks again finds it further."""
        task = self._assembling.get(upload.id)
        if task is None:
            task = self._assembling[upload.id] = asyncio.create_task(self._assemble(key, upload, parts))
            task.add_done_callback(lambda _: self._assembling.pop(upload.id))
        await asyncio.shield(task)

    async def close(self) -> None:
        """Leave what is not done; whoever completes the upload again goes on."""
        tasks = list(self._assembling.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _assemble(self, key: ObjectKey, upload: Multipart, parts: Sequence[StoredPart]) -> None:
        named, target = self._named(key, upload), self._bucket.key(key.project, key.sha256)
        aside = named["Key"]
        if parts:  # not there: it was put together before, and the answer was lost
            together = {"Parts": [_completed(part) for part in parts]}
            await self._bucket.ask("complete_multipart_upload", **named, MultipartUpload=together)
        async with self._room:
            actual = await self._sha256(aside)
            if actual not in {key.sha256, None}:
                await self._bucket.ask("delete_object", Key=aside)
                raise BytesDifferError(str(actual))
            copied = actual is not None and await copy(self._bucket, aside, target)
        # Where nothing is left to copy, another upload of the same bytes was faster and gave this one up.
        if not copied and not await self._bucket.ask("head_object", Key=target):
            raise PartsGoneError(f"of {key.sha256} no part is left")
        await self._give_up(key)

    async def _sha256(self, name: str) -> str | None:
        """Of an object's bytes, which are read for it; None when there is none."""
        found = await self._bucket.ask("get_object", Key=name)
        if found is None:
            return None
        digest = hashlib.sha256()
        with self._bucket.told():
            async with found["Body"] as body:
                async for chunk in body.iter_chunks(BLOCK):
                    await asyncio.to_thread(digest.update, chunk)
        return digest.hexdigest()

    async def _give_up(self, key: ObjectKey) -> None:
        """Take away what uploads of the same bytes gathered. What stays for now expires."""
        folder = self._aside(key, "")
        try:
            for listed in (leftovers.kept, leftovers.begun):  # in this order: not every store lists uploads
                async for one in listed(self._bucket, folder):
                    await leftovers.remove(self._bucket, one)
        except ObjectsUnavailableError as error:
            log.info("what was sent of %s stays aside until it expires: %s", key.sha256, error)

    def _aside(self, key: ObjectKey, token: str) -> str:
        # No project's name begins with a dot: what is aside is nobody's object.
        return self._bucket.key(leftovers.INCOMING, key.project, key.sha256, token)

    def _named(self, key: ObjectKey, upload: Multipart) -> dict[str, str]:
        token, _, upload_id = upload.id.partition("/")
        return {"Key": self._aside(key, token), "UploadId": upload_id}


def part_size(size: int) -> int:
    """How large the parts of an object of `size` bytes are: as small as `MAX_PARTS` allow, and not too small."""
    return max(MIN_PART_BYTES, -(-size // MAX_PARTS))


def _completed(part: StoredPart) -> dict[str, Any]:
    checked = {"ChecksumSHA256": part.sha256} if part.sha256 else {}
    return {"PartNumber": part.number, "ETag": part.etag, **checked}
