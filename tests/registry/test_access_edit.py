"""Tokens in the text of `access.yml`: what is put there is read back, and nobody else's words change."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry.access.edit import with_token, without_token
from app.registry.access.file import read_policy
from app.registry.access.identity import Role
from app.registry.access.page import PolicyError
from app.registry.access.tokens import Scope
from app.registry.manifest import emit
from app.registry.model import SHA256, Actor

HASH, OTHER = "a" * 64, "b" * 64
NEW = {"hash": SHA256 + OTHER, "role": "reader", "projects": ["*"], "expires": "2027-02-01T00:00:00Z"}
CI = f"{{hash: 'sha256:{HASH}', role: writer, projects: ['search/*'], expires: 2027-02-01T00:00:00Z}}"
WRITTEN = {
    "one on a line": f"# who may what\ntokens:\n  ci: {CI}  # nightly\n\n# others\ngrants: []  # none\n",
    "in one line": f"{{grants: [], tokens: {{ci: {CI}}}}}  # all\n",
    "in blocks": f"tokens:\n    ci:  # nightly\n        hash: sha256:{HASH}\n        role: writer\n"
    "        projects: ['search/*']\n        expires: 2027-02-01T00:00:00Z\n    # last\ngrants: []\n",
    "with other line ends": f"tokens:\r\n  ci: {CI}  # nightly\r\ngrants: []\r\n",
    "with a byte order mark": f"\ufefftokens:\n  ci: {CI}\n",
    "between marks": f"---\ntokens:\n  ci: {CI}\n...\n",
    "with an alias": f"grants:\n  - {{who: [anyone], role: reader, projects: &all ['*']}}\n"
    f"  - {{who: ['group:a'], role: writer, projects: *all}}\ntokens:\n  ci: {CI}\n",
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_a_token_comes_and_goes_and_leaves_no_trace(text: str) -> None:
    data = text.encode()
    more = with_token(data, "cd", NEW)
    assert read_policy(more).tokens.keys() == {HASH, OTHER}
    new = {*read_policy(more).grants} - {*read_policy(data).grants}
    assert [one.who for one in new] == [{"token:cd"}]
    assert without_token(more, "cd") == data


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_the_last_token_may_go(text: str) -> None:
    left = without_token(text.encode(), "ci")
    assert read_policy(left).tokens == {}
    assert read_policy(with_token(left, "cd", NEW)).tokens.keys() == {OTHER}


@pytest.mark.parametrize("text", ["", "# nobody yet\n", "{}\n", "grants: []\n", "tokens: {}\n", "grants: []"])
def test_the_first_token_may_come(text: str) -> None:
    made = with_token(text.encode(), "cd", NEW)
    assert read_policy(made).tokens.keys() == {OTHER}


def test_a_token_whose_words_others_use_is_not_taken_out() -> None:
    text = f"tokens:\n  ci: {CI.replace('[', '&p [')}\ngrants:\n  - {{who: [anyone], role: reader, projects: *p}}\n"
    with pytest.raises(PolicyError, match="with git"):
        without_token(text.encode(), "ci")


@pytest.mark.parametrize("text", ["tokens:\n", "grants: []\nusers: {}\n", "tokens: [\n"])
def test_a_broken_file_is_not_touched(text: str) -> None:
    with pytest.raises(PolicyError, match=r"line \d"):
        with_token(text.encode(), "cd", NEW)


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
WORDS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="<>"), min_size=1, max_size=20)
SCOPES = st.builds(
    Scope,
    st.sampled_from([role for role in Role if role is not Role.NOBODY]),
    st.lists(WORDS, min_size=1, max_size=3).map(tuple),
    st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  they get one
    st.none() | st.builds(Actor, WORDS, WORDS),
)


@given(NAMES, SCOPES)
def test_whatever_is_written_is_read_back_the_same(name: str, scope: Scope) -> None:
    data = with_token(b"", name, {"hash": SHA256 + HASH, **scope.fields})
    policy = read_policy(data)
    token = policy.tokens[HASH]
    assert (token.name, token.expires_at) == (name, int(scope.expires.timestamp()))
    assert token.actor == (scope.author or Actor(name, f"{name}@localhost"))
    assert [(one.role, one.projects.patterns) for one in policy.grants] == [(scope.role, scope.projects)]


PIECES = [
    "tokens:",
    "grants: []",
    "protected:",
    "\n",
    "\n  ",
    "\n    ",
    f"ci: {CI}",
    "{",
    "}",
    ", ",
    "# a",
    "&a ",
    "*a",
    "---\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_token_is_put_into_any_file_that_is_read_or_the_file_is_left_alone(text: str) -> None:
    data = text.encode()
    with suppress(PolicyError):
        before = read_policy(data)
        after = read_policy(with_token(data, "cd", NEW))
        assert after.tokens == {**before.tokens, OTHER: after.tokens[OTHER]}


def test_what_is_written_stands_in_lines_that_are_easily_reviewed() -> None:
    assert with_token(b"", "cd", NEW).decode().splitlines() == [*emit.pair("tokens", {"cd": NEW}, 0, 2)]
