"""Revisions: what callers write for a commit."""

import pytest

from app.registry.errors import InvalidInputError
from app.registry.revisions import Revision, parse, resolve
from app.stores.git.memory import MemoryRepository
from tests.support.domain import graft, push


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("HEAD", Revision("HEAD")),
        ("HEAD~", Revision("HEAD", 1)),
        ("HEAD~0", Revision("HEAD", 0)),
        ("main~12", Revision("main", 12)),
        ("refs/heads/a/b", Revision("refs/heads/a/b")),
        ("refs/tags/v1~2", Revision("refs/tags/v1", 2)),
        ("ab" * 20, Revision("ab" * 20)),
    ],
)
def test_a_revision_is_a_name_and_a_number_of_first_parents(text: str, read: Revision) -> None:
    assert parse(text) == read


@pytest.mark.parametrize(
    "text", ["", "~1", "main~x", "main^", "main^2", "main~1~1", "main~-1", "a..b", "main@{1}", "main:file", "-x", "a b",
             "main~1234567", "refs/heads/", "refs/v1", ":/fix"],
)  # fmt: skip
def test_what_can_be_no_revision_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse(text)


@pytest.fixture
def repository() -> MemoryRepository:
    """Three commits on main; tags on the first and, under the name of a branch, on the second."""
    made = MemoryRepository("main")
    oids = [push(made, {"x": str(number).encode()}) for number in range(3)]
    made.tags.update({"v1": oids[0], "dev": oids[1]})
    made.create_branch("dev", oids[2])
    return made


def oids(repository: MemoryRepository) -> list[str]:
    found = [repository.head("main") or ""]
    while parents := repository.commit(found[0]).parents:
        found.insert(0, parents[0])
    return found


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("HEAD", 2), ("main", 2), ("refs/heads/main", 2), ("HEAD~", 1), ("main~2", 0), ("v1", 0), ("refs/tags/v1", 0),
        ("dev", 2), ("refs/tags/dev", 1), ("refs/tags/dev~1", 0), ("v1~0", 0),
    ],
)  # fmt: skip
def test_a_revision_stands_for_a_commit(repository: MemoryRepository, text: str, number: int) -> None:
    assert resolve(repository, parse(text)) == oids(repository)[number]


@pytest.mark.parametrize(
    "text", ["nowhere", "main~3", "v1~1", "refs/heads/v1", "refs/tags/main", "0" * 40, "0" * 40 + "~1"]
)
def test_a_revision_that_leads_nowhere_is_none(repository: MemoryRepository, text: str) -> None:
    assert resolve(repository, parse(text)) is None


@pytest.mark.parametrize("digits", [4, 7, 12, 39])
def test_an_abbreviated_id_is_refused_with_the_next_step(repository: MemoryRepository, digits: int) -> None:
    first = oids(repository)[0]
    assert resolve(repository, parse(first)) == first
    with pytest.raises(InvalidInputError, match="all 40 lowercase digits"):
        resolve(repository, parse(first[:digits]))


def test_an_id_in_capitals_is_refused_with_the_next_step(repository: MemoryRepository) -> None:
    with pytest.raises(InvalidInputError, match="lowercase"):
        resolve(repository, parse("AB" * 20))


def test_a_branch_may_be_called_like_an_abbreviated_id(repository: MemoryRepository) -> None:
    repository.create_branch("beef", oids(repository)[0])
    assert resolve(repository, parse("beef")) == oids(repository)[0]


def test_the_id_of_what_is_no_commit_is_none(repository: MemoryRepository) -> None:
    assert resolve(repository, parse(repository.commit(oids(repository)[0]).tree)) is None


def test_a_merge_goes_back_by_its_first_parent(repository: MemoryRepository) -> None:
    first, second, third = oids(repository)
    merge = graft(repository, [second, third, first], {})
    assert resolve(repository, parse(f"{merge}~1")) == second


def test_head_of_an_empty_default_branch_is_none() -> None:
    assert resolve(MemoryRepository("main"), parse("HEAD")) is None
