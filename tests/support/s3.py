"""A bucket that is as strict as S3 where it matters: signatures, expiry, lengths, checksums, conditions, parts.

Only what the registry and its callers use is there, kept in memory.
"""

import asyncio
import base64
import hashlib
import re
import secrets
import socket
import time
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Thread
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.sigv4 import RefusedError, verify

REGION = "eu-west-1"
BUCKET = "bytes"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "registry", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_EC2_METADATA_DISABLED": "true"}
MIN_PART = 5 * 1024 * 1024
RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


def b64_sha256(content: bytes) -> str:
    """As S3's headers write it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


@dataclass
class Stored:
    """An object, or a part of one; `at` is when it was made, or the upload it is made of was begun."""

    content: bytes
    at: datetime
    kind: str = "binary/octet-stream"
    sha256: str | None = None
    etag: str = ""

    def __post_init__(self) -> None:
        self.etag = self.etag or f'"{hashlib.md5(self.content).hexdigest()}"'  # noqa: S324 (what S3 does)


@dataclass
class Begun:
    """An upload in parts."""

    key: str
    at: datetime
    kind: str
    algorithm: str | None
    parts: dict[int, Stored] = field(default_factory=dict)


@dataclass
class Bucket:
    """What is in the bucket, what was asked of it, and how it misbehaves when told to."""

    url: str
    objects: dict[str, Stored] = field(default_factory=dict)
    uploads: dict[str, Begun] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    checks: bool = True
    conditions: bool | None = True  # None: a condition is an error
    tells: bool = True
    broken: bool = False
    mute: str | None = None  # the method whose next answer is lost
    slow: float = 0  # seconds before an object that is aside can be read
    lists: bool = True  # uploads in parts
    ahead: timedelta = timedelta()  # of our own clock

    def setting(self, prefix: str = "") -> str:
        """The setting that names it."""
        return f"s3://{BUCKET}/{prefix}?region={REGION}&endpoint={self.url}"

    def own(self) -> dict[str, Stored]:
        """The objects under their own names, without what is aside."""
        return {key: one for key, one in self.objects.items() if "/." not in f"/{key}"}

    def empty(self) -> None:
        """Take everything away, as other hands do."""
        self.objects.clear()
        self.uploads.clear()

    def now(self) -> datetime:
        """By its clock."""
        return datetime.now(UTC).replace(microsecond=0) + self.ahead

    # ── Objects ──────────────────────────────────────────────────────────────────────────

    def put(self, key: str, content: bytes, headers: dict[str, str]) -> Response:
        if self.conditions is None and "if-none-match" in headers:
            raise RefusedError(501, "NotImplemented")
        if self.conditions and headers.get("if-none-match") == "*" and key in self.objects:
            raise RefusedError(412, "PreconditionFailed")
        self.objects[key] = Stored(
            content, self.now(), headers.get("content-type", ""), self._checked(content, headers)
        )
        return Response(headers={"ETag": self.objects[key].etag})

    def get(self, key: str, query: dict[str, str], headers: dict[str, str]) -> Response:
        if key not in self.objects:
            raise RefusedError(404, "NoSuchKey")
        found = self.objects[key]
        given = {"ETag": found.etag, "Content-Type": query.get("response-content-type", found.kind)}
        if disposition := query.get("response-content-disposition"):
            given["Content-Disposition"] = disposition
        if self.tells and headers.get("x-amz-checksum-mode") == "ENABLED" and found.sha256:
            given["x-amz-checksum-sha256"] = found.sha256
        if not (match := RANGE.match(headers.get("range", ""))):
            return Response(found.content, headers=given)
        first, last = int(match[1]), min(int(match[2] or len(found.content)), len(found.content) - 1)
        if first > last:
            raise RefusedError(416, "InvalidRange")
        given["Content-Range"] = f"bytes {first}-{last}/{len(found.content)}"
        return Response(found.content[first : last + 1], 206, given)

    def copy(self, key: str, headers: dict[str, str]) -> Response:
        source = self.objects.get(headers["x-amz-copy-source"].partition("/")[2])
        if source is None:
            raise RefusedError(404, "NoSuchKey")
        told = b64_sha256(source.content) if headers.get("x-amz-checksum-algorithm") == "SHA256" else source.sha256
        self.objects[key] = Stored(source.content, self.now(), source.kind, told)
        return _xml("CopyObjectResult", f"<ETag>{escape(self.objects[key].etag)}</ETag>")

    def _checked(self, content: bytes, headers: dict[str, str]) -> str | None:
        told = headers.get("x-amz-checksum-sha256")
        if told and self.checks and told != b64_sha256(content):
            raise RefusedError(400, "BadDigest", "the sha-256 is another")
        return told if self.checks else None

    def listed(self, query: dict[str, str]) -> Response:
        """Two at a time, so that whoever asks has to ask again."""
        prefix, after = query.get("prefix", ""), query.get("continuation-token", "")
        later = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        shown = "".join(
            f"<Contents><Key>{escape(key)}</Key>{_at(self.objects[key].at, 'LastModified')}</Contents>"
            for key in later[:2]
        )
        token = f"<NextContinuationToken>{escape(later[1])}</NextContinuationToken>" if len(later) > 2 else ""
        return _xml("ListBucketResult", _truncated(later) + token + shown)

    # ── Parts ────────────────────────────────────────────────────────────────────────────

    def begin(self, key: str, headers: dict[str, str]) -> Response:
        upload = secrets.token_hex(16)
        self.uploads[upload] = Begun(
            key, self.now(), headers.get("content-type", ""), headers.get("x-amz-checksum-algorithm")
        )
        return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")

    def begun(self, upload: str, key: str) -> Begun:
        if upload not in self.uploads or self.uploads[upload].key != key:
            raise RefusedError(404, "NoSuchUpload")
        return self.uploads[upload]

    def put_part(self, begun: Begun, number: int, content: bytes, headers: dict[str, str]) -> Response:
        algorithm = "SHA256" if "x-amz-checksum-sha256" in headers else None
        if begun.algorithm != algorithm:
            raise RefusedError(400, "InvalidRequest", f"expected checksum {begun.algorithm}, got {algorithm}")
        begun.parts[number] = Stored(content, self.now(), sha256=self._checked(content, headers))
        return Response(headers={"ETag": begun.parts[number].etag})

    def copy_part(self, begun: Begun, number: int, headers: dict[str, str]) -> Response:
        source = self.objects.get(headers["x-amz-copy-source"].partition("/")[2])
        match = RANGE.match(headers["x-amz-copy-source-range"])
        if source is None or match is None:
            raise RefusedError(404, "NoSuchKey")
        begun.parts[number] = Stored(source.content[int(match[1]) : int(match[2]) + 1], self.now())
        return _xml("CopyPartResult", f"<ETag>{escape(begun.parts[number].etag)}</ETag>")

    def parts(self, begun: Begun, after: int) -> Response:
        """Two at a time, so that whoever asks has to ask again."""
        later = sorted(number for number in begun.parts if number > after)
        page, more = later[:2], len(later) > 2
        shown = "".join(_part(number, begun.parts[number]) for number in page)
        marker = f"<NextPartNumberMarker>{page[-1]}</NextPartNumberMarker>" if more else ""
        return _xml("ListPartsResult", f"<IsTruncated>{str(more).lower()}</IsTruncated>{marker}{shown}")

    def complete(self, upload: str, begun: Begun, body: bytes) -> Response:
        chosen = []
        for one in ET.fromstring(body):  # noqa: S314 (what our own client wrote)
            told = {child.tag.rpartition("}")[2]: child.text or "" for child in one}
            part = begun.parts.get(int(told["PartNumber"]))
            if part is None or part.etag.strip('"') != told["ETag"].strip('"'):
                raise RefusedError(400, "InvalidPart")
            if begun.algorithm and part.sha256 != told.get("ChecksumSHA256"):
                raise RefusedError(400, "InvalidRequest", "the checksum of each part has to be told")
            chosen.append(part)
        if any(len(part.content) < MIN_PART for part in chosen[:-1]):
            raise RefusedError(400, "EntityTooSmall")
        told = None
        if begun.algorithm:
            told = b64_sha256(b"".join(base64.b64decode(part.sha256 or "") for part in chosen)) + f"-{len(chosen)}"
        whole = b"".join(part.content for part in chosen)
        self.objects[begun.key] = Stored(whole, begun.at, begun.kind, told, f'"{secrets.token_hex(16)}-{len(chosen)}"')
        del self.uploads[upload]
        return _xml("CompleteMultipartUploadResult", f"<ETag>{escape(self.objects[begun.key].etag)}</ETag>")

    def listed_uploads(self, query: dict[str, str]) -> Response:
        """Two at a time as well."""
        if not self.lists:
            raise RefusedError(501, "NotImplemented")
        prefix, after = query.get("prefix", ""), (query.get("key-marker", ""), query.get("upload-id-marker", ""))
        named = sorted((begun.key, upload) for upload, begun in self.uploads.items())
        later = [one for one in named if one[0].startswith(prefix) and one > after]
        shown = "".join(
            f"<Upload><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
            f"{_at(self.uploads[upload].at, 'Initiated')}</Upload>"
            for key, upload in later[:2]
        )
        if len(later) > 2:
            key, upload = later[1]
            shown += f"<NextKeyMarker>{escape(key)}</NextKeyMarker><NextUploadIdMarker>{upload}</NextUploadIdMarker>"
        return _xml("ListMultipartUploadsResult", _truncated(later) + shown)

    # ── Requests ─────────────────────────────────────────────────────────────────────────

    async def answer(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if self.broken:
            return Response(status_code=503)
        headers, body = dict(request.headers), await request.body()
        if request.method == "GET" and "/.incoming/" in request.url.path and not request.url.query:
            await asyncio.sleep(self.slow)
        try:
            path, query = request.scope["raw_path"].decode(), request.scope["query_string"].decode()
            verify(request.method, path, query, headers, body, CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
            answer = self._dispatch(request, headers, body)
        except RefusedError as refused:
            answer = Response(
                f"<Error><Code>{refused.code}</Code><Message>{escape(str(refused))}</Message></Error>", refused.status
            )
        if self.mute == request.method:
            self.mute = None
            return Response(status_code=500)
        answer.headers["Date"] = format_datetime(self.now(), usegmt=True)
        return answer

    def _dispatch(self, request: Request, headers: dict[str, str], body: bytes) -> Response:  # noqa: C901, PLR0911 (S3 hides its operations in methods and queries)
        bucket, _, key = request.path_params["path"].partition("/")
        query = dict(request.query_params)
        if bucket != BUCKET:
            raise RefusedError(404, "NoSuchBucket")
        upload, number = query.get("uploadId", ""), int(query.get("partNumber", "0"))
        match request.method:
            case "GET" if not key and "uploads" in query:
                return self.listed_uploads(query)
            case "GET" if not key:
                return self.listed(query)
            case "GET" if upload:
                return self.parts(self.begun(upload, key), int(query.get("part-number-marker", "0")))
            case "GET" | "HEAD":
                return self.get(key, query, headers)
            case "POST" if upload:
                return self.complete(upload, self.begun(upload, key), body)
            case "POST":
                return self.begin(key, headers)
            case "PUT" if upload and "x-amz-copy-source" in headers:
                return self.copy_part(self.begun(upload, key), number, headers)
            case "PUT" if upload:
                return self.put_part(self.begun(upload, key), number, body, headers)
            case "PUT" if "x-amz-copy-source" in headers:
                return self.copy(key, headers)
            case "PUT":
                return self.put(key, body, headers)
            case _ if upload:
                self.begun(upload, key)
                del self.uploads[upload]
                return Response(status_code=204)
        self.objects.pop(key, None)
        return Response(status_code=204)


def _part(number: int, part: Stored) -> str:
    told = f"<ChecksumSHA256>{part.sha256}</ChecksumSHA256>" if part.sha256 else ""
    return (
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(part.etag)}</ETag>"
        f"<Size>{len(part.content)}</Size>{told}</Part>"
    )


def _at(at: datetime, name: str) -> str:
    return f"<{name}>{at:%Y-%m-%dT%H:%M:%S.000Z}</{name}>"


def _truncated(later: Sized) -> str:
    return f"<IsTruncated>{str(len(later) > 2).lower()}</IsTruncated>"


def _xml(name: str, content: str) -> Response:
    return Response(f"<{name}>{content}</{name}>", media_type="application/xml")


@contextmanager
def strict_s3(port: int = 0) -> Iterator[Bucket]:
    """A bucket of that kind on a port of its own, for the time of a block."""
    listener = socket.create_server(("127.0.0.1", port))
    bucket = Bucket(f"http://127.0.0.1:{listener.getsockname()[1]}")
    methods = ["GET", "HEAD", "PUT", "POST", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", bucket.answer, methods=methods)])
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", loop="asyncio", date_header=False)
    )
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield bucket
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listener.close()
