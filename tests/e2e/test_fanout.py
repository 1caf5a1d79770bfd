"""Many subscribers of one branch: each hears everything, once, in the order of the commits."""

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.support.api import Work
from tests.support.listen import EVENTS, SETTLING

SUBSCRIBERS = 100
COMMITS = 20
PROTOCOL: Any = ["graphql-transport-ws"]


async def subscribe(address: str, **variables: Any) -> ClientConnection:
    """A socket that listens."""
    made = await connect(address, subprotocols=PROTOCOL, proxy=None, compression=None)
    await made.send(json.dumps({"type": "connection_init"}))
    assert json.loads(await made.recv()) == {"type": "connection_ack"}
    payload = {"query": EVENTS, "variables": variables}
    await made.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
    return made


async def hear(there: ClientConnection, count: int) -> list[Any]:
    """The messages of so many events."""
    return [await asyncio.wait_for(there.recv(), 10) for _ in range(count)]


async def test_a_hundred_subscribers_hear_the_same_bytes_and_those_who_resume_hear_the_rest(work: Work) -> None:
    address = f"ws{work.server.url.removeprefix('http')}/graphql"
    wanted = {"project": work.name, "branch": "main"}
    listening = await asyncio.gather(*(subscribe(address, filter=wanted) for _ in range(SUBSCRIBERS)))
    await asyncio.sleep(SETTLING)
    names = [f"entry-{number:02}" for number in range(COMMITS)]

    def write() -> None:
        for name in names:
            work.put(name, type="m")

    first, *others = await asyncio.gather(*(hear(one, COMMITS) for one in listening), asyncio.to_thread(write))
    edges = [json.loads(message)["payload"]["data"]["events"] for message in first]
    assert [edge["node"]["artifactName"] for edge in edges] == names
    assert all(heard == first for heard in others[:-1])
    resumed = await asyncio.gather(*(subscribe(address, filter=wanted, after=edge["cursor"]) for edge in edges))
    for number, one in enumerate(resumed, 1):
        assert await hear(one, COMMITS - number) == first[number:]
    await asyncio.gather(*(one.close() for one in [*listening, *resumed]))
