"""Objects in a bucket: `<prefix>/<project>/<sha256>`, and under `<prefix>/.incoming/` what has to be proven first.

What came by one request was checked by the store on its way in; what came in parts lies aside until it is hashed here.
"""

import asyncio
import base64
import logging
from datetime import timedelta

from app.stores.errors import ObjectsUnavailableError
from app.stores.objects import leftovers
from app.stores.objects.bucket import Address, Bucket
from app.stores.objects.headers import checksum, content_disposition, media_type
from app.stores.objects.multipart import S3Multipart
from app.stores.objects.probe import Abilities, probe
from app.stores.ports import ObjectKey, ObjectStat, SignedRequest
from app.stores.timings import Timings

log = logging.getLogger("ml_registry.objects")


class S3Objects:
    """An ObjectStore in a bucket. Objects of `multipart_bytes` and more are sent in parts.

    So is everything where the store does not check what it is sent: what is sent in parts is checked here.
    """

    def __init__(self, address: Address, multipart_bytes: int, timings: Timings | None = None) -> None:
        self._bucket = Bucket(address, timings)
        self._abilities: Abilities | None = None
        self._probing = asyncio.Lock()
        self._multipart_bytes = multipart_bytes
        self.multipart = S3Multipart(self._bucket, self._in_parts)

    async def start(self) -> None:
        """Learn what the store does. One that is not to be reached is asked again when something is to be stored."""
        try:
            await self._able()
        except ObjectsUnavailableError:
            log.warning("no bytes can be stored or fetched until it can; everything else is served")

    async def sign_put(self, key: ObjectKey, *, size: int, content_type: str, expires_in: int) -> SignedRequest:
        """See ObjectStore. What is no media type is stored as `application/octet-stream`."""
        able = await self._able()
        sha256, kind = checksum(key.sha256), media_type(content_type)
        members = {"Key": self._name(key), "ContentType": kind, "ContentLength": size}
        members |= {"ChecksumSHA256": sha256} | ({"IfNoneMatch": "*"} if able.once else {})
        once = (("If-None-Match", "*"),) if able.once else ()
        headers = (("Content-Type", kind), ("x-amz-checksum-sha256", sha256), *once)
        return await self._bucket.sign("put_object", members, expires_in, headers)

    async def sign_get(
        self, key: ObjectKey, *, content_type: str, filename: str | None, expires_in: int
    ) -> SignedRequest:
        """See ObjectStore."""
        members = {
            "Key": self._name(key),
            "ResponseContentType": media_type(content_type),
            "ResponseContentDisposition": content_disposition(filename),
        }
        return await self._bucket.sign("get_object", members, expires_in)

    async def stat(self, key: ObjectKey) -> ObjectStat | None:
        """See ObjectStore. The store knows no sha-256 of what it put together from parts."""
        found = await self._bucket.ask("head_object", Key=self._name(key), ChecksumMode="ENABLED")
        if found is None:
            return None
        told = found.get("ChecksumSHA256", "")
        whole = told and "-" not in told and found.get("ChecksumType") != "COMPOSITE"
        return ObjectStat(int(found["ContentLength"]), base64.b64decode(told).hex() if whole else None)

    async def expire_uploads(self, seconds: int) -> int:
        """See ObjectStore. S3 dates what was put together from parts by when the upload began."""
        return await leftovers.expire(self._bucket, timedelta(seconds=seconds))

    async def close(self) -> None:
        """See ObjectStore."""
        await self.multipart.close()
        await self._bucket.close()

    def _name(self, key: ObjectKey) -> str:
        return self._bucket.key(key.project, key.sha256)

    async def _able(self) -> Abilities:
        async with self._probing:
            if self._abilities is None:
                self._abilities = await probe(self._bucket)
        return self._abilities

    async def _in_parts(self, size: int) -> bool:
        return size >= self._multipart_bytes or not (await self._able()).checks
