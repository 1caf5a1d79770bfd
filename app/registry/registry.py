"""The registry: every service of the domain, wired to the stores it was given."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from app.registry.artifacts import Artifacts
from app.registry.branches import Branches
from app.registry.branching import Branching
from app.registry.catalogue import LIMITS, Catalogue
from app.registry.feed import Feed
from app.registry.history import History
from app.registry.index import Index
from app.registry.journal import Journal
from app.registry.lanes import Lanes
from app.registry.lineages import Lineages
from app.registry.manifests import Manifests
from app.registry.model import Actor, Project
from app.registry.offload import Offload
from app.registry.presence import Presence
from app.registry.publishing import Publisher
from app.registry.sync import Synchroniser
from app.registry.telling import Derivation, Telling
from app.registry.tickets import Tickets
from app.registry.transfers import Transfers
from app.stores.errors import StoreError
from app.stores.ports import Cache, GitHost, ObjectStore, Queue, Repository

LOOKING = 4
log = logging.getLogger("ml_registry")


@dataclass(frozen=True, slots=True)
class Stores:
    """Where things are kept, and the queue that hears of changes, if there is one."""

    git: GitHost
    catalogue: Repository
    cache: Cache
    objects: ObjectStore
    queue: Queue | None = None


class Registry:
    """What the resolvers ask. `max_changes` of one commit; `max_size` of one object in bytes."""

    def __init__(self, stores: Stores, secret: bytes, *, max_changes: int, max_size: int) -> None:
        self._stores = stores
        self.offload = offload = Offload()
        git, cache = stores.git, stores.cache
        self.feed = Feed()
        self.catalogue = Catalogue(stores.catalogue, git, Manifests(git, cache, offload, LIMITS), offload)
        self.manifests = Manifests(git, cache, offload)
        self.branches = Branches(git, cache, self.manifests, offload)
        journal, derivation = Journal(stores.catalogue, git), Derivation(git, self.manifests, self.catalogue)
        self.telling = Telling(journal, derivation, self.feed, cache, offload)
        queue, catalogue = stores.queue, stores.catalogue
        self.publisher = Publisher(journal, derivation, catalogue, queue, cache, offload) if queue else None
        self.sync = Synchroniser(git, cache, self.manifests, self.branches, self.telling, offload)
        self.lineages = Lineages(git, cache, self.manifests, offload)
        self.history = History(git, self.manifests, self.lineages, offload)
        self.branching = Branching(git, self.branches, self.history, self.sync, offload)
        self.lanes = Lanes(git, self.manifests, self.sync, self.telling, offload)
        self.transfers = Transfers(stores.objects, Tickets(secret), self.branches, self.manifests, self.lanes)
        self.presence = Presence(stores.objects, offload)
        self.index = Index(self.catalogue, self.sync, self.manifests, self.presence, offload)
        self.artifacts = Artifacts(
            self.branches, self.history, self.transfers, self.lanes, max_changes=max_changes, max_size=max_size
        )

    async def create_project(self, project: Project, default_branch: str, actor: Actor) -> Project:
        """A new project, served on return. Raises InvalidInputError, AlreadyExistsError, ContentionError."""
        created = await self.catalogue.create(project, default_branch, actor)
        await self.sync.sync(created)
        return created

    async def follow(self) -> None:
        """Look once at everything that may have moved. A project that cannot be read holds up no other."""
        await self.catalogue.refresh()
        await self.telling.tell()
        await self._sync(await self.sync.moved(list(self.catalogue.projects.values())))

    async def hear(self) -> None:
        """Tell of what other servers wrote, and serve it. What this misses, `follow` sees."""
        moved = await self.telling.tell()
        await self._sync([project for project in map(self.catalogue.get, sorted(moved)) if project])

    async def _sync(self, projects: Sequence[Project]) -> None:
        room = asyncio.Semaphore(LOOKING)  # the other threads are for callers

        async def look(project: Project) -> None:
            async with room:
                said = self.sync.status(project).last_error
                try:
                    await self.sync.sync(project)
                except StoreError as error:
                    if str(error) != said:
                        log.warning("project %s cannot be read: %s", project.name, error)

        await asyncio.gather(*map(look, projects))

    async def close(self) -> None:
        """Finish what is queued, end every stream, let go of the stores."""
        await self.lanes.finish()
        await self.telling.finish()
        await self.lineages.close()
        self.feed.close()
        await self._stores.cache.close()
        await self._stores.objects.close()
        if self._stores.queue:
            await self._stores.queue.close()
        self.offload.close()
