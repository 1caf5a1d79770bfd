"""Keeping what is served in step with Git: compare the heads, read what moved, move the pointers, tell the listeners.

The same road for every cause: a start, a write of our own, a push by a person, a timer. One project at a time per
project, so pointers and events of a branch are in Git's order.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from app.registry.branches import Branches, Heads, pointers_of
from app.registry.events import Move, derive
from app.registry.feed import Feed
from app.registry.manifest import Manifest
from app.registry.manifests import Manifests
from app.registry.model import Branch, Event, ManifestAt, Project, SyncState, SyncStatus
from app.registry.offload import Offload
from app.stores.errors import CacheUnavailableError, StoreError
from app.stores.ports import Cache, GitHost

log = logging.getLogger("ml_registry.sync")


class Synchroniser:
    """Follows Git, project by project."""

    def __init__(
        self, git: GitHost, cache: Cache, manifests: Manifests, branches: Branches, feed: Feed, offload: Offload
    ) -> None:
        self._git = git
        self._cache = cache
        self._manifests = manifests
        self._branches = branches
        self._feed = feed
        self._offload = offload
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._heads: dict[str, Heads] = {}
        self._fingerprints: dict[str, str] = {}
        self._status: dict[str, SyncStatus] = {}

    def status(self, project: Project) -> SyncStatus:
        """How a project's served data stands to Git."""
        return self._status.get(project.name, SyncStatus(SyncState.SYNCING, None, None))

    async def sync(self, project: Project) -> None:
        """Bring one project up to date. Raises StoreError when its repository cannot be read; its status says so."""
        async with self._locks[project.name]:
            try:
                await self._sync(project)
            except StoreError as error:
                old = self.status(project)
                self._status[project.name] = SyncStatus(SyncState.FAILING, old.synced_at, str(error))
                raise
            self._status[project.name] = SyncStatus(SyncState.CURRENT, datetime.now(UTC), None)

    async def _sync(self, project: Project) -> None:
        fingerprint = await self._offload(self._git.repository(project.name).fingerprint)
        uncached = project.name in self._branches.missed
        if fingerprint == self._fingerprints.get(project.name) and not uncached:
            return
        first = project.name not in self._heads
        known = (await self._branches.cached(project)) if first else self._heads[project.name]
        ticket = await self._ticket()
        heads = await self._offload(self._branches.heads_in_git, project, known.at if known else None)
        if known is None or uncached:
            moved: dict[str, bytes | None] = dict(pointers_of(heads))
        else:
            moved = moves_of(known, heads)
        await self._share(project, None if uncached else known, heads)
        await self._store(project, ticket, moved)
        if not first and known:
            await self._tell(project, known.at, heads.at)
        self._heads[project.name] = heads
        self._fingerprints[project.name] = fingerprint

    async def wrote(self, previous: str, branch: Branch, manifest: Manifest) -> None:
        """Serve a commit of our own at once: the manifest is at hand, so nothing is read again.

        When the branch was not known to be at `previous`, somebody else moved it too, and Git is asked instead.
        """
        project = branch.project
        async with self._locks[project.name]:
            known = self._heads.get(project.name)
            if known is None or commit_of(known.at.get(branch.name)) != previous:
                await self._sync(project)
                return
            ticket = await self._ticket()
            heads = replace(known, at={**known.at, branch.name: branch.at})
            if branch.at.blob:
                await self._manifests.share(branch.at.blob, manifest)
            await self._store(project, ticket, moves_of(known, heads))
            self._heads[project.name] = heads
            await self._tell(project, known.at, heads.at)

    async def _ticket(self) -> int | None:
        try:
            return await self._cache.ticket()
        except CacheUnavailableError:
            return None

    async def _store(self, project: Project, ticket: int | None, moved: Mapping[str, bytes | None]) -> None:
        if not moved:
            return
        try:
            if ticket is None:
                raise CacheUnavailableError("no ticket")  # noqa: TRY301 (one road for both failures)
            await self._cache.move(project.name, ticket, moved)
            self._branches.missed.discard(project.name)
        except CacheUnavailableError as error:
            self._branches.missed.add(project.name)
            log.warning("the pointers of %s are not cached: %s", project.name, error)

    async def _share(self, project: Project, known: Heads | None, heads: Heads) -> None:
        old = {at.blob for at in known.at.values()} if known else set()
        new = {at.blob for at in heads.at.values() if at.blob and at.blob not in old}
        if new:
            await self._manifests.store(project, new)

    async def _tell(self, project: Project, before: Mapping[str, ManifestAt], after: Mapping[str, ManifestAt]) -> None:
        for name in sorted(before.keys() | after.keys()):
            move = Move(project, name, commit_of(before.get(name)), commit_of(after.get(name)))
            if move.before != move.after:
                events: list[Event] = await self._offload(derive, self._git, self._manifests, move)
                self._feed.publish(events)


def commit_of(at: ManifestAt | None) -> str | None:
    """The commit a branch is at, None when it is not there."""
    return at.commit if at else None


def moves_of(known: Heads, heads: Heads) -> dict[str, bytes | None]:
    """The pointers that change between two moments, None for a branch that is gone."""
    old, new = pointers_of(known), pointers_of(heads)
    return {name: new.get(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
