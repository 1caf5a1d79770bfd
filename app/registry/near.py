"""Branches as this process remembers them, for as long as the cache says that nobody has moved one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from app.registry.branches import HEAD, WHOLE, Branches
from app.registry.memory import LEAST, Memory
from app.registry.model import Branch, Project
from app.stores.ports import Cache

T = TypeVar("T")
MEMORY_BYTES = 16 * 1024 * 1024
"""What is remembered of branches, each look-up counted as LEAST bytes at least: some 8 000 of them."""
BRANCH_BYTES = 500
"""What each branch of a list counts for."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out about a project, and the version it had before it was asked for."""

    version: int
    project: Project
    value: Any


class Near:
    """Answers as Branches does. Nothing is asked of anybody while what is remembered is at most 100 ms old.

    A commit of this server is seen at once, and one of another server within those 100 ms: see Cache.version.
    """

    def __init__(self, branches: Branches, cache: Cache) -> None:
        self._branches = branches
        self._cache = cache
        self._memory: Memory[Found] = Memory(MEMORY_BYTES)

    def version(self, project: str) -> int | None:
        """What differs from before once a branch of a project may have moved; None where that is not known."""
        return None if project in self._branches.missed else self._cache.version(project)

    async def get(self, project: Project, name: str) -> Branch | None:
        """One branch, or None."""
        return await self._known(project, f"refs/heads/{name}", lambda: self._branches.get(project, name))

    async def default(self, project: Project) -> Branch | None:
        """The branch HEAD names, or None while it does not exist."""
        return await self._known(project, HEAD, lambda: self._branches.default(project))

    async def list(self, project: Project) -> list[Branch]:
        """Every branch, in the order of their names."""
        return await self._known(project, WHOLE, lambda: self._branches.list(project))

    async def _known(self, project: Project, field: str, ask: Callable[[], Awaitable[T]]) -> T:
        key = f"{project.name}:{field}"
        version = self.version(project.name)  # before anybody is asked: what moves meanwhile makes another one
        kept = self._memory.get(key)
        if kept and kept.version == version and kept.project is project:
            found: T = kept.value
            return found
        found = await ask()
        if version is not None and found:  # of a branch that is not there Git is asked each time
            size = BRANCH_BYTES * len(found) if isinstance(found, list) else LEAST
            self._memory.put(key, size, Found(version, project, found))
        return found
