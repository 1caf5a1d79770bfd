"""Keeping what is served in step with Git: compare the heads, read what moved, move the pointers, tell the listeners.

The same road for every cause: a start, a write of our own, a push by a person, a timer. One project at a time per
project, so pointers and events of a branch are in Git's order.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from app.registry.background import Background
from app.registry.branches import Branches, Heads, Look, pointers_of
from app.registry.manifests import Manifests
from app.registry.model import Branch, Project, SyncState, SyncStatus
from app.registry.offload import Offload
from app.registry.remotes import Schedule
from app.registry.telling import Telling
from app.stores.errors import CacheUnavailableError, RemoteUnavailableError, StoreError
from app.stores.ports import Cache, GitHost

CATCH_UP_SECONDS = 5.0
"""For which whoever wrote a commit waits until it is served, should others have moved the branch as well."""
log = logging.getLogger("ml_registry.sync")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a project before a look: heads that need not be read again, and those the cache holds.

    `stored` are the names of all pointers in the cache where it is not known to hold heads as a whole.
    """

    read: Heads | None
    held: Heads | None
    stored: frozenset[str]

    def moves(self, heads: Heads) -> dict[str, bytes | None]:
        """The pointers to store, None for those of branches that are gone: all where not all are known to be there."""
        return moves_of(self.held, heads) if self.held else {**dict.fromkeys(self.stored), **pointers_of(heads)}


class Synchroniser:
    """Follows Git, project by project."""

    def __init__(
        self,
        git: GitHost,
        cache: Cache,
        manifests: Manifests,
        branches: Branches,
        telling: Telling,
        schedule: Schedule,
        offload: Offload,
    ) -> None:
        self._git = git
        self._cache = cache
        self._manifests = manifests
        self._branches = branches
        self._telling = telling
        self._schedule = schedule
        self._offload = offload
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._looks_at: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._heads: dict[str, Heads] = {}
        self._fingerprints: dict[str, str] = {}
        self._shared: dict[str, frozenset[str]] = {}
        self._status: dict[str, SyncStatus] = {}
        self._background = Background()
        self._cached = True
        self._begun = 0
        self.moves = 0
        """How often `heads` changed: while it is the same number, so is all that follows from them."""

    def status(self, project: Project) -> SyncStatus:
        """How a project's served data stands to Git."""
        return self._status.get(project.name, SyncStatus(SyncState.SYNCING, None, None))

    def heads(self, project: Project) -> Heads | None:
        """Where the branches of a project stand as of the last look or write; None before the first. Costs nothing."""
        return self._heads.get(project.name)

    def _stand(self, project: Project, heads: Heads) -> None:
        self._heads[project.name] = heads
        self.moves += 1

    async def moved(self, projects: Sequence[Project]) -> list[Project]:
        """Of some projects, those to be brought up to date: their refs moved, or something is missing somewhere.

        Whether the refs of one that lies elsewhere moved is not known here: it is among them when it is time to look.
        """
        missed = self._branches.missed if await self._caching() else frozenset()
        found: list[Project] = []
        settled: list[Project] = []
        for project in projects:
            if project.remote_url:
                if self._schedule.due(project, early=project.name in missed):
                    found.append(project)
            else:
                (settled if self._is_current(project) and project.name not in missed else found).append(project)
        fingerprints = await self._offload(self._fingerprints_of, settled)
        for project, fingerprint in zip(settled, fingerprints, strict=True):
            if self._is_current(project) and fingerprint == self._fingerprints.get(project.name):
                self._status[project.name] = SyncStatus(SyncState.CURRENT, datetime.now(UTC), None)
            else:
                found.append(project)
        return found

    def _is_current(self, project: Project) -> bool:
        return self.status(project).state is SyncState.CURRENT

    def _fingerprints_of(self, projects: Sequence[Project]) -> list[str | None]:
        """None for a project that cannot be read: bringing it up to date says why."""
        found: list[str | None] = []
        for project in projects:
            try:
                found.append(self._branches.fingerprint(project))
            except StoreError:
                found.append(None)
        return found

    async def sync(self, project: Project) -> None:
        """Bring one project up to date. Raises StoreError when its repository cannot be read; its status says so."""
        for error in (await self.sync_all([project])).values():
            raise error

    async def sync_all(self, projects: Sequence[Project]) -> Mapping[str, StoreError]:
        """Bring projects up to date together. Answers by name why those could not be that cannot be read."""
        failed = await self._follow(projects)
        for name, old in [(project.name, self.status(project)) for project in projects]:
            if error := failed.get(name):
                self._status[name] = SyncStatus(SyncState.FAILING, old.synced_at, str(error))
            else:
                self._status[name] = SyncStatus(SyncState.CURRENT, datetime.now(UTC), None)
        await self._tell([project for project in projects if project.name not in failed])
        return failed

    async def _follow(self, projects: Sequence[Project]) -> dict[str, StoreError]:
        """Look where the branches of projects are, and serve it.

        A look elsewhere may take long: the next look waits for it, and whoever has written a commit does not.
        """
        ordered = sorted(projects, key=lambda project: project.name)
        async with AsyncExitStack() as looks:
            for project in ordered:
                await looks.enter_async_context(self._looks_at[project.name])
            ticket = await self._ticket()
            failed = await self._fetch_all(projects)
            async with AsyncExitStack() as locks:
                for project in ordered:
                    await locks.enter_async_context(self._locks[project.name])
                return failed | await self._sync(
                    [project for project in projects if project.name not in failed], ticket
                )

    async def _fetch_all(self, projects: Sequence[Project]) -> dict[str, StoreError]:
        failed: dict[str, StoreError] = {}
        for project in projects:
            try:
                await self._fetch(project)
            except StoreError as error:
                failed[project.name] = error
        return failed

    async def _sync(self, reached: Sequence[Project], ticket: int | None) -> dict[str, StoreError]:
        """Read, store and remember what moved; call with the locks held, and the ticket taken before the look.

        Answers by name why those could not be that cannot be read.
        """
        known = await self._known(reached)
        looks = await self._offload(self._looks, reached, known)
        failed = {project.name: look for project, look in looks.items() if isinstance(look, StoreError)}
        moved = {
            project: (before, look)
            for (project, look), before in zip(looks.items(), known, strict=True)
            if isinstance(look, Look)
        }
        await self._share({project: (before.held, look.heads) for project, (before, look) in moved.items()})
        stores = (self._store(one, ticket, before.moves(look.heads)) for one, (before, look) in moved.items())
        await asyncio.gather(*stores)
        for project, (_, look) in moved.items():
            self._stand(project, look.heads)
            self._fingerprints[project.name] = look.fingerprint
        return failed

    async def _known(self, projects: Sequence[Project]) -> list[Known]:
        """What this server told last of each project; before the first look, what the cache says."""
        missed, told = self._branches.missed, {project: self._told(project) for project in projects}
        asked = [project for project, heads in told.items() if not heads or project.name in missed]
        stored = dict(zip(asked, await self._branches.stored(asked), strict=True))
        known = []
        for project, heads in told.items():
            there = stored.get(project, {})
            held = None if project.name in missed else heads or self._branches.decoded(project, there)
            known.append(Known(heads or held, held, frozenset(there)))
        return known

    def _told(self, project: Project) -> Heads | None:
        told = self._heads.get(project.name)
        return told if told and told.path == project.manifest_path else None

    def _looks(self, projects: Sequence[Project], known: Sequence[Known]) -> dict[Project, Look | StoreError | None]:
        """Blocking. Where the branches of each project are in Git, or why nobody knows; None where nothing moved."""
        found: dict[Project, Look | StoreError | None] = {}
        for project, before in zip(projects, known, strict=True):
            try:
                look = self._branches.look(project, before.read)
            except StoreError as error:
                found[project] = error
            else:
                unmoved = before.held is not None and look.fingerprint == self._fingerprints.get(project.name)
                found[project] = None if unmoved else look
        return found

    async def _fetch(self, project: Project) -> None:
        """Bring here what lies elsewhere. Raises StoreError.

        While nobody answers there, what is here is served, and not shared: others may know more.
        """
        if project.remote_url is None:
            return
        try:
            await self._offload.abroad(self._git.repository(project.name).fetch)
        except StoreError:
            if project.name not in self._heads:
                self._branches.missed.add(project.name)
                with suppress(StoreError):
                    self._stand(project, await self._offload.abroad(self._branches.heads_in_git, project))
            raise

    async def wrote(self, previous: str, branch: Branch) -> None:
        """Serve a commit of our own at once; it is told of once its writers are answered.

        When the branch was not known to be at `previous`, somebody else moved it too, and Git is asked instead.
        """
        project = branch.project
        if await self._advance(previous, branch):
            self._schedule.soon(project)
            return
        failed = await self._background.wait(self._follow([project]), CATCH_UP_SECONDS)
        if failed is None:
            failed = {project.name: RemoteUnavailableError("nobody answers")}
        for error in failed.values():
            self._branches.missed.add(project.name)  # Git has it, here too
            self._schedule.soon(project)
            raise error

    async def _advance(self, previous: str, branch: Branch) -> bool:
        """Move one pointer; False where the branch was not at `previous` as far as this server or the cache knows."""
        project = branch.project
        async with self._locks[project.name]:
            known = self._heads.get(project.name)
            before = known.at.get(branch.name) if known and known.path == project.manifest_path else None
            if known is None or before is None or before.commit != previous:
                return False
            ticket = await self._ticket()
            old, new = replace(known, at={branch.name: before}), replace(known, at={branch.name: branch.at})
            held = {branch.name: pointers_of(old)[branch.name]}
            if not await self._store(project, ticket, moves_of(old, new), held):
                return False
            self._stand(project, replace(known, at={**known.at, **new.at}))
            return True

    async def _tell(self, projects: Sequence[Project]) -> None:
        """Tell of those that are not where the journal has them."""
        stand = {one: {name: at.commit for name, at in self._heads[one.name].at.items()} for one in projects}
        unknown = [project for project, at in stand.items() if not self._telling.knows(project, at)]
        if not unknown:
            return
        await self._telling.tell_in_time(*(project.name for project in unknown))
        for project in unknown:
            if project.remote_url and not self._telling.knows(project, stand[project]):
                self._schedule.soon(project)  # what was seen there is older than what the journal says

    async def _caching(self) -> bool:
        """Whether the cache takes what is new. When it has lost something, everything is to be stored anew."""
        try:
            begun = await self._cache.begun()
        except CacheUnavailableError as error:
            if self._cached:
                log.warning("the cache is away, and Git is read instead: %s", error)
            self._cached = False
            return False
        if not self._cached:
            log.warning("the cache is back")
        if begun != self._begun:
            self._branches.missed.update(self._heads)
        self._cached, self._begun = True, begun
        return True

    async def _ticket(self) -> int | None:
        try:
            return await self._cache.ticket()
        except CacheUnavailableError:
            return None

    async def _store(
        self,
        project: Project,
        ticket: int | None,
        moved: Mapping[str, bytes | None],
        held: Mapping[str, bytes] | None = None,
    ) -> bool:
        """Store pointers; False when the cache does not hold what it should, so that Git has to be asked."""
        if not moved:
            return True
        if ticket is None:  # the cache is away, which was said
            self._branches.missed.add(project.name)
            return True
        try:
            stored = await self._cache.move(project.name, ticket, moved, held)
        except CacheUnavailableError as error:
            self._branches.missed.add(project.name)
            log.warning("the pointers of %s are not cached: %s", project.name, error)
            return True
        if held is None:  # a write of our own stores one branch, and others may be missing
            (self._branches.missed.discard if stored else self._branches.missed.add)(project.name)
        return stored

    async def _share(self, moved: Mapping[Project, tuple[Heads | None, Heads]]) -> None:
        """Put manifests where other processes find them. Those of our own writes wait for the next look at Git."""
        missing: dict[str, Project] = {}
        for project, (held, heads) in moved.items():
            blobs = blobs_of(heads)
            shared = self._shared.get(project.name, blobs_of(held)) if held else frozenset()
            missing |= dict.fromkeys(blobs - shared, project)
            self._shared[project.name] = blobs
        if missing:
            await self._manifests.store(missing)


def blobs_of(heads: Heads) -> frozenset[str]:
    """The blobs of the manifests that are served."""
    return frozenset(at.blob for at in heads.at.values() if at.blob)


def moves_of(known: Heads, heads: Heads) -> dict[str, bytes | None]:
    """The pointers that change between two moments, None for a branch that is gone."""
    if known == heads:
        return {}
    old, new = pointers_of(known), pointers_of(heads)
    return {name: new.get(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
