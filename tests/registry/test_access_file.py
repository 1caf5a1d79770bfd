"""`access.yml`: what it says, and that nothing of it is guessed."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry.access.file import read_policy
from app.registry.access.identity import Identity, Role
from app.registry.access.page import LIMITS, PolicyError
from app.registry.access.policy import Policy
from app.registry.model import Actor

HASH = "a" * 64
TOKEN = f'{{hash: "sha256:{HASH}", role: writer, projects: ["search/*"], expires: 2027-02-01T00:00:00Z}}'
WHOLE = f"""\
tokens:
  ci: {TOKEN[:-1]}, author: "CI <ci@example.org>"}}   # nightly
grants:
  - {{who: ["user:ada@example.org", "group:search"], role: reader, projects: ["search/*"]}}
  - who: [anyone]
    role: admin
    projects: ["play/?"]
protected:
  - {{projects: ["*"], branches: [main, "release/*"]}}
  - {{projects: ["prod/*"], branches: [main], api: closed}}
"""


def somebody(*names: str) -> Identity:
    return Identity(Actor("Ada", "ada@example.org"), frozenset(names))


def test_a_token_is_known_by_its_hash_and_may_do_what_its_scope_says() -> None:
    policy = read_policy(WHOLE.encode())
    token = policy.tokens[HASH]
    assert token.actor == Actor("CI", "ci@example.org")
    assert token.expires_at == datetime(2027, 2, 1, tzinfo=UTC).timestamp()
    assert policy.role(token.identity, "search/topics") is Role.WRITER
    assert policy.role(token.identity, "prod/topics") is Role.NOBODY


def test_a_token_without_an_author_commits_by_its_name() -> None:
    policy = read_policy(f"tokens:\n  ci: {TOKEN}\n".encode())
    assert policy.tokens[HASH].actor == Actor("ci", "ci@localhost")


def test_a_grant_is_to_whoever_has_one_of_its_names() -> None:
    policy = read_policy(WHOLE.encode())
    assert policy.role(somebody("group:search"), "search/topics") is Role.READER
    assert policy.role(somebody("group:other"), "search/topics") is Role.NOBODY
    assert policy.role(somebody("anyone"), "play/1") is Role.ADMIN
    assert policy.role(somebody("anyone"), "play/12") is Role.NOBODY


def test_protected_branches_take_a_maintainer_or_take_nothing_through_the_api() -> None:
    policy = read_policy(WHOLE.encode())
    assert policy.protection("search/topics", "topic") is None
    assert [policy.protection(*at).closed for at in (("search/t", "release/1"), ("prod/t", "main"))] == [False, True]


@pytest.mark.parametrize("text", ["", "\n", "# nobody yet\n", "{}\n", "tokens: {}\ngrants: []\nprotected: []\n"])
def test_a_file_that_says_nothing_lets_nobody_do_anything(text: str) -> None:
    assert read_policy(text.encode()) == Policy()


GRANT = '{who: [anyone], role: reader, projects: ["*"]}'
QUOTED = '"user:"'
BROKEN = {
    "unknown section": ("tokens: {}\nusers: {}\n", 2, "'users'"),
    "unknown key of a token": (f"tokens:\n  ci: {TOKEN[:-1]}, scope: all}}\n", 2, "'scope'"),
    "unknown key of a grant": (f"grants:\n  - {GRANT}\n  - {GRANT[:-1]}, branches: [main]}}\n", 3, "'branches'"),
    "unknown key of a protection": ('protected:\n  - {projects: ["*"], branch: [main]}\n', 2, "'branch'"),
    "a key twice": ("grants: []\ntokens: {}\ngrants: []\n", 3, "line 1 already"),
    "a token twice": (f"tokens:\n  ci: {TOKEN}\n  ci: {TOKEN}\n", 3, "line 2 already"),
    "a hash twice": (f"tokens:\n  ci: {TOKEN}\n\n  cd: {TOKEN}\n", 4, "'ci' has this hash"),
    "no mapping": ("- tokens\n", 1, "mapping"),
    "empty section": ("grants:\n  # none\n", 1, "list"),
    "tokens as a list": (f"tokens:\n  - {TOKEN}\n", 1, "mapping"),
    "grants as a mapping": ("grants:\n  ada: admin\n", 1, "list"),
    "a token that is text": ("tokens:\n  ci: secret\n", 2, "mapping"),
    "a token's name with a slash": (f"tokens:\n  a/b: {TOKEN}\n", 2, "letters, digits"),
    "no hash": ("tokens:\n  ci: {role: writer}\n", 2, "'hash' is missing"),
    "a short hash": (f"tokens:\n  ci: {TOKEN.replace(HASH, 'abc')}\n", 2, "64 lowercase"),
    "a hash in capitals": (f"tokens:\n  ci: {TOKEN.replace(HASH, 'A' * 64)}\n", 2, "64 lowercase"),
    "a bare hash": (f"tokens:\n  ci: {TOKEN.replace('sha256:', '')}\n", 2, "64 lowercase"),
    "no expiry": (f"tokens:\n  ci: {TOKEN.partition(', expires')[0]}}}\n", 2, "'expires' is missing"),
    "a naive time": (f"tokens:\n  ci: {TOKEN.replace('00Z', '00')}\n", 2, "zone"),
    "a date": (f"tokens:\n  ci: {TOKEN.replace('T00:00:00Z', '')}\n", 2, "zone"),
    "a day there is not": (f"tokens:\n  ci: {TOKEN.replace('02-01', '02-31')}\n", 2, "zone"),
    "no author": (f"tokens:\n  ci: {TOKEN[:-1]}, author: Ada}}\n", 2, "Name <address>"),
    "an unknown role": (f"grants:\n  - {GRANT.replace('reader', 'owner')}\n", 2, "reader, writer, maintainer, admin"),
    "the role of nobody": (f"grants:\n  - {GRANT.replace('reader', 'nobody')}\n", 2, "no role 'nobody'"),
    "a role in capitals": (f"grants:\n  - {GRANT.replace('reader', 'Reader')}\n", 2, "no role 'Reader'"),
    "a role that is a number": (f"grants:\n  - {GRANT.replace('reader', '2')}\n", 2, "text"),
    "who as text": (f"grants:\n  - {GRANT.replace('[anyone]', 'anyone')}\n", 2, "list"),
    "nobody named": (f"grants:\n  - {GRANT.replace('[anyone]', '[]')}\n", 2, "somebody"),
    "a name of no kind": (f"grants:\n  - {GRANT.replace('anyone', 'ada@example.org')}\n", 2, "'user:…'"),
    "a kind without a name": (f"grants:\n  - {GRANT.replace('anyone', QUOTED)}\n", 2, "'user:…'"),
    "everyone": (f"grants:\n  - {GRANT.replace('anyone', 'everyone')}\n", 2, "'anyone'"),
    "globs as text": ('grants:\n  - {who: [anyone], role: reader, projects: "*"}\n', 2, "list"),
    "no globs": ("grants:\n  - {who: [anyone], role: reader, projects: []}\n", 2, "matches nothing"),
    "an empty glob": ('grants:\n  - {who: [anyone], role: reader, projects: [""]}\n', 2, "pattern"),
    "a glob with a space": ('grants:\n  - {who: [anyone], role: reader, projects: ["a *"]}\n', 2, "pattern"),
    "a glob that is a number": ("protected:\n  - {projects: [1], branches: [main]}\n", 2, "text"),
    "an api that is open": ('protected:\n  - {projects: ["*"], branches: [main], api: open}\n', 2, "'closed'"),
    "an api that is true": ('protected:\n  - {projects: ["*"], branches: [main], api: true}\n', 2, "'closed'"),
    "a bare star": ("protected:\n  - {projects: [*], branches: [main]}\n", 2, "needs quotes"),
    "a tag": ("grants: !!python/object:os.system []\n", 1, "Tags are not read"),
    "a merge": ("grants: []\n<<: {}\n", 2, "merges"),
    "two documents": ("grants: []\n---\ngrants: []\n", 2, "one YAML document"),
    "too deep": ("grants: " + "[" * 20 + "]" * 20 + "\n", 1, "nested"),
    "too many aliases": (
        "tokens: &a [1,1,1,1,1,1,1,1]\ngrants: &b [" + "*a," * 1000 + "]\nprotected: [" + "*b," * 9 + "]\n",
        3,
        "Aliases",
    ),
    "a character of the machine's": ("grants: []\n# \x07\n", 2, "cannot stand"),
    "too large": ("#" * LIMITS.bytes + "\n", 1, "bytes"),
}


@pytest.mark.parametrize(("text", "line", "says"), BROKEN.values(), ids=BROKEN)
def test_what_is_half_understood_is_refused_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_policy(text.encode())
    assert (refused.value.line, says in str(refused.value)) == (line, True), str(refused.value)
    assert str(refused.value).startswith(f"access.yml, line {line}: ")


def test_bytes_that_are_no_text_are_refused_with_their_line() -> None:
    with pytest.raises(PolicyError, match=r"line 2: A file is UTF-8"):
        read_policy(b"grants: []\n# \xff\n")


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_a_policy_or_refused(data: bytes) -> None:
    read_or_refused(data)


PIECES = [
    *("tokens:", "grants:", "protected:", "who:", "role:", "projects:", "branches:", "api:", "hash:", "expires:"),
    *("\n", "\n  ", "\n    - ", "{", "}", "[", "]", ", ", ": ", "&a ", "*a", '"*"', '"[a-"', '"[[:x:]--]"', "anyone"),
    *("writer", "closed", "null", "~", "1", ".nan", "2027-02-01T00:00:00Z", f'"sha256:{HASH}"', "ci", "\ufeff", "---"),
    *("2027-02-01T24:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", TOKEN, GRANT),
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.data())
def test_whatever_pieces_of_a_policy_come_they_are_a_policy_or_refused(text: str, data: st.DataObject) -> None:
    read_or_refused(text.encode())
    at = data.draw(st.integers(0, len(WHOLE)))
    end = data.draw(st.integers(at, min(len(WHOLE), at + 20)))
    read_or_refused((WHOLE[:at] + text + WHOLE[end:]).encode())


def read_or_refused(data: bytes) -> None:
    with suppress(PolicyError):
        assert read_policy(data).role(somebody("anyone"), "search/topics") in Role
