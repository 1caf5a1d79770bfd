"""Answers a client may keep: told by their tag that they are still the same, and never when they should not be kept."""

import json
from typing import Any

import httpx
import pytest

from app.http.etag import names, tag_of
from tests.support.api import Work

NAMES = 'query($p: String!) { project(name: $p) { branch(name: "main") { artifacts { nodes { name } } } } }'


def get(work: Work, query: str = NAMES, method: str = "GET", **headers: str) -> httpx.Response:
    parameters = {"query": query, "variables": json.dumps({"p": work.name})}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return work.server.client.request(method, "/graphql", params=parameters, headers=named)


def test_a_query_by_get_may_be_kept_and_is_a_304_until_a_commit_changes_its_answer(work: Work) -> None:
    work.put("one", type="m")
    first = get(work)
    assert (first.status_code, first.headers["cache-control"]) == (200, "private, no-cache")
    again = get(work, if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    work.put("two", type="m")
    changed = get(work, if_none_match=first.headers["etag"])
    assert changed.status_code == 200
    assert [node["name"] for node in changed.json()["data"]["project"]["branch"]["artifacts"]["nodes"]] == [
        "one",
        "two",
    ]
    assert changed.headers["etag"] != first.headers["etag"]


def test_a_304_repeats_what_the_200_said_of_keeping_it(work: Work) -> None:
    first = get(work)
    again = get(work, if_none_match=first.headers["etag"])
    for name in ("etag", "cache-control", "vary", "x-content-type-options"):
        assert again.headers[name] == first.headers[name]
    assert "content-type" not in again.headers


def test_head_says_the_tag_without_the_answer_and_takes_it_too(work: Work) -> None:
    first, head = get(work), get(work, method="HEAD")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", first.headers["etag"])
    assert head.headers["content-length"] == first.headers["content-length"]
    assert get(work, method="HEAD", if_none_match=first.headers["etag"]).status_code == 304


def test_each_media_type_has_a_tag_of_its_own(work: Work) -> None:
    plain, better = get(work, accept="application/json"), get(work, accept="application/graphql-response+json")
    assert plain.content == better.content
    assert plain.headers["etag"] != better.headers["etag"]
    assert plain.headers["vary"] == better.headers["vary"] == "Accept, Authorization"
    assert get(work, accept="application/json", if_none_match=better.headers["etag"]).status_code == 200


def test_the_same_query_by_post_is_never_kept(work: Work) -> None:
    answer = work.server.client.post("/graphql", json={"query": NAMES, "variables": {"p": work.name}})
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer { name } }",
        "query($p: String!) { project(name: $p) { sync { lagSeconds } } }",
        'query($p: String!) { artifact(project: $p, name: "x") { object { download { url } } } }',
        "query($p: String!) { project(name: $p) { branches(first: 1000) { totalCount } } }",  # an error of a field
        "query($p: Int!) { __typename @skip(if: false) x: __typename }",  # an error of the request
        "{ nothing }",
    ],
)
def test_what_is_of_the_moment_or_of_the_caller_or_went_wrong_is_not_kept(work: Work, query: str) -> None:
    answer = get(work, query, if_none_match="*")
    assert answer.status_code != 304
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (('"a"',), True),
        (('W/"a"',), True),
        (("*",), True),
        (('"b", "a"',), True),
        (('"b"', '"a"'), True),
        (('"b,c" , W/"a"',), True),
        ((), False),
        (("",), False),
        (("a",), False),
        (('"b"',), False),
        (('"A"',), False),
        (('"b*"',), False),
    ],
)
def test_a_tag_is_found_in_a_list_whether_weak_or_not(header: Any, named: bool) -> None:  # noqa: FBT001  a table
    assert names(header, '"a"') is named


def test_a_tag_is_strong_and_of_its_body() -> None:
    assert tag_of("a/b", b"x").startswith('"')
    assert len({tag_of("a/b", b"x"), tag_of("a/b", b"y"), tag_of("a/c", b"x")}) == 3
