"""Keeping what is served in step with Git: compare the heads, read what moved, move the pointers, tell the listeners.

The same road for every cause: a start, a write of our own, a push by a person, a timer. One project at a time per
project, so pointers and events of a branch are in Git's order.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from app.registry.branches import Branches, Heads, pointers_of
from app.registry.manifests import Manifests
from app.registry.model import Branch, Project, SyncState, SyncStatus
from app.registry.offload import Offload
from app.registry.remotes import Schedule
from app.registry.telling import Telling
from app.stores.errors import CacheUnavailableError, StoreError
from app.stores.ports import Cache, GitHost

log = logging.getLogger("ml_registry.sync")


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
        self._heads: dict[str, Heads] = {}
        self._fingerprints: dict[str, str] = {}
        self._shared: dict[str, frozenset[str]] = {}
        self._status: dict[str, SyncStatus] = {}

    def status(self, project: Project) -> SyncStatus:
        """How a project's served data stands to Git."""
        return self._status.get(project.name, SyncStatus(SyncState.SYNCING, None, None))

    def heads(self, project: Project) -> Heads | None:
        """Where the branches of a project stand as of the last look or write; None before the first. Costs nothing."""
        return self._heads.get(project.name)

    async def moved(self, projects: Sequence[Project]) -> list[Project]:
        """Of some projects, those to be brought up to date: their refs moved, or something is missing somewhere.

        Whether the refs of one that lies elsewhere moved is not known here: it is among them when it is time to look.
        """
        missed = self._branches.missed
        abroad = [project for project in projects if project.remote_url]
        found = [project for project in abroad if self._schedule.due(project, early=project.name in missed)]
        here = [project for project in projects if not project.remote_url]
        fingerprints = await self._offload(self._fingerprints_of, here)
        for project, fingerprint in zip(here, fingerprints, strict=True):
            name, current = project.name, self.status(project).state is SyncState.CURRENT
            if current and fingerprint == self._fingerprints.get(name) and name not in missed:
                self._status[name] = SyncStatus(SyncState.CURRENT, datetime.now(UTC), None)
            else:
                found.append(project)
        return found

    def _fingerprints_of(self, projects: Sequence[Project]) -> list[str | None]:
        """None for a project that cannot be read: bringing it up to date says why."""
        found: list[str | None] = []
        for project in projects:
            try:
                found.append(self._fingerprint(project))
            except StoreError:
                found.append(None)
        return found

    def _fingerprint(self, project: Project) -> str:
        """What differs whenever the refs, or where the manifest lies, may have changed. Raises StoreError."""
        return f"{project.manifest_path} {self._git.repository(project.name).fingerprint()}"

    async def sync(self, project: Project) -> None:
        """Bring one project up to date. Raises StoreError when its repository cannot be read; its status says so."""
        async with self._locks[project.name]:
            try:
                await self._sync(project)
                await self._tell(project)
            except StoreError as error:
                old = self.status(project)
                self._status[project.name] = SyncStatus(SyncState.FAILING, old.synced_at, str(error))
                raise
            self._status[project.name] = SyncStatus(SyncState.CURRENT, datetime.now(UTC), None)

    async def _sync(self, project: Project) -> None:
        path = project.manifest_path
        ticket = await self._ticket()
        fingerprint = await self._look(project)
        uncached = project.name in self._branches.missed
        if fingerprint == self._fingerprints.get(project.name) and not uncached:
            return
        told = self._heads.get(project.name)
        if told and told.path != path:
            told = None
        known = told or await self._branches.cached(project)
        heads = await self._offload(self._branches.heads_in_git, project, known.at if known else None)
        held = None if uncached else known
        await self._share(project, held, heads)
        await self._store(project, ticket, moves_of(held, heads) if held else await self._everything(project, heads))
        self._heads[project.name] = heads
        self._fingerprints[project.name] = fingerprint

    async def _look(self, project: Project) -> str:
        """The fingerprint of a project as it is now, wherever it lies. Raises StoreError.

        While nobody answers elsewhere, what is here is served, and not shared: others may know more.
        """
        if project.remote_url is None:
            return await self._offload(self._fingerprint, project)
        try:
            await self._offload.abroad(self._git.repository(project.name).fetch)
        except StoreError:
            if project.name not in self._heads:
                self._branches.missed.add(project.name)
                with suppress(StoreError):
                    self._heads[project.name] = await self._offload.abroad(self._branches.heads_in_git, project)
            raise
        return await self._offload(self._fingerprint, project)

    async def wrote(self, previous: str, branch: Branch) -> None:
        """Serve a commit of our own at once; it is told of once its writers are answered.

        When the branch was not known to be at `previous`, somebody else moved it too, and Git is asked instead.
        """
        project = branch.project
        async with self._locks[project.name]:
            known = self._heads.get(project.name)
            before = known.at.get(branch.name) if known and known.path == project.manifest_path else None
            if known is None or before is None or before.commit != previous:
                await self._sync(project)
                return
            ticket = await self._ticket()
            old, new = replace(known, at={branch.name: before}), replace(known, at={branch.name: branch.at})
            held = {branch.name: pointers_of(old)[branch.name]}
            if not await self._store(project, ticket, moves_of(old, new), held):
                await self._sync(project)
                return
            self._heads[project.name] = replace(known, at={**known.at, **new.at})
            self._schedule.soon(project)

    async def _tell(self, project: Project) -> None:
        heads = self._heads[project.name].at
        if not self._telling.knows(project, {name: at.commit for name, at in heads.items()}):
            await self._telling.tell(project.name)

    async def _everything(self, project: Project, heads: Heads) -> dict[str, bytes | None]:
        """Every pointer, and None for those the cache still holds of branches that are gone."""
        try:
            held = await self._cache.pointers(project.name)
        except CacheUnavailableError:
            held = {}
        return {**dict.fromkeys(held), **pointers_of(heads)}

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
        try:
            if ticket is None:
                raise CacheUnavailableError("no ticket")  # noqa: TRY301 (one road for both failures)
            stored = await self._cache.move(project.name, ticket, moved, held)
        except CacheUnavailableError as error:
            self._branches.missed.add(project.name)
            log.warning("the pointers of %s are not cached: %s", project.name, error)
            return True
        if stored:
            self._branches.missed.discard(project.name)
        return stored

    async def _share(self, project: Project, held: Heads | None, heads: Heads) -> None:
        """Put manifests where other processes find them. Those of our own writes wait for the next look at Git."""
        blobs = blobs_of(heads)
        shared = self._shared.get(project.name, blobs_of(held)) if held else frozenset()
        if blobs - shared:
            await self._manifests.store(project, blobs - shared)
        self._shared[project.name] = blobs


def blobs_of(heads: Heads) -> frozenset[str]:
    """The blobs of the manifests that are served."""
    return frozenset(at.blob for at in heads.at.values() if at.blob)


def moves_of(known: Heads, heads: Heads) -> dict[str, bytes | None]:
    """The pointers that change between two moments, None for a branch that is gone."""
    old, new = pointers_of(known), pointers_of(heads)
    return {name: new.get(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
