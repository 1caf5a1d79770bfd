"""The catalogue: which projects there are, from Git alone."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from app.registry.errors import (
    AlreadyExistsError,
    ContentionError,
    InvalidInputError,
    ManifestBrokenError,
    NotFoundError,
)
from app.registry.model import Project
from app.registry.registry import Registry
from app.stores.errors import RefMovedError
from app.stores.git.memory import MemoryRepository
from app.stores.ports import NewCommit, Signature
from tests.support.domain import ADA, push


@pytest.fixture
def catalogue(registry: Registry) -> MemoryRepository:
    """The repository the catalogue is in, for people to push to."""
    found = registry._stores.catalogue  # noqa: SLF001 - people push around the registry
    assert isinstance(found, MemoryRepository)
    return found


def fresh(registry: Registry) -> Registry:
    """A process that knows nothing yet."""
    return Registry(registry._stores, b"s" * 32, max_changes=9, max_size=9)  # noqa: SLF001 - what is left of the old one


def lines(repository: MemoryRepository) -> str:
    head = repository.head("main") or ""
    file = repository.file(head, "projects.yml")
    return repository.blob(file.oid, 1 << 20).decode() if file else ""


async def test_a_project_is_a_line_in_the_catalogue_and_a_repository(
    registry: Registry, catalogue: MemoryRepository
) -> None:
    made = await registry.create_project(Project("search/ranker", "Ranks.", manifest_path="ml/a.yml"), "trunk", ADA)
    assert registry.catalogue.get("search/ranker") == made
    assert lines(catalogue) == "search/ranker:\n  description: Ranks.\n  manifestPath: ml/a.yml\n"
    default = await registry.branches.default(made)
    assert default
    assert default.name == "trunk"


async def test_projects_are_listed_by_name(registry: Registry) -> None:
    for name in ("b", "c", "a"):
        await registry.create_project(Project(name), "main", ADA)
    assert list(registry.catalogue.projects) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["search/ranker", "Search/Ranker", "SEARCH/RANKER"])
async def test_a_name_that_is_taken_in_any_letter_case_is_refused(registry: Registry, name: str) -> None:
    await registry.create_project(Project("search/ranker"), "main", ADA)
    with pytest.raises(AlreadyExistsError):
        await registry.create_project(Project(name), "main", ADA)


async def test_one_of_two_who_make_the_same_project_at_once_is_refused(registry: Registry) -> None:
    making = [registry.create_project(Project("a"), "main", ADA) for _ in range(2)]
    outcomes = await asyncio.gather(*making, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["AlreadyExistsError", "Project"]


@pytest.mark.parametrize(
    ("project", "branch", "path"),
    [
        (Project("../up"), "main", "name"),
        (Project("a"), "a..b", "defaultBranch"),
        (Project("a", manifest_path="/etc/passwd"), "main", "manifestPath"),
        (Project("a", "\x00"), "main", "description"),
        (Project("a", remote_url="https://ada:secret@git.example.org/models.git"), "main", "remoteUrl"),
    ],
)
async def test_a_bad_project_is_refused_by_its_field(
    registry: Registry, catalogue: MemoryRepository, project: Project, branch: str, path: str
) -> None:
    before = catalogue.head("main")
    with pytest.raises(InvalidInputError) as refused:
        await registry.create_project(project, branch, ADA)
    assert [issue.path for issue in refused.value.issues] == [(path,)]
    assert catalogue.head("main") == before


async def test_a_crash_between_the_repository_and_its_line_is_healed_by_trying_again(
    registry: Registry, catalogue: MemoryRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyError("power")

    with monkeypatch.context() as patched:
        patched.setattr(catalogue, "write_commits", crash)
        with pytest.raises(KeyError):
            await registry.create_project(Project("a"), "main", ADA)
    assert registry.catalogue.get("a") is None
    made = await registry.create_project(Project("a"), "main", ADA)
    assert await registry.branches.default(made)


async def test_a_repository_that_differs_in_letter_case_is_not_taken_in(registry: Registry) -> None:
    git = registry._stores.git  # noqa: SLF001 - left there by hand
    who = Signature("Ada", "ada@example.org", datetime.now(UTC))
    git.create("Ranker", "main", NewCommit({}, "Begin", who, who))
    with pytest.raises(AlreadyExistsError):
        await registry.create_project(Project("ranker"), "main", ADA)
    assert registry.catalogue.get("ranker") is None


async def test_everything_is_known_again_from_git_alone(registry: Registry) -> None:
    made = await registry.create_project(Project("a", "Says.", manifest_path="x.yml"), "main", ADA)
    again = fresh(registry)
    await again.follow()
    assert again.catalogue.projects == {"a": made}
    assert await again.branches.default(made)
    again.offload.close()


async def test_a_project_added_by_hand_is_served(registry: Registry, catalogue: MemoryRepository) -> None:
    await registry.create_project(Project("a"), "main", ADA)
    push(catalogue, {"projects.yml": (lines(catalogue) + "b: {description: By hand}  # mine\n").encode()})
    await registry.follow()
    assert registry.catalogue.require("b").description == "By hand"
    await registry.create_project(Project("c"), "main", ADA)
    assert "b: {description: By hand}  # mine\n" in lines(catalogue)


async def test_a_project_taken_out_by_hand_is_gone(registry: Registry, catalogue: MemoryRepository) -> None:
    await registry.create_project(Project("a"), "main", ADA)
    push(catalogue, {"projects.yml": b"{}\n"})
    await registry.follow()
    with pytest.raises(NotFoundError):
        registry.catalogue.require("a")


@pytest.mark.parametrize("text", ["a: [\n", "- a\n", "x: 1\nx: 2\n"])
async def test_a_broken_catalogue_leaves_the_last_good_one(
    registry: Registry, catalogue: MemoryRepository, text: str
) -> None:
    await registry.create_project(Project("a"), "main", ADA)
    push(catalogue, {"projects.yml": text.encode()})
    await registry.follow()
    assert list(registry.catalogue.projects) == ["a"]
    again = fresh(registry)
    await again.follow()
    assert list(again.catalogue.projects) == ["a"]
    again.offload.close()


async def test_a_broken_catalogue_is_not_written_over_and_nothing_is_made(
    registry: Registry, catalogue: MemoryRepository
) -> None:
    head = push(catalogue, {"projects.yml": b"a: [\n"})
    with pytest.raises(ManifestBrokenError):
        await registry.create_project(Project("a"), "main", ADA)
    assert catalogue.head("main") == head
    push(catalogue, {"projects.yml": b""})
    await registry.create_project(Project("A"), "main", ADA)


@pytest.mark.parametrize("line", ["'a b': {}", "x: {manifestPath: ../up.yml}", "y: not a mapping", "z.git: {}"])
async def test_a_line_that_cannot_be_a_project_is_left_out_and_logged(
    registry: Registry, catalogue: MemoryRepository, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    await registry.create_project(Project("a"), "main", ADA)
    push(catalogue, {"projects.yml": f"a: {{}}\n{line}\n".encode()})
    with caplog.at_level(logging.WARNING):
        await registry.follow()
    assert list(registry.catalogue.projects) == ["a"]
    assert caplog.records


def meddle(repository: MemoryRepository, times: int) -> Callable[..., tuple[str, ...]]:
    write, left = repository.write_commits, [times]

    def write_commits(*given: Any) -> tuple[str, ...]:
        if left[0]:
            left[0] -= 1
            raise RefMovedError("moved")
        return write(*given)

    return write_commits


async def test_a_lost_race_is_tried_again(
    registry: Registry, catalogue: MemoryRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "write_commits", meddle(catalogue, 3))
    await registry.create_project(Project("a"), "main", ADA)
    assert "a:" in lines(catalogue)


async def test_endless_races_end_in_contention(
    registry: Registry, catalogue: MemoryRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "write_commits", meddle(catalogue, 1000))
    with pytest.raises(ContentionError):
        await registry.create_project(Project("a"), "main", ADA)
