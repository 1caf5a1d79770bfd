"""Listeners to events: over graphql-transport-ws and over Server-Sent Events."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support.server import Server

EVENTS = """subscription($filter: EventFilter, $after: String) { events(filter: $filter, after: $after) { cursor node {
  id kind projectName branchName commit sequence __typename
  ... on ArtifactEvent { artifactName } ... on BranchEvent { previousHead } ... on ManifestEvent { problems { line } }
} } }"""
PATIENCE = 5.0
SETTLING = 0.15
"""Seconds until a subscription that was sent has surely begun."""


class Socket:
    """One subscription on one socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def next(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """The next event's edge; an AssertionError when an error or nothing comes."""
        message = self.message(seconds)
        assert message["type"] == "next", message
        edge: dict[str, Any] = message["payload"]["data"]["events"]
        return edge

    def message(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """The next message of the protocol."""
        message: dict[str, Any] = json.loads(self.connection.recv(timeout=seconds))
        return message

    def nothing(self, seconds: float = 0.3) -> bool:
        """Whether nothing comes for a while."""
        try:
            self.connection.recv(timeout=seconds)
        except TimeoutError:
            return True
        return False


@contextmanager
def socket(server: Server, **variables: Any) -> Iterator[Socket]:
    """A subscription to events that has begun."""
    address = f"ws{server.url.removeprefix('http')}/graphql"
    with connect(address, subprotocols=["graphql-transport-ws"], proxy=None) as connection:  # type: ignore[list-item]
        connection.send(json.dumps({"type": "connection_init"}))
        assert json.loads(connection.recv(timeout=PATIENCE)) == {"type": "connection_ack"}
        payload = {"query": EVENTS, "variables": variables}
        connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        time.sleep(SETTLING)
        yield Socket(connection)


@contextmanager
def stream(server: Server, **variables: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """The results a stream of Server-Sent Events carries, from now on."""
    body = {"query": EVENTS, "variables": variables}
    accept = {"accept": "text/event-stream"}
    with server.client.stream("POST", "/graphql", json=body, headers=accept, timeout=PATIENCE) as response:
        assert response.status_code == 200
        time.sleep(SETTLING)
        yield (json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: {"))
