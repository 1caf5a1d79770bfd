"""Commit messages, and what is read back from them."""

import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry import names
from app.registry.messages import Idempotency, describe, idempotency_of, problem_with_message, with_trailers
from tests.support.domain import ADA

KEY = Idempotency.of("k", {"a": 1})


@pytest.mark.parametrize(
    ("acts", "said"),
    [
        ([], "Change nothing"),
        ([("Add", "a")], "Add a"),
        ([("Add", "a"), ("Update", "b"), ("Delete", "c")], "Add a, update b, delete c"),
        ([("Add", "a"), ("Add", "a")], "Add a"),
        ([("Add", str(n)) for n in range(4)], "Add 0 and 3 more changes\n\n- Add 0\n- Add 1\n- Add 2\n- Add 3"),
    ],
)
def test_a_message_says_what_was_done(acts: list[tuple[str, str]], said: str) -> None:
    assert describe(acts) == said


def test_the_trailers_are_the_last_paragraph() -> None:
    assert with_trailers("Headline\n\nBody\n\n", ADA, KEY) == (
        "Headline\n\nBody\n\n"
        "Registry-Actor: Ada <ada@example.org>\n"
        f"Registry-Idempotency-Key: k\nRegistry-Input: {KEY.digest}\n"
    )


def test_git_reads_the_trailers_as_trailers() -> None:
    message = with_trailers("Headline", ADA, KEY)
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == message.splitlines()[2:]


usable = st.text().filter(lambda text: problem_with_message(text) is None and names.problem_with_text(text) is None)
keys = st.text(max_size=200).filter(lambda text: names.problem_with_word(text) is None)


@given(usable, keys)
def test_a_key_is_read_as_it_was_written_whatever_the_message(text: str, key: str) -> None:
    used = Idempotency.of(key, {})
    assert idempotency_of(with_trailers(text, ADA, used)) == used


@given(usable)
def test_no_message_passes_for_a_key(text: str) -> None:
    assert idempotency_of(with_trailers(text, ADA)) is None


@pytest.mark.parametrize(
    "message", ["", "\n\n", "Headline", "a: b\n\nRegistry-Input: x", "Registry-Idempotency-Key: k"]
)
def test_a_message_without_both_trailers_has_no_key(message: str) -> None:
    assert idempotency_of(message) is None


@pytest.mark.parametrize("text", ["", " \n", "Registry-Actor: Eve", "Say\n\nRegistry-Anything: at all"])
def test_a_message_that_is_empty_or_forges_a_trailer_is_refused(text: str) -> None:
    assert problem_with_message(text)


@pytest.mark.parametrize("text", ["Say", "the Registry-Actor: x", "Registry: x", "a\n  Registry-Actor: x"])
def test_a_message_that_only_looks_like_it_is_taken(text: str) -> None:
    assert problem_with_message(text) is None


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": "1"}, {"a": 1}, False),
        (["a", "b"], ["b", "a"], False),
        ({"a": "é"}, {"a": "e\u0301"}, False),
        ({"a": None}, {}, False),
    ],
)
def test_inputs_are_the_same_when_their_json_is(one: Any, other: Any, alike: bool) -> None:  # noqa: FBT001 - a column
    assert (Idempotency.of("k", one) == Idempotency.of("k", other)) is alike
