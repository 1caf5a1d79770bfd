"""The queue in Amazon SQS, FIFO, or whatever speaks its language."""

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from app.stores.errors import QueueUnavailableError
from app.stores.ports import Message
from app.stores.timings import Timings

SECONDS = 5.0  # to connect, and to wait for an answer
NAME = re.compile(r"[A-Za-z0-9_-]{1,75}\.fifo\Z")
HOST = re.compile(r"sqs\.(?P<region>[a-z0-9-]+)\.")
log = logging.getLogger("ml_registry.queue")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a queue is. `url` is None when it has to be asked for; what else is None is found the AWS way."""

    name: str
    url: str | None
    region: str | None
    endpoint: str | None

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`sqs://name.fifo?region=…&endpoint=…`, or a queue's own `https://` URL.

        Raises ValueError, in words that repeat nothing of it: somebody may have put a secret in.
        """
        try:
            parts = urlsplit(text)
        except ValueError:
            raise ValueError("It is no URL") from None
        name = parts.netloc if parts.scheme == "sqs" else parts.path.rpartition("/")[2]
        options = _options(parts)
        if parts.scheme not in {"sqs", "https"}:
            raise ValueError("It begins with sqs:// or https://")
        if not NAME.match(name):
            raise ValueError("It names no FIFO queue, and order is lost in any other: their names end in .fifo")
        if parts.scheme == "sqs":
            return cls(name, None, options.get("region"), options.get("endpoint"))
        host = HOST.match(parts.netloc)
        region = host["region"] if host else options.get("region")
        return cls(name, f"https://{parts.netloc}{parts.path}", region, f"https://{parts.netloc}")


def _options(parts: SplitResult) -> dict[str, str]:
    options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    known = {"region", "endpoint"} if parts.scheme == "sqs" else {"region"}
    if options.keys() - known:
        raise ValueError(f"Its options are {' and '.join(sorted(known))}, and no others")
    return options


class SqsQueue:
    """A Queue at an SQS address, asked for nothing before the first message. Credentials are found the AWS way.

    Nothing is tried twice in here: whoever sends knows better what to send again, and when.
    """

    def __init__(self, address: Address, *, seconds: float = SECONDS, timings: Timings | None = None) -> None:
        self._timings = timings or Timings()
        self._address = address
        self._config = AioConfig(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1})
        self._open = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None
        self._url = address.url

    async def send(self, messages: Sequence[Message]) -> frozenset[str]:
        """See Queue."""
        with self._timings.of("queue", "send"):
            return await self._send(messages)

    async def _send(self, messages: Sequence[Message]) -> frozenset[str]:
        try:
            await self._connect()
            answer = await self._client.send_message_batch(QueueUrl=self._url, Entries=[*map(_entry, messages)])
        except (BotoCoreError, ClientError, OSError) as error:
            raise QueueUnavailableError(f"The queue {self._address.name} did not take the events: {error}") from error
        refused = [f"{one['Code']}: {one.get('Message', 'no reason given')}" for one in answer.get("Failed", ())]
        accepted = frozenset(one["Id"] for one in answer.get("Successful", ()))
        if not accepted:
            raise QueueUnavailableError(f"The queue {self._address.name} refused every event: {'; '.join(refused)}")
        if refused:
            log.debug(
                "the queue %s refused %s of %s events: %s", self._address.name, len(refused), len(messages), refused
            )
        return accepted

    async def close(self) -> None:
        """See Queue."""
        await self._open.aclose()

    async def _connect(self) -> None:
        async with self._opening:
            if self._client is None:
                region, endpoint = self._address.region, self._address.endpoint
                made = get_session().create_client("sqs", region, endpoint_url=endpoint, config=self._config)
                self._client = await self._open.enter_async_context(made)
            if self._url is None:
                self._url = (await self._client.get_queue_url(QueueName=self._address.name))["QueueUrl"]


def _entry(message: Message) -> dict[str, Any]:
    """A message as SQS takes it."""
    return {
        "Id": message.id,
        "MessageBody": message.body,
        "MessageGroupId": message.group,
        "MessageDeduplicationId": message.id,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        },
    }
