"""Copies within a bucket, which the store makes by itself: in one request, or in slices that each end in time."""

import asyncio
from typing import Any

from app.stores.errors import ObjectsUnavailableError
from app.stores.objects.bucket import Bucket

SLICE_BYTES = 512 * 1024 * 1024
AT_ONCE = 4


async def copy(bucket: Bucket, source: str, target: str) -> bool:
    """Copy an object; whether it was there. Nothing stands under `target` before all of it does.

    What is copied in one request has a sha-256 of its own after that. Raises ObjectsUnavailableError.
    """
    found = await bucket.ask("head_object", Key=source)
    if found is None:
        return False
    size, origin = int(found["ContentLength"]), {"Bucket": bucket.address.bucket, "Key": source}
    if size <= SLICE_BYTES:
        members = {"Key": target, "CopySource": origin, "ChecksumAlgorithm": "SHA256"}
        return await bucket.ask("copy_object", **members) is not None
    made = await bucket.answer("create_multipart_upload", (), Key=target, ContentType=found["ContentType"])
    named = {"Key": target, "UploadId": made["UploadId"]}
    try:
        slices = await _slices(bucket, size, CopySource=origin, **named)
        await bucket.answer("complete_multipart_upload", (), **named, MultipartUpload={"Parts": slices})
    except ObjectsUnavailableError:
        await bucket.ask("abort_multipart_upload", **named)
        raise
    return True


async def _slices(bucket: Bucket, size: int, **members: Any) -> list[dict[str, Any]]:
    room = asyncio.Semaphore(AT_ONCE)

    async def copied(number: int, first: int) -> dict[str, Any]:
        span = f"bytes={first}-{min(first + SLICE_BYTES, size) - 1}"
        async with room:
            answer = await bucket.answer("upload_part_copy", (), **members, PartNumber=number, CopySourceRange=span)
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    return await asyncio.gather(*(copied(number, first) for number, first in enumerate(range(0, size, SLICE_BYTES), 1)))
