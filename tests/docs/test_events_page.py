"""The page about events: its schema fits what is sent, and its consumer does what it says."""

import json
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.registry.envelope import cut_down
from app.registry.model import EventKind
from tests.support.api import eventually, new_project
from tests.support.git import clone, git, push_file
from tests.support.queue import CREDENTIALS, Sqs, sqs
from tests.support.server import ROOT, running

PAGE = (ROOT / "docs" / "events.md").read_text()
SCHEMA = json.loads((ROOT / "docs" / "event.schema.json").read_text())
(CONSUMER,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(EXAMPLE,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqs]:
    """A queue that holds an event of every kind, and more."""
    folder = tmp_path_factory.mktemp("events")
    with sqs() as endpoint:
        queue = Sqs(endpoint)
        with running(folder / "var", "--no-demo", **CREDENTIALS, REGISTRY_QUEUE_URL=queue.url()) as server:
            work = new_project(server)
            work.put("one", type="m", metadata={"a": [1, None, {"b": 2.5}]})
            work.put("one", type="n", labels=[{"key": "x"}])
            work.put("large", metadata={"text": "x" * 300_000})
            work.commit({"delete": "one"})
            tree = clone(work.repository, folder / "tree")
            work.mutate("createBranch", project=work.name, name="next")
            work.mutate("deleteBranch", project=work.name, name="next")
            push_file(tree, "artifacts.yml", b"one: [\n")
            eventually(lambda: waiting(queue) == 8)
            push_file(tree, "artifacts.yml", b"one: {}\n")
            eventually(lambda: waiting(queue) == 11)
            git("push", "--quiet", "--force", "origin", "HEAD~1:main", at=tree)
            eventually(lambda: waiting(queue) == 14)
        yield queue
        queue.client.close()


def waiting(queue: Sqs) -> int:
    name = "ApproximateNumberOfMessages"
    told = queue.client.get_queue_attributes(QueueUrl=queue.queue_url, AttributeNames=[name])
    return int(told["Attributes"][name])


@pytest.fixture(scope="module")
def handled(queue: Sqs) -> list[dict[str, Any]]:
    """What the page's consumer handled, which was killed once after it acted and before it took the message away."""
    scope: dict[str, Any] = {"json": json}
    exec(compile(CONSUMER, "docs/events.md", "exec"), scope)  # noqa: S102 - the page's own words
    acted: list[dict[str, Any]] = []
    with sqlite3.connect(":memory:") as db:
        killed = Killed(queue.client)
        with pytest.raises(KeyboardInterrupt):
            scope["consume"](killed, queue.queue_url, db, lambda _db, event: acted.append(event))
        assert len(acted) == 1
        queue.client.change_message_visibility(
            QueueUrl=queue.queue_url, ReceiptHandle=killed.held, VisibilityTimeout=0
        )  # as time would do
        scope["consume"](queue.client, queue.queue_url, db, lambda _db, event: acted.append(event))
    db.close()
    return acted


class Killed:
    """A client whose process ends when it is about to take a message away."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.held = ""

    def receive_message(self, **asked: Any) -> Any:
        return self._client.receive_message(**asked)

    def delete_message(self, *, ReceiptHandle: str, **_: Any) -> None:  # noqa: N803 - SQS's word
        self.held = ReceiptHandle
        raise KeyboardInterrupt


def test_the_consumer_is_short(handled: list[dict[str, Any]]) -> None:
    assert len(CONSUMER.splitlines()) <= 15
    assert handled


def test_the_consumer_acts_once_on_each_event_though_one_came_twice(handled: list[dict[str, Any]]) -> None:
    ids = [event["id"] for event in handled]
    assert len(ids) == len(set(ids))
    assert {event["data"]["kind"] for event in handled} == {kind.value for kind in EventKind}


def test_every_message_fits_the_schema(handled: list[dict[str, Any]]) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for event in handled:
        Draft202012Validator(SCHEMA).validate(event)
        Draft202012Validator(SCHEMA).validate({**event, "data": cut_down(event["data"])})
    assert {event["data"]["artifactName"] for event in handled if event["data"]["truncated"]} == {"large"}


def test_the_schema_leaves_nothing_open(handled: list[dict[str, Any]]) -> None:
    for path in ("data", "change"):
        event = json.loads(json.dumps(next(one for one in handled if one["data"]["change"])))
        (event["data"] if path == "data" else event["data"]["change"])["more"] = 1
        assert not Draft202012Validator(SCHEMA).is_valid(event)


def test_the_example_has_the_fields_of_a_message(handled: list[dict[str, Any]]) -> None:
    example = json.loads(EXAMPLE)
    real = next(one for one in handled if one["data"]["kind"] == "ARTIFACT_MODIFIED")
    assert example.keys() == real.keys()
    assert example["data"].keys() == real["data"].keys()
    assert example["data"]["change"].keys() == real["data"]["change"].keys()
