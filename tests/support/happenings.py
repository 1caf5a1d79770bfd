"""What happens to a registry while it is asked: by programs, by people with git, by other servers, by its cache."""

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random

from app.registry.catalogue import PATH, entry_of
from app.registry.errors import RegistryError
from app.registry.model import Project
from app.registry.registry import Registry
from app.stores.git.memory import MemoryRepository
from tests.support.caches import SwitchedCache
from tests.support.domain import ADA, Desk, force, patch, push, put
from tests.support.served import World

ENTRIES = ("words", "good", "only", "new")
BRANCHES = ("main", "dev/x", "dev/y")
TAGS = ("v1", "v2")
MADE = ("made/a", "made/b")
KNOWN = {
    "Query.project.name": ["search/ranker", "search/ranker", "search/broken", "empty", *MADE],
    "Query.artifact.project": ["search/ranker", "search/ranker", "search/broken", "made/a"],
    "Query.artifact.name": ENTRIES,
    "Query.artifact.branch": [None, *BRANCHES],
    "Project.branch.name": [*BRANCHES, "*HEAD"],
    "Branch.artifact.name": ENTRIES,
    "project": ["search/ranker", "search/*", "made/*"],
    "branch": [*BRANCHES, "*"],
    "GitRevision": ["HEAD", "HEAD~1", *BRANCHES, *TAGS],
}
"""What of all that changes is worth asking for."""


class UnsureCache(SwitchedCache):
    """Knows for a while not whether anything moved, or is away."""

    def __init__(self) -> None:
        super().__init__()
        self.unsure = False

    def version(self, project: str) -> int | None:
        return None if self.unsure or self.away else super().version(project)


@dataclass
class Happenings:
    """Lets one thing after the other happen to a world. `other` is a second server on the same stores."""

    world: World
    other: Registry
    cache: UnsureCache
    random: Random

    async def happen(self) -> None:
        """One of them, until all that it sets off is done."""
        by_programs = (self._commit, self._commit, self._begin_branch, self._end_branch, self._make_project)
        by_people = (self._push, self._push, self._create_ref, self._drop_ref, self._rewrite, self._rename_head)
        others = (self._look, self._look, self._tag, self._tag, self._list, self._list, self._doubt, self._go_away)
        chosen: Callable[[], Awaitable[None]] = self.random.choice((*by_programs, *by_people, *others))
        with suppress(RegistryError):  # what cannot be done now
            await chosen()
        if self._maybe(0.4):
            await self._look()
        for registry in (self.world.registry, self.other):
            await registry.lanes.finish()
            await registry.telling.finish()

    def _maybe(self, share: float) -> bool:
        return self.random.random() < share

    def _project(self) -> Project:
        projects = self.world.registry.catalogue.projects
        return projects["search/ranker"] if self._maybe(0.6) else self.random.choice([*projects.values()])

    def _repository(self) -> MemoryRepository:
        return self.world.git.repository(self._project().name)

    def _branch(self, repository: MemoryRepository) -> str:
        return self.random.choice(list(repository.refs().heads))

    async def _commit(self) -> None:
        registry = self.random.choice((self.world.registry, self.other))
        project = self.random.choice([*registry.catalogue.projects.values()])
        desk = Desk(registry, project, self.world.git.repository(project.name))
        name, number = self.random.choice(ENTRIES), self.random.randint(0, 9)
        change = self.random.choice((put(name, type="m", rows=number), patch(name, {"rows": number})))
        await desk.commit(change, branch=self.random.choice((None, *BRANCHES)))

    async def _begin_branch(self) -> None:
        await self.world.registry.branching.create(self._project(), self.random.choice(BRANCHES), "HEAD")

    async def _end_branch(self) -> None:
        project = self._project()
        if len(self.world.git.repository(project.name).refs().heads) > 1:
            await self.world.registry.branching.delete(project, self.random.choice(BRANCHES), None)

    async def _make_project(self) -> None:
        await self.world.registry.create_project(Project(self.random.choice(MADE)), "main", ADA)

    async def _push(self) -> None:
        repository = self._repository()
        entries = {name: {"rows": self.random.randint(0, 9)} for name in ENTRIES if self._maybe(0.5)}
        text = "broken: [\n" if self._maybe(0.3) else json.dumps(entries)
        push(repository, {self.random.choice(("artifacts.yml", "other.yml")): text.encode()}, self._branch(repository))

    async def _create_ref(self) -> None:
        repository = self._repository()
        for name in BRANCHES:
            if name not in repository.refs().heads:
                push(repository, {"artifacts.yml": b"new: {}\n"}, name)

    async def _drop_ref(self) -> None:
        repository = self._repository()
        name = self._branch(repository)
        if len(repository.refs().heads) > 1:
            repository.delete_branch(name, repository.refs().heads[name])

    async def _rewrite(self) -> None:
        repository = self._repository()
        name = self._branch(repository)
        if parents := repository.commit(repository.refs().heads[name]).parents:
            force(repository, name, parents[0])

    async def _rename_head(self) -> None:
        repository = self._repository()
        name, new = repository.default, self.random.choice(BRANCHES)
        head = repository.head(name)
        if head and new not in repository.refs().heads and self._maybe(0.5):
            repository.delete_branch(name, head)
            repository.create_branch(new, head)
        repository.default = new

    async def _tag(self) -> None:
        repository = self._repository()
        repository.tags[self.random.choice(TAGS)] = self.random.choice([*repository.refs().heads.values()])

    async def _list(self) -> None:
        """Somebody edits the catalogue."""
        listed = {project.name: entry_of(self._edited(project)) for project in self._listed()}
        push(self.world.git.repository("catalog"), {PATH: json.dumps(listed).encode()})

    def _listed(self) -> Sequence[Project]:
        every = [*self.world.registry.catalogue.projects.values()]
        return [one for one in every if one.name != "empty" or self._maybe(0.5)]

    def _edited(self, project: Project) -> Project:
        if self._maybe(0.5):
            return project
        path = self.random.choice(("artifacts.yml", "other.yml"))
        return replace(project, description=f"No. {self.random.randint(0, 9)}", manifest_path=path)

    async def _doubt(self) -> None:
        self.cache.unsure = not self.cache.unsure

    async def _go_away(self) -> None:
        self.cache.away = not self.cache.away

    async def _look(self) -> None:
        await self.world.registry.follow()
        if self._maybe(0.5):
            await self.other.follow()
