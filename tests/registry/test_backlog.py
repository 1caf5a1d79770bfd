"""The backlog: groups in their order whatever a queue refuses, and a position that passes nothing."""

import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from app.registry import backlog as module
from app.registry.backlog import Backlog, Source
from app.stores.ports import BATCH_BYTES, BATCH_MESSAGES, Message

SIZES = st.sampled_from([10, 1000, 100_000, BATCH_BYTES - 100])
RECORDS = st.lists(st.lists(st.tuples(st.integers(0, 14), SIZES), max_size=6), max_size=30)


def source(records: list[list[tuple[int, int]]]) -> Source:
    """Records of messages given by their group and size."""
    for number, messages in enumerate(records):
        made = [
            Message(f"{number}-{place}", str(group), "x" * size, {}) for place, (group, size) in enumerate(messages)
        ]
        yield f"record-{number}", made


def drain(backlog: Backlog, records: list[list[tuple[int, int]]], refused: Callable[[Message], bool]) -> list[Message]:
    """What a queue that refuses some accepted until nothing waits, with every batch looked at."""
    accepted: list[Message] = []
    ahead, passed = source(records), 0
    while True:
        more = backlog.fill(ahead)
        batch = backlog.batch()
        assert len(batch) <= BATCH_MESSAGES
        assert len(batch) == len({one.group for one in batch})
        assert sum(one.size for one in batch) <= BATCH_BYTES
        took = [one for one in batch if not refused(one)]
        accepted += took
        backlog.settle(batch, {one.id for one in took})
        if done := backlog.done():
            passed = int(done.removeprefix("record-")) + 1
            upto = {f"{number}-{place}" for number in range(passed) for place in range(len(records[number]))}
            assert upto <= {one.id for one in accepted}
        if not more and not backlog:
            assert passed == len(records)
            return accepted


@given(RECORDS, st.randoms(use_true_random=False))
def test_everything_is_accepted_once_in_the_order_of_its_group(
    records: list[list[tuple[int, int]]], dice: random.Random
) -> None:
    accepted = drain(Backlog(), records, lambda _: dice.random() < 0.3)
    for group in {one.group for one in accepted}:
        ids = [one.id for one in accepted if one.group == group]
        expected = [one.id for _, messages in source(records) for one in messages if one.group == group]
        assert ids == expected


def test_what_was_refused_comes_first_in_the_next_batch() -> None:
    backlog = Backlog()
    backlog.fill(source([[(group, 10) for group in range(15)] for _ in range(2)]))
    first = backlog.batch()
    backlog.settle(first, {one.id for one in first} - {first[3].id, first[7].id})
    second = backlog.batch()
    assert second[:2] == [first[3], first[7]]
    assert [one.id for one in second[2:7]] == [f"0-{group}" for group in range(10, 15)]


def test_a_record_that_waits_holds_the_position_back_for_all_after_it() -> None:
    backlog = Backlog()
    backlog.fill(source([[], [(0, 10)], [(1, 10)], []]))
    assert backlog.done() == "record-0"
    first, second = backlog.batch()
    backlog.settle([first, second], {second.id})
    assert backlog.done() is None
    backlog.settle([first], {first.id})
    assert backlog.done() == "record-3"
    assert backlog.done() is None
    assert not backlog


def test_no_more_is_taken_in_than_there_is_room_for() -> None:
    backlog = Backlog()
    ahead = source([[(0, 100_000)]] * 1000)
    assert backlog.fill(ahead)
    assert backlog.newest == f"record-{module.ENOUGH_BYTES // 100_000}"
    empty = Backlog()
    assert empty.fill(source([[]] * (module.ENOUGH_RECORDS + 1)))
    assert empty.done() == f"record-{module.ENOUGH_RECORDS - 1}"
