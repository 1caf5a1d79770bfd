"""How bytes are cut into parts."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.registry.tickets import Ticket
from app.registry.uploads import plan
from app.stores.objects.multipart import part_size
from app.stores.ports import Multipart

MIB = 1024**2


def ticket(size: int, multipart: Multipart | None) -> Ticket:
    return Ticket("p", "0" * 64, size, "a/b", None, 0, multipart)


@given(st.integers(0, 2 * 1024**4))
def test_parts_are_as_s3_takes_them_and_hold_every_byte_once(size: int) -> None:
    parts = plan(ticket(size, Multipart("u", part_size(size), checked=False)))
    assert 1 <= len(parts) <= 10_000
    assert all(5 * MIB <= part.size <= 5 * 1024 * MIB for part in parts[:-1])
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert all(part.offset + part.size == after.offset for part, after in pairwise(parts))
    assert parts[0].offset == 0
    assert parts[-1].offset + parts[-1].size == size


@given(st.integers(0, 2 * 1024**4))
def test_one_request_takes_all_where_there_are_no_parts(size: int) -> None:
    (part,) = plan(ticket(size, None))
    assert (part.number, part.offset, part.size) == (1, 0, size)
