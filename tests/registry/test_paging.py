"""Pages: cursors name elements, so they hold whatever is written meanwhile, and fit their own list only."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry.changes import DeleteEntry
from app.registry.errors import InvalidInputError
from app.registry.search import ArtifactFilter
from app.resolvers import artifacts, branches, commits, events, projects
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.resolvers.paging import Cursors, Page, Request, decode, encode, page
from tests.support.domain import ADA, Desk, put, signed_in

SCOPE = ("letters",)


def letters(text: str, first: int | None = None, after: str | None = None, limit: int = 100) -> Page[str]:
    return page(Request(SCOPE, first, after, limit), sorted(text), lambda one: (one,))


def shown(part: Page[str]) -> str:
    return "".join(edge.node for edge in part.edges)


def test_pages_follow_each_other_to_the_end() -> None:
    first = letters("abcde", 2)
    second = letters("abcde", 2, first.edges[-1].cursor)
    third = letters("abcde", 2, second.edges[-1].cursor)
    assert [shown(part) for part in (first, second, third)] == ["ab", "cd", "e"]
    assert [(part.has_previous, part.has_next) for part in (first, second, third)] == [
        (False, True),
        (True, True),
        (True, False),
    ]
    assert {part.total for part in (first, second, third)} == {5}


@pytest.mark.parametrize(
    ("now", "expected"), [("abcde", "cd"), ("acde", "cd"), ("aabbcde", "cd"), ("ab", ""), ("z", "z")]
)
def test_a_cursor_survives_what_is_written_meanwhile(now: str, expected: str) -> None:
    cursor = letters("abcde", 2).edges[-1].cursor
    assert shown(letters(now, 2, cursor)) == expected


def test_no_cursor_is_made_before_one_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(Cursors, "of", lambda _, key: made.append(key) or f"cursor of {key[0]}")
    part = letters("abcde", 3)
    assert (part.nodes, [edge.node for edge in part.edges], part.map(str.upper).nodes, part.total) == (
        ["a", "b", "c"],
        ["a", "b", "c"],
        ["A", "B", "C"],
        5,
    )
    assert made == []
    assert (part.edges[1].cursor, part.map(str.upper).end, part.start) == ("cursor of b", "cursor of c", "cursor of a")
    assert made == [("b",), ("c",), ("a",)]


def test_a_page_begins_and_ends_with_its_first_and_last_edge() -> None:
    part = letters("abcde", 3)
    assert (part.start, part.end) == (part.edges[0].cursor, part.edges[-1].cursor)
    assert (letters("ab", 0).start, letters("ab", 0).end) == (None, None)


def test_an_empty_page_says_whether_there_is_more() -> None:
    part = letters("ab", 0)
    assert (part.edges, part.has_next, part.total) == ([], True, 2)


def test_twenty_are_shown_when_nobody_says_how_many() -> None:
    assert len(letters("x" * 30).edges) == 20


@pytest.mark.parametrize("first", [-1, 101, 2**31 - 1])
def test_a_page_beyond_the_limit_is_refused(first: int) -> None:
    with pytest.raises(InvalidInputError) as refused:
        letters("ab", first)
    assert refused.value.issues[0].path == ("first",)


@given(st.text(), st.integers())
def test_a_cursor_reads_as_it_was_written(text: str, number: int) -> None:
    assert decode(SCOPE, encode(SCOPE, (text, number))) == (text, number)


@given(st.text(st.characters(codec=None)))
def test_no_other_text_is_a_cursor(text: str) -> None:
    with pytest.raises(InvalidInputError):
        decode(SCOPE, text)


def test_a_cursor_changed_anywhere_is_refused() -> None:
    cursor = encode(SCOPE, ("ab",))
    for place, character in enumerate(cursor[:-1]):
        with pytest.raises(InvalidInputError):
            decode(SCOPE, cursor[:place] + ("A" if character != "A" else "B") + cursor[place + 1 :])


@pytest.mark.parametrize("key", [(), (1,), ("a", "b"), (None,), (["a"],)])
def test_a_cursor_somebody_made_up_is_refused_however_well(key: tuple[object, ...]) -> None:
    with pytest.raises(InvalidInputError):
        letters("abc", 2, encode(SCOPE, key))


@pytest.mark.parametrize("text", [b"1", b"null", b'{"a": 1}', b"[", b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_what_is_no_key_is_refused_whatever_is_put_before_it(text: bytes) -> None:
    with pytest.raises(InvalidInputError):
        decode(SCOPE, base64.urlsafe_b64encode(Cursors(SCOPE).check(text) + text).decode())


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        decode(("numbers",), encode(SCOPE, ("a",)))


def test_cursors_stay_what_they_were() -> None:
    assert encode(("branches", "team/p", None), ("main",)) == "2sKbaaeGsM9bIm1haW4iXQ"


# ── The lists of the registry ────────────────────────────────────────────────────────────────


@pytest.fixture
def context(desk: Desk) -> Context:
    return Context(desk.registry, signed_in(ADA), Limits())


async def test_a_list_of_entries_goes_on_after_writes(desk: Desk, context: Context) -> None:
    await desk.commit(*(put(name) for name in "abcd"))
    first = await artifacts.page_of_branch(context, await desk.branch(), 2, None, None)
    await desk.commit(DeleteEntry("b"), put("aa"))
    rest = await artifacts.page_of_branch(context, await desk.branch(), 2, first.edges[-1].cursor, None)
    assert [edge.node.name for edge in rest.edges] == ["c", "d"]


async def test_a_list_without_a_filter_is_the_one_with_an_empty_filter(desk: Desk, context: Context) -> None:
    await desk.commit(put("a"), put("b"))
    branch = await desk.branch()
    plain = await artifacts.page_of_branch(context, branch, 1, None, None)
    rest = await artifacts.page_of_branch(context, branch, 1, plain.end, ArtifactFilter())
    assert [one.name for one in rest.nodes] == ["b"]


async def test_the_artifacts_of_a_commit_are_put_in_order_once(desk: Desk, context: Context) -> None:
    await desk.commit(put("b"), put("a"))
    branch = await desk.branch()
    first, again = [await artifacts.page_of_branch(context, branch, 1, None, None) for _ in range(2)]
    assert first.nodes[0] is again.nodes[0]
    edited = replace(branch, project=replace(branch.project, description="other"))
    assert (await artifacts.page_of_branch(context, edited, 1, None, None)).nodes[0].project is edited.project


@pytest.mark.parametrize("many", [0, 1_000])
async def test_a_filter_finds_in_order_however_many_there_are(
    desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr("app.registry.manifests.MANY", many)
    monkeypatch.setattr("app.resolvers.artifacts.FEW", many)
    await desk.commit(*(put(name, type="model" if name in "ca" else "data") for name in "dcba"))
    found = await artifacts.page_of_branch(context, await desk.branch(), None, None, ArtifactFilter(types=("model",)))
    assert [one.name for one in found.nodes] == ["a", "c"]


async def test_a_list_with_another_filter_is_another_list(desk: Desk, context: Context) -> None:
    await desk.commit(put("a"), put("b"))
    branch = await desk.branch()
    first = await artifacts.page_of_branch(context, branch, 1, None, ArtifactFilter(text="a"))
    with pytest.raises(InvalidInputError):
        await artifacts.page_of_branch(context, branch, 1, first.edges[0].cursor, ArtifactFilter(text="b"))


async def test_the_history_of_a_branch_goes_on_after_writes(desk: Desk, context: Context) -> None:
    oids = [await desk.put("a", x=number) for number in range(4)][::-1]
    first = await commits.of_branch(context, await desk.branch(), 2, None)
    await desk.put("a", x="new")
    rest = await commits.of_branch(context, await desk.branch(), 2, first.edges[-1].cursor)
    assert [edge.node.oid for edge in (*first.edges, *rest.edges)] == oids
    assert (first.has_next, rest.has_next) == (True, False)


async def test_the_events_of_a_project_are_paged_by_the_cursors_of_the_stream(desk: Desk, context: Context) -> None:
    for name in "abc":
        await desk.put(name)
    await desk.registry.lanes.finish()
    await desk.registry.telling.finish()
    _, first = (await events.page(context, desk.project, 2, None)).edges
    rest = await events.page(context, desk.project, 10, first.cursor)
    assert [edge.node.change.name for edge in rest.edges if edge.node.change] == ["b", "c"]
    stream = events.follow(context, None, first.cursor)
    assert (await anext(stream)).cursor == rest.edges[0].cursor
    await stream.aclose()


async def test_branches_and_projects_are_paged_by_name_and_prefix(desk: Desk, context: Context) -> None:
    for name in ("dev/a", "dev/b"):
        await desk.registry.branching.create(desk.project, name, "HEAD")
    listed = await branches.page(context, desk.project, 1, None, "dev/")
    assert ([edge.node.name for edge in listed.edges], listed.has_next, listed.total) == (["dev/a"], True, 2)
    assert [edge.node.name for edge in projects.page(context, None, None, "search/").edges] == ["search/ranker"]


async def test_a_search_goes_over_every_project_and_the_branches_asked_for(desk: Desk, context: Context) -> None:
    await desk.commit(put("a", type="model"), put("b", type="dataset"))
    await desk.registry.branching.create(desk.project, "dev", "HEAD")
    await desk.commit(put("c", type="model"), branch="dev")
    default = await artifacts.page(context, None, None, ArtifactFilter(types=("model",)))
    everywhere = await artifacts.page(context, 1, None, ArtifactFilter(types=("model",), branch="*"))
    rest = await artifacts.page(context, None, everywhere.edges[0].cursor, ArtifactFilter(types=("model",), branch="*"))
    assert [edge.node.name for edge in default.edges] == ["a"]
    assert [edge.node.name for edge in (*everywhere.edges, *rest.edges)] == ["a", "c", "a"]


async def test_a_filter_on_project_or_branch_has_no_place_on_one_branch(desk: Desk, context: Context) -> None:
    with pytest.raises(InvalidInputError):
        await artifacts.page_of_branch(context, await desk.branch(), None, None, ArtifactFilter(project="x"))
