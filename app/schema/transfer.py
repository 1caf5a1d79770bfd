"""Bytes on their way and at rest, as callers see them."""

from datetime import datetime

import strawberry

from app.registry import model, uploads
from app.registry.model import SHA256, ObjectState
from app.registry.uploads import UploadState
from app.resolvers import objects
from app.schema import described
from app.schema.info import Info
from app.schema.scalars import URL, BigInt, Digest
from app.stores.ports import SignedRequest

described.enum(
    ObjectState,
    """Whether the bytes an entry pins can be fetched.

    PENDING: They were promised and have not arrived: Git says so.
    READY: They are in the store.
    MISSING: Git says they are there and the store does not have them.
    """,
)


@described.type_
class HttpHeader:
    """A header to send.

    name: Its name.
    value: Its value.
    """

    name: str
    value: str


def headers_of(request: SignedRequest) -> list[HttpHeader]:
    """The headers a signed request has to be sent with."""
    return [HttpHeader(name=name, value=value) for name, value in request.headers]


@described.type_
class Download:
    """A request that fetches bytes. Whoever holds it may make it until it expires: treat it as a secret.

    url: The URL to GET.
    headers: Headers that have to be sent with it; often none.
    expires_at: Until when it works.
    """

    url: URL
    headers: list[HttpHeader]
    expires_at: datetime


@described.type_
class StoredObject:
    """The bytes an entry pins.

    digest: Their sha-256.
    """

    value: strawberry.Private[model.StoredObject]

    digest: Digest = described.attribute("value.digest")

    @described.field
    def size(self) -> BigInt:
        """How many bytes they are."""
        return BigInt(self.value.pin.size)

    @described.field
    def content_type(self) -> str:
        """Their media type: `application/octet-stream` when nobody said."""
        return self.value.pin.content_type

    @described.field
    def filename(self) -> str | None:
        """The name a download is saved under; null when nobody said."""
        return self.value.pin.filename

    @described.field
    async def state(self, info: Info) -> ObjectState:
        """Whether they can be fetched. One look into the store, unless they are PENDING."""
        return await objects.state(info.context, self.value.project, self.value.pin)

    @described.field
    async def download(self, info: Info, expires_in: int | None = 900) -> Download | None:
        """A presigned request for them; null while they are not READY. One look into the store.

        expires_in: How long it works, in seconds: 1 to 604800 (a week), 900 when left out.
        """
        request = await objects.download(info.context, self.value.project, self.value.pin, expires_in)
        if request is None:
            return None
        return Download(url=URL(request.url), headers=headers_of(request), expires_at=request.expires_at)


described.enum(
    UploadState,
    """Whether there is something left to send.

    PENDING: The store waits for the bytes.
    STORED: The project has these bytes already: there is nothing to send.
    """,
)


@described.type_
class UploadPart:
    """A request that sends a part of the bytes. Whoever holds it may make it until it expires: treat it as a secret.

    number: Which part, counted from 1.
    offset: The first byte of the part, counted from 0.
    size: How many bytes the part is.
    method: The HTTP method.
    url: Where to send it.
    headers: Headers that have to be sent with it, exactly as they are.
    """

    number: int
    offset: BigInt
    size: BigInt
    method: str
    url: URL
    headers: list[HttpHeader]

    @classmethod
    def of(cls, part: uploads.Part, request: SignedRequest) -> "UploadPart":
        return cls(
            number=part.number,
            offset=BigInt(part.offset),
            size=BigInt(part.size),
            method=request.method,
            url=URL(request.url),
            headers=headers_of(request),
        )


@described.type_
class ArrivedPart:
    """A part of the bytes that the store has.

    number: Which part, counted from 1.
    size: How many bytes it is.
    etag: What the store answered to it.
    """

    number: int
    size: BigInt
    etag: str


@described.type_
class Upload:
    """Bytes to be sent, or stored already. The server keeps nothing for it: its id is a signed ticket."""

    value: strawberry.Private[uploads.Upload]

    @described.field
    def id(self) -> strawberry.ID:
        """What `completeUpload` asks for. Treat it as a secret."""
        return strawberry.ID(self.value.id)

    @described.field
    def digest(self) -> Digest:
        """The sha-256 the bytes must have."""
        return Digest(SHA256 + self.value.pin.sha256)

    @described.field
    def size(self) -> BigInt:
        """How many bytes they must be."""
        return BigInt(self.value.pin.size)

    @described.field
    def state(self) -> UploadState:
        """STORED at once, with no parts, when the project already has these bytes."""
        return self.value.state

    @described.field
    def parts(self) -> list[UploadPart]:
        """The requests to make, one a part; none when there is nothing left to send.

        Bytes too many for one request have several parts. Where `checkParts` was asked for there are none before
        `Query.upload` is told the parts' digests.
        """
        return [UploadPart.of(part, request) for part, request in self.value.requests]

    @described.field
    def part_size(self) -> BigInt | None:
        """How many bytes every part has but the last; null when one request takes them all."""
        multipart = self.value.multipart
        return BigInt(multipart.part_size) if multipart else None

    @described.field
    def arrived(self) -> list[ArrivedPart]:
        """The parts the store has, when `Query.upload` looked; none while there is but one or the bytes are STORED."""
        return [ArrivedPart(number=one.number, size=BigInt(one.size), etag=one.etag) for one in self.value.arrived]

    @described.field
    def expires_at(self) -> datetime | None:
        """Until when the requests work; null when there are none."""
        return self.value.expires_at
