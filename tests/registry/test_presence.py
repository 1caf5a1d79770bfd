"""What is remembered of the bytes in the store, and what is asked anew."""

from collections.abc import AsyncIterator

import pytest

from app.registry import presence
from app.registry.manifest import ObjectPin
from app.registry.model import ObjectState, Project
from app.registry.offload import Offload
from app.registry.presence import BELIEVED_SECONDS, Bytes, Presence
from app.stores.ports import ObjectKey, ObjectStat, ObjectStore


class Shelf(ObjectStore):
    """A store of sizes that counts the looks into it."""

    def __init__(self) -> None:
        self.sizes: dict[ObjectKey, int] = {}
        self.looks: list[str] = []

    async def stat(self, key: ObjectKey) -> ObjectStat | None:
        self.looks.append(key.sha256)
        return ObjectStat(self.sizes[key], key.sha256) if key in self.sizes else None


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


A: Bytes = ("p", "a", 1)
B: Bytes = ("p", "b", 1)


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    shelf.sizes[ObjectKey("p", "a")] = 1
    return shelf


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def held(shelf: Shelf, clock: Clock) -> AsyncIterator[Presence]:
    offload = Offload()
    yield Presence(shelf, offload, clock)
    offload.close()


async def test_the_same_bytes_are_looked_for_once(held: Presence, shelf: Shelf) -> None:
    assert await held.ready([A, B, A, B]) == {A}
    assert sorted(shelf.looks) == ["a", "b"]


async def test_bytes_of_another_size_or_project_are_others(held: Presence) -> None:
    assert await held.ready([("p", "a", 2), ("q", "a", 1)]) == set()


async def test_what_was_there_is_believed_for_a_while_and_what_was_missing_is_not(
    held: Presence, shelf: Shelf, clock: Clock
) -> None:
    await held.ready([A, B])
    shelf.looks.clear()
    shelf.sizes[ObjectKey("p", "b")] = 1
    clock.now = BELIEVED_SECONDS - 1
    assert await held.ready([A, B]) == {A, B}
    assert shelf.looks == ["b"]
    clock.now = BELIEVED_SECONDS
    shelf.sizes.clear()
    assert await held.ready([A, B]) == {B}
    assert shelf.looks == ["b", "a"]


async def test_a_look_at_one_tells_what_is_believed_among_many(held: Presence, shelf: Shelf) -> None:
    project, pin = Project("p", "", None, "artifacts.yml"), ObjectPin("a", 1, "a/b", None, pending=False)
    assert await held.ready([A]) == {A}
    shelf.sizes.clear()
    assert await held.ready([A]) == {A}
    assert await held.state(project, pin) is ObjectState.MISSING
    assert await held.ready([A]) == set()
    shelf.sizes[ObjectKey("p", "a")] = 1
    assert await held.state(project, pin) is ObjectState.READY
    shelf.looks.clear()
    assert await held.ready([A]) == {A}
    assert shelf.looks == []


async def test_no_more_is_remembered_than_a_bound(
    held: Presence, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "KEPT", 10)
    many: list[Bytes] = [("p", str(number), 1) for number in range(30)]
    shelf.sizes = {ObjectKey(project, sha256): size for project, sha256, size in many}
    assert await held.ready(many) == set(many)
    shelf.looks.clear()
    assert await held.ready(many) == set(many)
    assert len(shelf.looks) == 20
