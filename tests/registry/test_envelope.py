"""Events as messages: CloudEvents that say what GraphQL says, small enough for a queue, and always the same bytes."""

import json
from dataclasses import replace
from typing import Any

from app.registry.envelope import message_of
from app.registry.events import Move, derive
from app.registry.memory import Memory
from app.registry.model import Event
from app.stores.ports import BATCH_BYTES, Message
from tests.support.domain import Desk, put

LIMIT = BATCH_BYTES


def told(desk: Desk, before: str | None, after: str | None, branch: str = "main") -> list[Event]:
    git = desk.registry._stores.git  # noqa: SLF001 - a derivation of one's own, as another process makes it
    return derive(git, desk.registry.manifests, Move(desk.project, branch, before, after))


def body(message: Message) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(message.body)
    return read


async def test_a_change_of_an_entry_is_an_envelope_that_says_it_all(desk: Desk) -> None:
    before = desk.push("größe/x: {type: m, depth: 3}\n")
    after = desk.push("größe/x: {type: n, depth: 3, on: no}\n")
    (event,) = told(desk, before, after)
    message = message_of(event)
    assert message.id == event.id
    assert message.attributes == {
        "project": "search/ranker",
        "branch": "main",
        "kind": "ARTIFACT_MODIFIED",
        "artifact": "größe/x",
        "type": "n",
    }
    at = event.occurred_at.isoformat().replace("+00:00", "Z")
    assert body(message) == {
        "specversion": "1.0",
        "id": event.id,
        "source": "/projects/search/ranker",
        "type": "ml-registry.artifact.modified",
        "subject": "main:größe/x",
        "time": at,
        "datacontenttype": "application/json",
        "data": {
            "projectName": "search/ranker",
            "branchName": "main",
            "commit": after,
            "sequence": 0,
            "kind": "ARTIFACT_MODIFIED",
            "occurredAt": at,
            "actor": {"name": "Grace", "email": "grace@example.org"},
            "artifactName": "größe/x",
            "change": {
                "kind": "MODIFIED",
                "name": "größe/x",
                "fields": [
                    {"path": "/on", "before": None, "after": "no"},
                    {"path": "/type", "before": "m", "after": "n"},
                ],
                "before": {"entry": {"type": "m", "depth": 3}},
                "after": {"entry": {"type": "n", "depth": 3, "on": "no"}},
            },
            "problems": [],
            "previousHead": None,
            "truncated": False,
        },
    }


async def test_events_of_branches_and_manifests_have_no_artifact(desk: Desk) -> None:
    head = desk.head()
    broken = desk.push("x: [\n")
    messages = [message_of(event) for event in (*told(desk, head, broken), *told(desk, broken, None))]
    assert [body(one)["subject"] for one in messages] == ["main", "main"]
    assert [set(one.attributes) for one in messages] == [{"project", "branch", "kind"}] * 2
    first, last = (body(one)["data"] for one in messages)
    assert first["problems"][0]["line"]
    assert (last["kind"], last["previousHead"], last["actor"]) == ("BRANCH_DELETED", broken, None)


async def test_each_branch_is_a_group(desk: Desk) -> None:
    head, after = desk.head(), desk.push("x: {}\n")
    one, same, other = (message_of(told(desk, head, after, branch)[0]) for branch in ("main", "main", "next"))
    assert one == same
    assert one.group != other.group
    assert len(one.group) == 64


async def test_another_process_makes_the_same_bytes(desk: Desk) -> None:
    before = desk.head()
    await desk.commit(put("b", type="m", x={"z": 1.5, "a": [1, None, True]}), put("a", type="m"))
    after = await desk.put("b", type="n")
    made = []
    for _ in range(2):
        desk.registry.manifests._memory = Memory()  # noqa: SLF001 - as after a restart
        made.append([message_of(one) for one in told(desk, before, after)])
    assert made[0] == made[1]
    assert len(made[0]) == 3


async def test_what_is_too_large_is_cut_down_to_what_names_it_and_says_so(desk: Desk) -> None:
    before = desk.head()
    after = desk.push(f"small: {{type: m}}\nlarge: {{type: m, text: {'x' * LIMIT}}}\n")
    large, small = (message_of(event) for event in told(desk, before, after))
    assert body(small)["data"]["truncated"] is False
    assert large.size < LIMIT
    data = body(large)["data"]
    assert data["truncated"] is True
    assert data["change"] == {"kind": "ADDED", "name": "large", "fields": [], "before": None, "after": None}
    assert data["commit"] == after
    assert large.attributes["type"] == "m"


async def test_more_problems_than_a_queue_takes_and_endless_names_are_left_to_the_commit(desk: Desk) -> None:
    (event,) = told(desk, desk.head(), desk.push("x: [\n"))
    assert event.actor
    many = replace(event, problems=event.problems * 3000, actor=replace(event.actor, name="x" * LIMIT))
    message = message_of(many)
    assert message.size < LIMIT
    data = body(message)["data"]
    assert (data["truncated"], data["problems"], len(data["actor"]["name"])) == (True, [], 256)


async def test_attributes_hold_nothing_a_queue_refuses(desk: Desk) -> None:
    before = desk.head()
    after = desk.push('a: {type: "\\uFFFE\\u0007' + "x" * 1000 + '"}\nb: {type: ""}\n')
    first, second = (message_of(event) for event in told(desk, before, after))
    assert first.attributes["type"] == "\ufffd\ufffd" + "x" * 254
    assert "type" not in second.attributes
    assert first.body.isascii()
