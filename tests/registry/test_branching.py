"""Making and deleting branches."""

import asyncio

import pytest

from app.registry.errors import AlreadyExistsError, ConflictError, ContentionError, InvalidInputError, NotFoundError
from app.registry.model import Branch
from app.stores.errors import RefMovedError, RepositoryBusyError
from tests.support.domain import Desk, put


async def create(desk: Desk, name: str, revision: str = "HEAD") -> Branch:
    return await desk.registry.branching.create(desk.project, name, revision)


async def delete(desk: Desk, name: str, expected: str | None = None) -> str:
    return await desk.registry.branching.delete(desk.project, name, expected)


async def test_a_branch_begins_with_what_the_revision_has(desk: Desk) -> None:
    first = await desk.put("a")
    await desk.put("b")
    made = await create(desk, "dev", "main~1")
    assert (made.head, made.is_default) == (first, False)
    assert list(await desk.entries("dev")) == ["a"]


async def test_a_new_branch_is_one_event(desk: Desk) -> None:
    await desk.put("a")
    await create(desk, "dev")
    assert (await desk.events())[1:] == ["BRANCH_CREATED"]


async def test_a_branch_that_is_there_is_refused(desk: Desk) -> None:
    with pytest.raises(AlreadyExistsError):
        await create(desk, "main")


async def test_one_of_two_who_make_the_same_branch_at_once_is_refused(desk: Desk) -> None:
    outcomes = await asyncio.gather(create(desk, "dev"), create(desk, "dev"), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["AlreadyExistsError", "Branch"]


@pytest.mark.parametrize("name", ["main/x", "a..b", "-x", "HEAD", ""])
async def test_a_name_git_cannot_have_here_is_invalid(desk: Desk, name: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await create(desk, name)
    assert refused.value.issues[0].path == ("name",)


async def test_a_revision_that_names_nothing_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        await create(desk, "dev", "nowhere")


async def test_a_branch_held_by_another_process_is_contention(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise RepositoryBusyError("held")

    monkeypatch.setattr(desk.repository, "create_branch", busy)
    with pytest.raises(ContentionError):
        await create(desk, "dev")


async def test_a_deleted_branch_is_gone_and_told_where_it_was(desk: Desk) -> None:
    made = await create(desk, "dev")
    assert await delete(desk, "dev") == made.head
    assert await desk.registry.branches.get(desk.project, "dev") is None
    assert await desk.events() == ["BRANCH_CREATED", "BRANCH_DELETED"]


async def test_a_branch_that_moved_is_not_deleted(desk: Desk) -> None:
    made = await create(desk, "dev")
    head = desk.push("a: {}\n", branch="dev")
    with pytest.raises(ConflictError) as refused:
        await delete(desk, "dev", made.head)
    assert refused.value.head == head
    assert await delete(desk, "dev", head) == head


async def test_the_default_branch_cannot_be_deleted(desk: Desk) -> None:
    with pytest.raises(InvalidInputError):
        await delete(desk, "main")


async def test_a_branch_that_is_not_there_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        await delete(desk, "dev")


async def test_an_expected_head_is_a_full_id(desk: Desk) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await delete(desk, "main", "abc")
    assert refused.value.issues[0].path == ("expectedHead",)


async def test_a_branch_that_moves_all_the_time_is_contention(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await create(desk, "dev")

    def moved(*_: object) -> None:
        raise RefMovedError("moved")

    monkeypatch.setattr(desk.repository, "delete_branch", moved)
    with pytest.raises(ContentionError):
        await delete(desk, "dev")


async def test_a_deleted_branch_can_be_made_again_and_written_to(desk: Desk) -> None:
    for _ in range(2):
        await create(desk, "dev")
        await desk.commit(put("a"), branch="dev", key="k")
        await delete(desk, "dev")
    with pytest.raises(NotFoundError):
        await desk.commit(put("a"), branch="dev")
