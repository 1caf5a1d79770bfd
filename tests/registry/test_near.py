"""Branches remembered in the process: nobody is asked while the cache says that nothing moved; nothing is missed."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from app.registry.branches import Branches
from app.registry.model import Branch, Project
from app.registry.near import Near
from app.registry.registry import Registry
from app.stores.cache.memory import MemoryCache
from tests.support.domain import Desk

T = TypeVar("T")
Ask = Callable[[Near, Project], Awaitable[Branch | list[Branch] | None]]
ONE: Ask = lambda near, project: near.get(project, "main")  # noqa: E731 - one of three alike
DEFAULT: Ask = lambda near, project: near.default(project)  # noqa: E731
ALL: Ask = lambda near, project: near.list(project)  # noqa: E731
EVERY = pytest.mark.parametrize("ask", [ONE, DEFAULT, ALL], ids=["one", "default", "all"])


class Scripted:
    """Says of a cache how it is asked, and of projects the version it is told to say."""

    def __init__(self, cache: MemoryCache, patch: pytest.MonkeyPatch) -> None:
        self.said: int | None = 1
        self.trips = 0
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self._cache = cache
        self._pointer, self._pointers_of = cache.pointer, cache.pointers_of
        patch.setattr(cache, "version", lambda _project: self.said)
        patch.setattr(cache, "pointer", self._one)
        patch.setattr(cache, "pointers_of", self._all)

    async def _one(self, project: str, field: str) -> bytes | None:
        await self._trip()
        return await self._pointer(project, field)

    async def _all(self, projects: list[str]) -> object:
        await self._trip()
        return await self._pointers_of(projects)

    async def _trip(self) -> None:
        self.trips += 1
        if happens := self.meanwhile:
            self.meanwhile = None
            await happens()


class Late(Branches):
    """Branches whose pointers move after they were read, before they are told."""

    def __init__(self, branches: Branches, cache: Scripted) -> None:
        self.__dict__.update(vars(branches))
        self._said = cache

    async def get(self, project: Project, name: str) -> Branch | None:
        return self._told(await super().get(project, name))

    async def default(self, project: Project) -> Branch | None:
        return self._told(await super().default(project))

    async def list(self, project: Project) -> list[Branch]:
        return self._told(await super().list(project))

    def _told(self, found: T) -> T:
        self._said.said = (self._said.said or 0) + 1
        return found


@pytest.fixture
async def cache(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """That of the desk's registry, once the desk has a commit."""
    await desk.put("a")
    cache = desk.registry._stores.cache  # noqa: SLF001 - what is asked of it
    assert isinstance(cache, MemoryCache)
    return Scripted(cache, monkeypatch)


def heads(found: Branch | list[Branch] | None) -> list[str]:
    return [one.head for one in ([found] if isinstance(found, Branch) else found or [])]


@EVERY
async def test_nobody_is_asked_again_while_the_version_is_the_same(desk: Desk, cache: Scripted, ask: Ask) -> None:
    found = [await ask(desk.registry.near, desk.project) for _ in range(3)]
    assert cache.trips == 1
    assert [heads(one) for one in found] == [[desk.head()]] * 3


@EVERY
async def test_the_cache_is_asked_each_time_while_the_version_is_not_known(
    desk: Desk, cache: Scripted, ask: Ask
) -> None:
    await ask(desk.registry.near, desk.project)
    cache.said = None
    for number in (2, 3):
        await desk.put("b", rows=number)
        cache.trips = 0
        assert heads(await ask(desk.registry.near, desk.project)) == [desk.head()]
        assert cache.trips == 1


@EVERY
async def test_the_cache_is_asked_once_more_when_the_version_is_another_one(
    desk: Desk, cache: Scripted, ask: Ask
) -> None:
    await ask(desk.registry.near, desk.project)
    await desk.put("b")
    cache.said, cache.trips = 2, 0
    found = [await ask(desk.registry.near, desk.project) for _ in range(2)]
    assert [heads(one) for one in found] == [[desk.head()]] * 2
    assert cache.trips == 1


@EVERY
async def test_a_move_between_the_version_and_the_look_up_is_not_lost(desk: Desk, cache: Scripted, ask: Ask) -> None:
    async def move() -> None:
        await desk.put("b")
        cache.said = 2

    cache.meanwhile = move
    await ask(desk.registry.near, desk.project)  # old or new: it was asked before the move was over
    assert heads(await ask(desk.registry.near, desk.project)) == [desk.head()]


@EVERY
async def test_an_answer_from_before_a_move_is_not_remembered_as_one_from_after_it(
    desk: Desk, cache: Scripted, ask: Ask
) -> None:
    late = Late(desk.registry.branches, cache)
    near = Near(late, desk.registry._stores.cache)  # noqa: SLF001 - the one of the desk
    old = desk.head()
    assert heads(await ask(near, desk.project)) == [old]
    await desk.put("b")
    assert heads(await ask(near, desk.project)) == [desk.head()]


@EVERY
async def test_git_is_asked_of_a_project_of_which_the_cache_missed_something(
    desk: Desk, cache: Scripted, ask: Ask
) -> None:
    await ask(desk.registry.near, desk.project)
    desk.push("pushed: {}\n")
    desk.registry.branches.missed.add(desk.project.name)
    assert desk.registry.near.version(desk.project.name) is None
    assert heads(await ask(desk.registry.near, desk.project)) == [desk.head()]
    desk.push("again: {}\n")
    assert heads(await ask(desk.registry.near, desk.project)) == [desk.head()]
    assert cache.trips == 1


@EVERY
async def test_projects_of_one_name_before_and_after_their_line_changed_are_not_mixed_up(
    desk: Desk, cache: Scripted, ask: Ask
) -> None:
    changed = replace(desk.project, description="changed")
    for project in (desk.project, changed, desk.project):
        found = await ask(desk.registry.near, project)
        every = [found] if isinstance(found, Branch) else found or []
        assert [one.project for one in every] == [project]
    assert cache.trips == 3


async def test_a_branch_that_is_not_there_is_looked_for_each_time(desk: Desk) -> None:
    near = desk.registry.near
    assert await near.get(desk.project, "dev") is None
    head = desk.push("new: {}\n", "dev")
    assert heads(await near.get(desk.project, "dev")) == [head]


async def test_what_is_remembered_of_one_branch_is_not_said_of_another(desk: Desk, cache: Scripted) -> None:
    registry = desk.registry
    await registry.branching.create(desk.project, "dev", "HEAD~1")
    cache.said, near = 5, registry.near
    for _ in range(2):
        assert heads(await near.get(desk.project, "dev")) == [desk.head("dev")]
        assert heads(await near.default(desk.project)) == [desk.head()]
        assert heads(await near.list(desk.project)) == [desk.head("dev"), desk.head()]


async def test_a_name_that_only_the_cache_uses_is_no_branch(desk: Desk) -> None:
    near = desk.registry.near
    await near.default(desk.project)
    await near.list(desk.project)
    assert [await near.get(desk.project, name) for name in ("*HEAD", "*WHOLE")] == [None, None]


async def test_what_this_server_writes_is_seen_at_once(registry: Registry, desk: Desk) -> None:
    for number in range(5):
        await desk.put("a", rows=number)
        for ask in (ONE, DEFAULT, ALL):
            assert heads(await ask(registry.near, desk.project)) == [desk.head()]
