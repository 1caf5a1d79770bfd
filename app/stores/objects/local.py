"""Objects in a folder of this machine: written once, and reached by links this server signs.

`<root>/<project with + for each />/<first two hex digits>/<sha256>`: a `+` cannot stand in a project's name, so two
projects never share a folder. Uploads grow under `<root>/.incoming` and are linked into place when they are proven.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from app.stores.durable import sync_folder
from app.stores.errors import LinkRefusedError
from app.stores.objects.headers import checksum, media_type
from app.stores.objects.links import Link, Links
from app.stores.ports import ObjectKey, ObjectStat, SignedRequest

BLOCK = 1024 * 1024
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_FULL = {errno.ENOSPC, errno.EDQUOT}


class LocalObjects:
    """An ObjectStore in the folder `root`, whose links lead to `base_url` and are signed with `secret`."""

    multipart = None

    def __init__(self, root: Path, base_url: str, secret: bytes) -> None:
        self.links = Links(base_url, secret)
        self._root = root
        self._incoming = root / ".incoming"

    def clean(self) -> None:
        """Make the folders, and remove what uploads left behind that a killed server did not finish. Blocks.

        Called once at the start, by the only server of this folder.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(mode=0o700, exist_ok=True)

    async def sign_put(self, key: ObjectKey, *, size: int, content_type: str, expires_in: int) -> SignedRequest:
        """See ObjectStore. What is no media type is stored as `application/octet-stream`."""
        link = Link("PUT", key, media_type(content_type), int(time.time()) + expires_in, size=size)
        headers = (("Content-Type", link.content_type), ("x-amz-checksum-sha256", checksum(key.sha256)))
        return SignedRequest("PUT", self.links.url(link), headers, datetime.fromtimestamp(link.expires, UTC))

    async def sign_get(
        self, key: ObjectKey, *, content_type: str, filename: str | None, expires_in: int
    ) -> SignedRequest:
        """See ObjectStore. The link serves HEAD as well."""
        link = Link("GET", key, media_type(content_type), int(time.time()) + expires_in, filename=filename)
        return SignedRequest("GET", self.links.url(link), (), datetime.fromtimestamp(link.expires, UTC))

    async def stat(self, key: ObjectKey) -> ObjectStat | None:
        """See ObjectStore. Everything here was proven when it was written, so its sha-256 is its name."""
        try:
            found = await asyncio.to_thread(os.stat, self.path(key))
        except FileNotFoundError:
            return None
        return ObjectStat(found.st_size, key.sha256)

    async def expire_uploads(self, seconds: int) -> int:
        """See ObjectStore. There are some where one of several servers of this folder was killed."""
        return await asyncio.to_thread(self._expire, time.time() - seconds)

    def _expire(self, before: float) -> int:
        removed = 0
        for path in self._incoming.glob("*"):
            with contextlib.suppress(FileNotFoundError):  # done, just now
                if path.is_file() and path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
        return removed

    async def close(self) -> None:
        """Nothing is held open between requests."""

    def path(self, key: ObjectKey) -> Path:
        """The file an object has or would have. Raises ValueError for a key no checked name can make."""
        if not _PROJECT.match(key.project) or not _SHA256.match(key.sha256):
            raise ValueError(f"{key!r} is not the key of an object")
        return self._root / key.project.replace("/", "+") / key.sha256[:2] / key.sha256

    async def receive(self, link: Link, chunks: AsyncIterator[bytes]) -> None:
        """Store what a PUT link was made for, durable on return, holding at most about a `BLOCK` in memory.

        Raises LinkRefusedError when the bytes are not those the link names, are there already, or find no room;
        nothing is left behind then, nor when `chunks` raises.
        """
        target = self.path(link.key)
        if await asyncio.to_thread(target.exists):
            raise _stored()
        upload = await asyncio.to_thread(_Upload, self._incoming / uuid.uuid4().hex)
        try:
            await _write(upload, link, chunks)
            await asyncio.to_thread(upload.publish, target)
        except OSError as error:
            if error.errno in _FULL:
                raise LinkRefusedError(
                    507, "STORAGE_FULL", "The server has no room for this object: tell its operator, then try again."
                ) from error
            raise
        finally:
            await asyncio.to_thread(upload.discard)


async def _write(upload: "_Upload", link: Link, chunks: AsyncIterator[bytes]) -> None:
    received, block = 0, bytearray()
    async for chunk in chunks:
        received += len(chunk)
        if link.size is None or received > link.size:
            raise _wrong_size(link)
        block += chunk
        if len(block) >= BLOCK:
            await asyncio.to_thread(upload.write, block)
            block = bytearray()
    await asyncio.to_thread(upload.write, block)
    if received != link.size:
        raise _wrong_size(link)
    if upload.sha256() != link.key.sha256:
        raise LinkRefusedError(
            400,
            "DIGEST_MISMATCH",
            f"The bytes sent have the sha-256 {upload.sha256()}, not {link.key.sha256}: send the file the link is for.",
        )


class _Upload:
    """Bytes on their way in, in a file of their own. Every method blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._hash = hashlib.sha256()

    def write(self, block: bytearray) -> None:
        """Append and hash."""
        self._file.write(block)
        self._hash.update(block)

    def sha256(self) -> str:
        """Of everything written so far."""
        return self._hash.hexdigest()

    def publish(self, target: Path) -> None:
        """Give the file its name, for good. Raises LinkRefusedError when another upload was faster."""
        self._file.flush()
        os.fsync(self._file.fileno())
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.link(self._path, target)
        except FileExistsError:
            raise _stored() from None
        for folder in target.parents[:3]:
            sync_folder(folder)

    def discard(self) -> None:
        """Remove the temporary name, and with it the bytes when they were not published."""
        with contextlib.suppress(OSError):  # a full disk fails again on close; these bytes are not wanted
            self._file.close()
        self._path.unlink(missing_ok=True)


def _stored() -> LinkRefusedError:
    return LinkRefusedError(
        412, "ALREADY_STORED", "These bytes are stored already and are never overwritten: complete the upload."
    )


def _wrong_size(link: Link) -> LinkRefusedError:
    return LinkRefusedError(
        400, "SIZE_MISMATCH", f"The link is for exactly {link.size} bytes: send the file it was made for, whole."
    )
