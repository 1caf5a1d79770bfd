"""A project at hand for the tests of the domain."""

import pytest

from app.registry.model import Project
from app.registry.registry import Registry
from app.stores.git.memory import MemoryGit
from tests.support.domain import ADA, Desk


@pytest.fixture
async def desk(registry: Registry) -> Desk:
    """An empty hosted project whose default branch is `main`."""
    project = await registry.create_project(Project("search/ranker"), "main", ADA)
    git = registry._stores.git  # noqa: SLF001 - what people push goes around the registry
    assert isinstance(git, MemoryGit)
    return Desk(registry, project, git.repository(project.name))
