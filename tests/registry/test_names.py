"""What may be called what."""

import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.registry import names

Check = Callable[[str], str | None]
SHA = "ab" * 32
OID = "cd" * 20

GOOD: list[tuple[Check, str]] = [
    (names.problem_with_project, "ranker"),
    (names.problem_with_project, "search/ranker_2.0-rc"),
    (names.problem_with_project, "0"),
    (names.problem_with_project, "a" * 100),
    (names.problem_with_branch, "main"),
    (names.problem_with_branch, "feature/ümläut-🎉"),
    (names.problem_with_branch, "a@b"),
    (names.problem_with_branch, "a.lock.b"),
    (names.problem_with_branch, "x" * 200),
    (names.problem_with_artifact, "topic-training-data"),
    (names.problem_with_artifact, "a/b/c d"),
    (names.problem_with_artifact, "é"),
    (names.problem_with_artifact, "...x"),
    (names.problem_with_manifest_path, "artifacts.yml"),
    (names.problem_with_manifest_path, "ml/deep/a.yaml"),
    (names.problem_with_digest, f"sha256:{SHA}"),
    (names.problem_with_oid, OID),
    (names.problem_with_content_type, "application/vnd.apache.parquet"),
    (names.problem_with_content_type, 'text/csv; charset=utf-8; header="present or not"'),
    (names.problem_with_content_type, "image/svg+xml"),
    (names.problem_with_filename, "churn model (1).pkl"),
    (names.problem_with_person, "Ada Lovelace"),
    (names.problem_with_word, "k-1"),
    (names.problem_with_word, "x" * 200),
    (names.problem_with_text, ""),
    (names.problem_with_text, "two\nlines\twith a tab"),
]

BAD: list[tuple[Check, str]] = [
    *((names.problem_with_project, name) for name in (
        "", ".", "..", "/a", "a/", "a//b", "a/../b", "-a", "_a", ".a", "a b", "a.git", "a/b.GIT", "a.lock", "a..b",
        "a.", "ü", "a\n", "a\x00", "a" * 101, "/".join(["abcdefghij"] * 20), "a\\b", "\ud800",
    )),
    *((names.problem_with_branch, name) for name in (
        "", "-a", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a/b.lock/c", "a..b", "a b", "a~b", "a^b", "a:b", "a?b",
        "a*b", "a[b", "a\\b", "a@{b", "@", "HEAD", "a.", "a\x7f", "a\n", "refs/heads/a", "ü" * 101, "\ud800",
    )),
    *((names.problem_with_artifact, name) for name in (
        "", " a", "a ", "a\nb", "a\tb", "..", "a/../b", "a/./b", "/a", "a/", "a//b", ".git", "a/.GIT/b", "e\u0301",
        "artifacts", "x" * 201, "\u200b", "\ud800", "a\x00",
    )),
    *((names.problem_with_manifest_path, path) for path in (
        "", "/artifacts.yml", "../artifacts.yml", "a/../b.yml", "./a.yml", "a//b.yml", ".git/a.yml", "a.json", "a",
        "a\\b.yml", "a\n.yml", "x" * 200 + ".yml", "a/", "\ud800.yml",
    )),
    *((names.problem_with_digest, digest) for digest in (
        "", SHA, f"sha256:{SHA.upper()}", f"sha256:{SHA}0", f"sha512:{SHA}", f"sha256:{SHA}\n", f" sha256:{SHA}",
    )),
    *((names.problem_with_oid, oid) for oid in ("", OID[:39], OID + "0", OID.upper(), "HEAD", OID + "\n")),
    *((names.problem_with_content_type, text) for text in (
        "", "text", "text/", "/csv", "text/csv\r\nX-Evil: 1", "text/csv;", "text /csv", "texté/csv", "a/" + "b" * 200,
    )),
    *((names.problem_with_filename, name) for name in ("", ".", "..", "a/b", "a\\b", "a\nb", "a\x00", " a", "x" * 201)),
    *((names.problem_with_person, text) for text in ("", "Ada <a@b>", "a\nb", "a\x00b", " Ada", "\ud800")),
    *((names.problem_with_word, text) for text in ("", " ", "a ", "a\nb", "x" * 201, "a\u2028b", "\ud800")),
    *((names.problem_with_text, text) for text in ("a\x00b", "a\rb", "\x1b[31m", "\x7f", "\ud800", "x" * 10_001)),
]  # fmt: skip


@pytest.mark.parametrize(("check", "text"), GOOD)
def test_a_good_name_has_no_problem(check: Check, text: str) -> None:
    assert check(text) is None


@pytest.mark.parametrize(("check", "text"), BAD)
def test_a_bad_name_gets_a_sentence(check: Check, text: str) -> None:
    problem = check(text)
    assert problem
    assert problem.endswith(".")
    problem.encode()


def git_accepts(name: str) -> bool:
    command = ["git", "check-ref-format", "--branch", name]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


parts = st.text(st.sampled_from("ab-./@{~^:?*[\\ \x7f\u00fc") | st.characters(codec="utf-8", exclude_characters="\0"))


@settings(max_examples=300, deadline=None)
@given(parts)
def test_git_accepts_every_branch_that_is_accepted_here(name: str) -> None:
    if names.problem_with_branch(name) is None:
        assert git_accepts(name)


@pytest.mark.parametrize("name", [text for check, text in BAD if check == names.problem_with_branch])
def test_what_is_refused_here_is_refused_by_git_or_stands_for_something_else(name: str) -> None:
    elsewhere = {"@", "refs/heads/a", "ü" * 101, "\ud800"}
    if name not in elsewhere:
        assert not git_accepts(name)


@given(st.text(st.characters(codec=None)))
def test_no_text_at_all_makes_a_check_fail(text: str) -> None:
    for check in {check for check, _ in GOOD}:
        check(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.org/team/models.git",
        "https://git.example.org:8443/models",
        "ssh://git@git.example.org/team/models.git",
        "ssh://git.example.org:2222/~ada/models",
        "http://127.0.0.1:8080/models.git",
        "https://[2001:db8::1]/models.git",
    ],
)
def test_where_a_repository_may_lie(url: str) -> None:
    assert names.problem_with_remote_url(url) is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("git@git.example.org:team/models.git", "is like https://"),
        ("models", "is like https://"),
        ("file:///srv/models.git", "not file://"),
        ("git://git.example.org/models.git", "not git://"),
        ("https://ada:secret@git.example.org/models.git", "no credentials"),
        ("https://token@git.example.org/models.git", "no credentials"),
        ("ssh://git:secret@git.example.org/models.git", "no credentials"),
        ("ssh://-oProxyCommand=x/models.git", "has a host"),
        ("ssh://-l@git.example.org/models.git", "has a host"),
        ("https://git.example.org", "has a host"),
        ("https://git.example.org/a?b", "without ?"),
        ("https://git.example.org/a\nb", "without ?"),
        ("https://git.example.org:0/a", "has a host"),
        ("https://git.example.org:99999/a", "is no URL"),
        ("https://git.example.org/" + "a" * 2000, "at most"),
    ],
)
def test_where_none_may_lie_and_what_to_change(url: str, said: str) -> None:
    problem = names.problem_with_remote_url(url)
    assert problem is not None
    assert said in problem
    assert "secret" not in problem
