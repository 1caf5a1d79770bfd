"""What every queue does, and what SQS needs."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from app.stores.errors import QueueUnavailableError
from app.stores.events.memory import MemoryQueue
from app.stores.events.sqs import Address, SqsQueue
from app.stores.ports import BATCH_BYTES, BATCH_MESSAGES, Message, Queue
from tests.support.moody import moody
from tests.support.queue import CREDENTIALS, Sqs, sqs
from tests.support.server import free_port

Received = Callable[[], list[Message]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with sqs() as endpoint:
        yield endpoint


@pytest.fixture
def server(endpoint: str) -> Iterator[Sqs]:
    made = Sqs(endpoint)
    yield made
    made.client.close()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["memory", "sqs"])
async def both(request: pytest.FixtureRequest, server: Sqs) -> AsyncIterator[tuple[Queue, Received]]:
    """A queue that is empty, and what it delivered."""
    if request.param == "memory":
        memory = MemoryQueue()
        yield memory, lambda: list(memory.delivered)
        return
    made = SqsQueue(Address.parse(server.url()))
    yield made, lambda: [message_of(one) for one in server.received()]
    await made.close()


def message_of(received: dict[str, dict[str, dict[str, str]]]) -> Message:
    about, attributes = received["Attributes"], received.get("MessageAttributes", {})
    return Message(
        str(about["MessageDeduplicationId"]),
        str(about["MessageGroupId"]),
        str(received["Body"]),
        {name: value["StringValue"] for name, value in attributes.items()},
    )


def message(name: str, group: str = "g", body: str = "{}") -> Message:
    return Message(name, group, body, {"project": "search/ranker", "artifact": "größe 🚀"})


async def test_what_is_sent_is_delivered_as_it_was(both: tuple[Queue, Received]) -> None:
    queue, received = both
    sent = message("a" * 64, body='{"größe": "\\u0000 🚀"}')
    assert await queue.send([sent]) == {sent.id}
    assert received() == [sent]


async def test_a_batch_is_accepted_together(both: tuple[Queue, Received]) -> None:
    queue, received = both
    sent = [message(str(number), f"group-{number}") for number in range(BATCH_MESSAGES)]
    assert await queue.send(sent) == {one.id for one in sent}
    assert {one.id for one in received()} == {one.id for one in sent}


async def test_a_group_is_delivered_in_the_order_it_was_accepted_in(both: tuple[Queue, Received]) -> None:
    queue, received = both
    for number in range(20):
        await queue.send([message(f"one-{number}", "one"), message(f"two-{number}", "two")])
    delivered = received()
    for group in ("one", "two"):
        assert [one.id for one in delivered if one.group == group] == [f"{group}-{number}" for number in range(20)]


async def test_a_repeat_is_accepted_and_soon_after_not_delivered_again(both: tuple[Queue, Received]) -> None:
    queue, received = both
    for _ in range(3):
        assert await queue.send([message("once")]) == {"once"}
    assert [one.id for one in received()] == ["once"]


async def test_a_batch_as_large_as_may_be_is_accepted(both: tuple[Queue, Received]) -> None:
    queue, received = both
    empty = [message(str(number), str(number), "") for number in range(4)]
    room = (BATCH_BYTES - sum(one.size for one in empty)) // 4
    sent = [message(one.id, one.group, "x" * room) for one in empty]
    assert await queue.send(sent) == {"0", "1", "2", "3"}
    assert sorted(one.size for one in received()) == [one.size for one in sent]


# ── SQS ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_queue_that_cannot_be_reached_is_unavailable_and_asked_again_the_next_time() -> None:
    port = free_port()
    queue = SqsQueue(Address.parse(f"sqs://events.fifo?region=eu-west-1&endpoint=http://127.0.0.1:{port}"))
    for _ in range(2):
        with pytest.raises(QueueUnavailableError, match=r"events\.fifo did not take the events"):
            await queue.send([message("a")])
    await queue.close()


async def test_a_queue_that_is_not_there_yet_is_found_once_it_is(server: Sqs) -> None:
    queue = SqsQueue(Address.parse(server.url().replace(server.name, "later.fifo")))
    with pytest.raises(QueueUnavailableError, match="does not exist"):
        await queue.send([message("a")])
    server.client.create_queue(QueueName="later.fifo", Attributes={"FifoQueue": "true"})
    assert await queue.send([message("a")]) == {"a"}
    await queue.close()


async def test_of_a_batch_exactly_those_that_were_accepted_are_named(server: Sqs) -> None:
    named: set[str] = set()
    with moody(server.endpoint, seed=1) as (way, address):
        queue = SqsQueue(Address.parse(server.url(address)))
        for batch in range(20):
            before = set(way.accepted)
            try:
                accepted = await queue.send([message(f"{batch}-{group}", str(group)) for group in range(4)])
            except QueueUnavailableError:
                continue
            assert accepted == way.accepted.keys() - before
            named |= accepted
        await queue.close()
    assert way.refused
    assert way.lost
    assert named < way.accepted.keys()


async def test_no_credentials_are_said_to_be_missing(server: Sqs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS.keys() - {"AWS_EC2_METADATA_DISABLED"}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    queue = SqsQueue(Address.parse(server.url()))
    with pytest.raises(QueueUnavailableError, match="credentials"):
        await queue.send([message("a")])
    await queue.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("sqs://a.fifo", Address("a.fifo", None, None, None)),
        (
            "sqs://a-B_1.fifo?region=eu-west-1&endpoint=http://127.0.0.1:9324",
            Address("a-B_1.fifo", None, "eu-west-1", "http://127.0.0.1:9324"),
        ),
        (
            "https://sqs.eu-west-1.amazonaws.com/123456789012/a.fifo",
            Address(
                "a.fifo",
                "https://sqs.eu-west-1.amazonaws.com/123456789012/a.fifo",
                "eu-west-1",
                "https://sqs.eu-west-1.amazonaws.com",
            ),
        ),
        (
            "https://queues.example.org/1/a.fifo?region=x",
            Address("a.fifo", "https://queues.example.org/1/a.fifo", "x", "https://queues.example.org"),
        ),
    ],
)
def test_an_address_names_a_queue_by_its_name_or_by_its_url(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sqs://events", "names end in .fifo"),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/events", "names end in .fifo"),
        ("sqs://", "names end in .fifo"),
        ("amqp://events.fifo", "begins with sqs://"),
        ("events.fifo", "begins with sqs://"),
        ("sqs://events.fifo?regoin=x", "Its options are endpoint and region"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Address.parse(text)
