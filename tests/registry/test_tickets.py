"""Upload tickets: what they carry, and what is refused."""

import string
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry.tickets import Ticket, TicketExpiredError, TicketInvalidError, Tickets
from app.stores.ports import Multipart

TICKET = Ticket("search/ranker", "ab" * 32, 10_485_760, "application/octet-stream", "churn.pkl", 2_000)
TICKETS = Tickets(b"s" * 32)


@given(
    st.builds(
        Ticket,
        project=st.text(),
        sha256=st.text(),
        size=st.integers(min_value=0),
        content_type=st.text(),
        filename=st.none() | st.text(st.characters(codec=None)),
        expires_at=st.integers(min_value=1),
        multipart=st.none() | st.builds(Multipart, id=st.text(), part_size=st.integers(min_value=1)),
    )
)
def test_a_ticket_is_read_as_it_was_issued(ticket: Ticket) -> None:
    assert TICKETS.read(TICKETS.issue(ticket), now=0) == ticket


def test_a_ticket_is_short_text_that_fits_in_a_url() -> None:
    text = TICKETS.issue(TICKET)
    assert set(text) <= set(string.ascii_letters + string.digits + "-_.")
    assert len(text) < 300


def test_a_ticket_with_any_character_changed_is_refused() -> None:
    text = TICKETS.issue(TICKET)
    for place, character in enumerate(text):
        altered = text[:place] + ("A" if character != "A" else "B") + text[place + 1 :]
        with pytest.raises(TicketInvalidError):
            TICKETS.read(altered, now=0)


@pytest.mark.parametrize("text", ["", ".", "u2", "u2..", "u2.e30.", "u1.a.b", "é", "\ud800.\ud800.\ud800", "." * 9])
def test_what_is_no_ticket_is_refused(text: str) -> None:
    with pytest.raises(TicketInvalidError, match="ask for a new one"):
        TICKETS.read(text, now=0)


def test_a_ticket_cut_short_or_made_longer_is_refused() -> None:
    text = TICKETS.issue(TICKET)
    for altered in (text[:-1], text + "A", text + "=", text + ".", " " + text):
        with pytest.raises(TicketInvalidError):
            TICKETS.read(altered, now=0)


def test_a_ticket_of_another_registry_is_refused() -> None:
    with pytest.raises(TicketInvalidError):
        TICKETS.read(Tickets(b"t" * 32).issue(TICKET), now=0)


def test_a_ticket_is_good_until_the_second_it_expires() -> None:
    text = TICKETS.issue(TICKET)
    assert TICKETS.read(text, now=1_999) == TICKET
    with pytest.raises(TicketExpiredError, match="ask for a new one"):
        TICKETS.read(text, now=2_000)


def test_an_altered_ticket_that_also_expired_is_called_altered() -> None:
    with pytest.raises(TicketInvalidError):
        TICKETS.read(TICKETS.issue(replace(TICKET, expires_at=1)) + "A", now=2_000)


def test_the_errors_say_which_they_are() -> None:
    assert (TicketInvalidError.code, TicketExpiredError.code) == ("TICKET_INVALID", "TICKET_EXPIRED")


def test_a_ticket_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        TICKET.size = 1  # type: ignore[misc]
