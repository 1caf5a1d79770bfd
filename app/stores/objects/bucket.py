"""A bucket in Amazon S3, or in whatever speaks its language: where it is, how it is asked, what went wrong in words."""

import asyncio
import logging
from collections.abc import Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientError as ConnectionBrokenError
from botocore.exceptions import BotoCoreError, ClientError

from app.stores.errors import ObjectsUnavailableError
from app.stores.ports import SignedRequest
from app.stores.timings import Timings

CONNECT_SECONDS = 2.0
READ_SECONDS = 20.0
CONNECTIONS = 50
OPTIONS = {"region", "endpoint", "path_style"}
NOT_FOUND = 404
log = logging.getLogger("ml_registry.objects")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a bucket is. `prefix` is empty or ends in a slash; what is None is found the AWS way."""

    bucket: str
    prefix: str = ""
    region: str | None = None
    endpoint: str | None = None
    path_style: bool = False

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`s3://bucket/prefix?region=…&endpoint=…&path_style=…`.

        Raises ValueError, in words that repeat nothing of it: somebody may have put a secret in.
        An endpoint that is named has the bucket in its path, as most but Amazon's do, unless `path_style` is false.
        """
        try:
            parts = urlsplit(text)
            options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            endpoint = options.get("endpoint")
            kind = urlsplit(endpoint or "").scheme
        except ValueError:
            raise ValueError("it is no URL, or its endpoint is none") from None
        if parts.scheme != "s3" or not parts.netloc:
            raise ValueError("it begins with s3:// and the bucket's name")
        if "@" in parts.netloc:
            raise ValueError("credentials have no place in it; they are found the AWS way")
        if options.keys() - OPTIONS:
            raise ValueError(f"its options are {', '.join(sorted(OPTIONS))}, and no others")
        if endpoint is not None and kind not in {"http", "https"}:
            raise ValueError("an endpoint begins with http:// or https://")
        path_style = options.get("path_style", "true" if endpoint else "false")
        if path_style not in {"true", "false"}:
            raise ValueError("path_style is true or false")
        prefix = parts.path.strip("/")
        return cls(parts.netloc, f"{prefix}/" if prefix else "", options.get("region"), endpoint, path_style == "true")


class Bucket:
    """Asks and signs for one bucket, through one client that is opened when it is first needed."""

    def __init__(self, address: Address, timings: Timings | None = None) -> None:
        self._timings = timings or Timings()
        self.address = address
        self._config = AioConfig(
            signature_version="s3v4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": 2, "mode": "standard"},
            max_pool_connections=CONNECTIONS,
            s3={"addressing_style": "path" if address.path_style else "virtual"},
            # Left alone, botocore adds a CRC32 to what it sends and asks for one back, which not every store knows.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._session = get_session()
        self._open = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None
        self._failing = False

    def key(self, *parts: str) -> str:
        """The name of an object, under the prefix."""
        return self.address.prefix + "/".join(parts)

    async def ask(self, operation: str, **members: Any) -> dict[str, Any] | None:
        """The answer to an operation; None when what it names is not there. Raises ObjectsUnavailableError."""
        answer = await self.answer(operation, (NOT_FOUND,), **members)
        return None if status_of(answer) == NOT_FOUND else answer

    async def answer(self, operation: str, refusals: Collection[int], **members: Any) -> dict[str, Any]:
        """The same with these refusals, by their HTTP status, for answers. A bucket that is not there is no answer."""
        with self._timings.of("objects", operation), self.told():
            client = await self._connected()
            try:
                answer: dict[str, Any] = await getattr(client, operation)(Bucket=self.address.bucket, **members)
            except ClientError as error:
                if status_of(error.response) not in refusals or code_of(error) == "NoSuchBucket":
                    raise
                answer = error.response
            return answer

    async def sign(
        self, operation: str, members: dict[str, Any], expires_in: int, headers: tuple[tuple[str, str], ...] = ()
    ) -> SignedRequest:
        """A request anybody may make, which costs none now. Raises ObjectsUnavailableError without credentials.

        Credentials that are lent for a while end it with them.
        """
        with self.told(asked=False):
            client = await self._connected()
            credentials = await self._session.get_credentials()
            named = {"Bucket": self.address.bucket, **members}
            expires = datetime.now(UTC) + timedelta(seconds=expires_in)
            url = await client.generate_presigned_url(operation, named, expires_in)
        lent = getattr(credentials, "_expiry_time", None)
        method = "GET" if operation == "get_object" else "PUT"
        return SignedRequest(method, url, headers, min(expires, lent) if lent else expires)

    @contextmanager
    def told(self, *, asked: bool = True) -> Iterator[None]:
        """Every failure as an ObjectsUnavailableError; the log hears of the first and of the end of them."""
        try:
            yield
        except (BotoCoreError, ClientError, ConnectionBrokenError, OSError) as error:
            code = code_of(error) if isinstance(error, ClientError) else type(error).__name__
            if not self._failing:
                log.warning("the bucket %s cannot be used: %s", self.address.bucket, error)
            self._failing = True
            raise ObjectsUnavailableError(code) from error
        if asked and self._failing:
            log.warning("the bucket %s answers again", self.address.bucket)
            self._failing = False

    async def close(self) -> None:
        """Let go of every connection."""
        await self._open.aclose()

    async def _connected(self) -> Any:
        async with self._opening:
            if self._client is None:
                region, endpoint = self.address.region, self.address.endpoint
                made = self._session.create_client("s3", region, endpoint_url=endpoint, config=self._config)
                self._client = await self._open.enter_async_context(made)
        return self._client


def code_of(error: ClientError) -> str:
    """What S3 calls the refusal."""
    return str(error.response["Error"].get("Code", "unknown"))


def status_of(answer: dict[str, Any]) -> int:
    """The HTTP status of an answer, refusals included."""
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])
