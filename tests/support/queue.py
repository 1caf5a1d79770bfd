"""A FIFO queue as SQS has them, in this process, and what stands in it."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


class Sqs:
    """A server of queues, and a new queue on it."""

    def __init__(self, endpoint: str, name: str | None = None) -> None:
        self.endpoint = endpoint
        self.name = name or f"events-{secrets.token_hex(6)}.fifo"
        self.client: Any = boto3.client(
            "sqs", REGION, endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test"
        )
        made = self.client.create_queue(QueueName=self.name, Attributes={"FifoQueue": "true"})
        self.queue_url: str = made["QueueUrl"]

    def url(self, endpoint: str | None = None) -> str:
        """The setting that names the queue, maybe behind another endpoint."""
        return f"sqs://{self.name}?region={REGION}&endpoint={endpoint or self.endpoint}"

    def received(self) -> list[dict[str, Any]]:
        """Every message that waits, in order, taken away: Body, MessageAttributes and Attributes."""
        found: list[dict[str, Any]] = []
        while messages := self._some():
            found += messages
            entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)]
            self.client.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)
        return found

    def bodies(self) -> list[dict[str, Any]]:
        """The same, their bodies alone, read."""
        return [json.loads(one["Body"]) for one in self.received()]

    def _some(self) -> list[dict[str, Any]]:
        answer = self.client.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found


@contextmanager
def sqs(port: int = 0) -> Iterator[str]:
    """The endpoint of a server of queues, for the time of a block."""
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()
