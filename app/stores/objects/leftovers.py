"""What uploads leave in a bucket: those begun and never completed, and what lies aside of those that were.

Ages are by the store's own clock alone: the `Date` of its answer, less the time it gives itself.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from app.stores.errors import ObjectsUnavailableError
from app.stores.objects.bucket import Bucket, status_of

INCOMING, PROBE = ".incoming", ".probe"
MOST = 10_000
REFUSALS = (400, 403, 404, 405, 501)
_OBJECT = r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*/[0-9a-f]{64}"
_TOKEN = r"[0-9a-f]{16}"  # noqa: S105 (of an upload)
_ASIDE = re.compile(rf"\.incoming/{_OBJECT}/{_TOKEN}|\.probe/{_TOKEN}")
_BEGUN = re.compile(rf"\.incoming/{_OBJECT}/{_TOKEN}|{_OBJECT}")  # large objects are copied in parts too


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object, or an upload in parts by the store's id of it."""

    key: str
    age: timedelta
    upload: str | None = None


async def expire(bucket: Bucket, age: timedelta) -> int:
    """Remove what is older, `MOST` at a time; answers how many. Raises ObjectsUnavailableError.

    Whatever has a name that the registry gives nothing is left alone.
    """
    removed = 0
    async with aclosing(_ours(bucket)) as leftovers:
        async for one in leftovers:
            if one.age > age:
                await remove(bucket, one)
                removed += 1
            if removed == MOST:
                break
    return removed


async def _ours(bucket: Bucket) -> AsyncGenerator[Leftover, None]:
    """Uploads come last, because not every store lists them."""
    prefix = bucket.address.prefix
    for folder in (INCOMING, PROBE):
        async for one in kept(bucket, bucket.key(folder, "")):
            if _ASIDE.fullmatch(one.key.removeprefix(prefix)):
                yield one
    async for one in begun(bucket, prefix):
        if _BEGUN.fullmatch(one.key.removeprefix(prefix)):
            yield one


async def kept(bucket: Bucket, prefix: str) -> AsyncGenerator[Leftover, None]:
    """The objects below a prefix."""
    more: dict[str, str] = {}
    while True:
        page = await _page(bucket, "list_objects_v2", Prefix=prefix, **more)
        now = _date(page)
        for one in page.get("Contents", ()):
            yield Leftover(one["Key"], now - one["LastModified"])
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


async def begun(bucket: Bucket, prefix: str) -> AsyncGenerator[Leftover, None]:
    """The uploads in parts below a prefix that were neither completed nor given up."""
    more: dict[str, str] = {}
    while True:
        page = await _page(bucket, "list_multipart_uploads", Prefix=prefix, **more)
        now = _date(page)
        for one in page.get("Uploads", ()):
            yield Leftover(one["Key"], now - one["Initiated"], one["UploadId"])
        if not page.get("IsTruncated"):
            return
        more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


async def remove(bucket: Bucket, leftover: Leftover) -> None:
    """Take one away. One that is gone, or was completed just now, is left as it is."""
    if leftover.upload:
        await bucket.ask("abort_multipart_upload", Key=leftover.key, UploadId=leftover.upload)
    else:
        await bucket.ask("delete_object", Key=leftover.key)


async def _page(bucket: Bucket, operation: str, **members: Any) -> dict[str, Any]:
    """A listing. One that the store refuses says nothing of whether the bucket can be used."""
    answer = await bucket.answer(operation, REFUSALS, **members)
    if status_of(answer) in REFUSALS:
        raise ObjectsUnavailableError(f"the store refuses {operation}: {answer['Error'].get('Code', 'unknown')}")
    return answer


def _date(answer: dict[str, Any]) -> datetime:
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if said is None:
        raise ObjectsUnavailableError("the store does not say what time it is")
    return parsedate_to_datetime(said)
