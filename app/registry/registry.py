"""The registry: every service of the domain, wired to the stores it was given."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass

from app.registry import audit
from app.registry.access.access import Access
from app.registry.artifacts import Artifacts
from app.registry.branches import Branches
from app.registry.branching import Branching
from app.registry.catalogue import LIMITS, Catalogue
from app.registry.expiry import Expiry
from app.registry.feed import Feed
from app.registry.history import History
from app.registry.index import Index
from app.registry.journal import Journal
from app.registry.lanes import Lanes
from app.registry.lineages import Lineages
from app.registry.manifests import Manifests
from app.registry.model import Actor, Project
from app.registry.near import Near
from app.registry.offload import Offload
from app.registry.presence import Presence
from app.registry.publishing import Publisher
from app.registry.pushes import Pushes
from app.registry.remotes import Schedule, host_of, place_of, unreachable
from app.registry.sync import Synchroniser
from app.registry.telling import Derivation, Telling
from app.registry.tickets import Tickets
from app.registry.transfers import Transfers
from app.registry.uploads import Uploads
from app.stores.errors import StoreError
from app.stores.ports import Cache, GitHost, ObjectStore, Queue, Repository
from app.stores.serving import GitService

LOOKING = 4
LOOKING_ABROAD = 24
MOST_TOGETHER = 50
STARTING_SECONDS = 10.0
log = logging.getLogger("ml_registry")


@dataclass(frozen=True, slots=True)
class Stores:
    """Where things are kept, and the queue that hears of changes, if there is one."""

    git: GitHost
    catalogue: Repository
    cache: Cache
    objects: ObjectStore
    queue: Queue | None = None
    catalogue_url: str | None = None
    """Where the catalogue lies elsewhere. Then no repository lies here: other servers could not reach it."""
    service: GitService | None = None
    """What Git clients are served with, if they are."""


class Registry:
    """What the resolvers ask. `max_changes` of one commit; `max_size` of one object in bytes.

    What lies elsewhere is looked at every `remote_seconds`, more or less. With `sign_in`, nobody may do anything unless
    the catalogue's `access.yml` says so, from the first moment on. With `strict_pushes`, no push and no new
    branch may bring a manifest with problems.
    """

    def __init__(
        self,
        stores: Stores,
        secret: bytes,
        *,
        max_changes: int,
        max_size: int,
        remote_seconds: float = 30.0,
        sign_in: bool = False,
        strict_pushes: bool = False,
    ) -> None:
        self._stores = stores
        self._listed = Project("", remote_url=stores.catalogue_url)  # stands for the catalogue; none is called so
        self._schedule = Schedule(remote_seconds)
        self.unreachable: str | None = None
        """Why the catalogue could not be fetched, where it lies elsewhere."""
        self.followed_at = time.monotonic()
        """When the last look at everything ended, by time.monotonic."""
        self._room = asyncio.Semaphore(LOOKING_ABROAD)
        self._rooms: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(LOOKING))
        self._looking: dict[str, asyncio.Task[None]] = {}
        self.offload = offload = Offload()
        git, cache = stores.git, stores.cache
        self.access = Access(stores.catalogue, offload, required=sign_in)
        self.feed = Feed()
        listed = Manifests(git, cache, offload, LIMITS)
        self.catalogue = Catalogue(stores.catalogue, git, listed, offload, hosting=stores.catalogue_url is None)
        self.manifests = Manifests(git, cache, offload)
        self.branches = Branches(git, cache, self.manifests, offload)
        self.near = Near(self.branches, cache)
        journal, derivation = Journal(stores.catalogue, git), Derivation(git, self.manifests, self.catalogue)
        self.telling = Telling(journal, derivation, self.feed, cache, offload)
        queue, catalogue = stores.queue, stores.catalogue
        self.publisher = Publisher(journal, derivation, catalogue, queue, cache, offload) if queue else None
        self.sync = Synchroniser(git, cache, self.manifests, self.branches, self.telling, self._schedule, offload)
        self.lineages = Lineages(git, cache, self.manifests, offload)
        self.history = History(git, self.branches, self.manifests, self.lineages, offload)
        self.branching = Branching(
            git, self.branches, self.history, self.sync, self.manifests, offload, strict=strict_pushes
        )
        self.lanes = Lanes(git, self.manifests, self.sync, self.telling, offload)
        service = stores.service
        self.pushes = (
            Pushes(service, self.lanes, self.sync, self.manifests, offload, strict=strict_pushes) if service else None
        )
        self.uploads = Uploads(stores.objects, Tickets(secret))
        self.expiry = Expiry(stores.objects, cache)
        self.transfers = Transfers(stores.objects, self.uploads, self.branches, self.manifests, self.lanes)
        self.presence = Presence(stores.objects, offload)
        self.index = Index(self.catalogue, self.sync, self.manifests, self.presence, offload)
        self.artifacts = Artifacts(
            self.branches, self.history, self.transfers, self.lanes, max_changes=max_changes, max_size=max_size
        )

    async def create_project(self, project: Project, default_branch: str, actor: Actor) -> Project:
        """A new project, served on return. Raises InvalidInputError, AlreadyExistsError, ContentionError."""
        with audit.act("create project", project.name, branch=default_branch):
            created = await self.catalogue.create(project, default_branch, actor)
        with unreachable():
            await self.sync.sync(created)
        return created

    async def synchronise(self, project: Project) -> Project:
        """A project, compared with its Git now. Raises RemoteUnavailableError."""
        with unreachable():
            await self.sync.sync(project)
        return project

    def hint(self, urls: Collection[str]) -> int:
        """Something is said to have happened at these addresses: look there at the next round. Answers at how many."""
        places = {place for place in map(place_of, urls) if place}
        followed = (self._listed, *self.catalogue.projects.values())
        found = [one for one in followed if one.remote_url and place_of(one.remote_url) in places]
        for project in found:
            self._schedule.soon(project)
        return len(found)

    async def start(self) -> None:
        """Look once at everything; of what lies elsewhere, until it is there or too much time has passed."""
        await self.follow()
        if self._looking:
            await asyncio.wait(self._looking.values(), timeout=STARTING_SECONDS)

    async def follow(self) -> None:
        """Look once at everything that may have moved. A project that cannot be read holds up no other."""
        if self._listed.remote_url and self._schedule.due(self._listed, early=False):
            self._look(self._listed, self._fetch_catalogue())
        await self.access.refresh()
        await self.catalogue.refresh()
        for project in map(self.catalogue.get, await self.telling.tell()):
            if project:
                self._schedule.soon(project)
        await self._sync(await self.sync.moved(list(self.catalogue.projects.values())))
        self.followed_at = time.monotonic()

    async def hear(self) -> None:
        """Tell of what other servers wrote, and serve it. What this misses, `follow` sees."""
        if self._listed.remote_url:
            await self._fetch_catalogue()
        moved = await self.telling.tell()
        await self.access.refresh()
        if moved - self.catalogue.projects.keys():
            await self.catalogue.refresh()
        projects = [project for project in map(self.catalogue.get, sorted(moved)) if project]
        for project in projects:
            self._schedule.soon(project)
        await self._sync([project for project in projects if not project.remote_url])

    async def _fetch_catalogue(self) -> None:
        """Where it lies elsewhere and nobody answers, what is here of it is served."""
        said, self.unreachable = self.unreachable, None
        try:
            await self.offload.abroad(self._stores.catalogue.fetch)
        except StoreError as error:
            self.unreachable = str(error)
            if self.unreachable != said:
                log.warning("the catalogue cannot be fetched: %s", error)

    async def _sync(self, projects: Sequence[Project]) -> None:
        """What lies here, until it is done; what lies elsewhere in its own time, one look at a time."""
        for project in projects:
            if project.remote_url:
                self._look(project, self._sync_some([project]))
        here = [project for project in projects if not project.remote_url]
        size = max(1, min(MOST_TOGETHER, len(here) // LOOKING**2))  # so that a slow one keeps few others waiting
        room = asyncio.Semaphore(LOOKING)  # the other threads are for callers

        async def look(some: Sequence[Project]) -> None:
            async with room:
                await self._sync_some(some)

        await asyncio.gather(*(look(here[start : start + size]) for start in range(0, len(here), size)))

    def _look(self, project: Project, look: Coroutine[None, None, None]) -> None:
        if project.name in self._looking:
            look.close()
            self._schedule.soon(project)
            return
        host = "" if project is self._listed else host_of(project)  # the catalogue waits for no project
        task = self._looking[project.name] = asyncio.create_task(self._in_room(host, look))
        task.add_done_callback(lambda _: self._looking.pop(project.name))

    async def _in_room(self, host: str, look: Coroutine[None, None, None]) -> None:
        """However many hosts do not answer, some threads that wait for other machines are left to callers."""
        async with self._rooms[host], self._room:
            await look

    async def _sync_some(self, projects: Sequence[Project]) -> None:
        said = {project.name: self.sync.status(project).last_error for project in projects}
        for name, error in (await self.sync.sync_all(projects)).items():
            if str(error) != said[name]:
                log.warning("project %s cannot be read: %s", name, error)

    async def close(self) -> None:
        """Finish what is queued, end every stream, let go of the stores."""
        for look in list(self._looking.values()):
            look.cancel()
        if self.pushes:
            await self.pushes.finish()
        await self.lanes.finish()
        await self.telling.finish()
        await self.lineages.close()
        self.feed.close()
        await self._stores.cache.close()
        await self._stores.objects.close()
        if self._stores.queue:
            await self._stores.queue.close()
        self.offload.close()
