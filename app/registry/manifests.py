"""Manifests by blob id, and which one a commit serves.

A blob never changes, so what was read from it is kept for ever: in the process within a bound, in the cache for every
process, and always again from Git.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Self

from app.registry.manifest import (
    DEFAULT_LIMITS,
    Document,
    Entry,
    Limits,
    Manifest,
    ManifestRefusedError,
    Problem,
    Sketch,
    Step,
    from_json,
    parse,
    read,
    read_stored,
    to_json,
)
from app.registry.memory import LEAST, Memory
from app.registry.model import Artifact, ManifestAt, ManifestState, Project
from app.registry.offload import Offload
from app.stores.errors import BlobTooLargeError, CacheUnavailableError, StoreError
from app.stores.ports import Cache, GitHost, Repository

LARGE = 64 * 1024
"""Bytes; a file of more is read in another process, or whoever else asks would notice."""
ARTIFACT = 2_000
"""Bytes that an artifact in a list counts for, together with its entry: 33 000 artifacts are kept."""
MANY = 1_000
"""Entries; more are put in order in a thread."""
EMPTY = Manifest(entries={}, problems=())
log = logging.getLogger("ml_registry.manifests")


class Manifests:
    """Reads manifests. The synchronous methods block and are called from worker threads."""

    def __init__(self, git: GitHost, cache: Cache, offload: Offload, limits: Limits = DEFAULT_LIMITS) -> None:
        self._git = git
        self._cache = cache
        self._offload = offload
        self._limits = limits
        self._memory: Memory[Manifest | tuple[Problem, ...]] = Memory()
        self._at: Memory[ManifestAt] = Memory()
        self._entries: Memory[tuple[Entry | None]] = Memory()
        self._listed: Memory[Listing] = Memory()
        self.found = {"memory": 0, "cache": 0, "git": 0}
        """How many were found where."""

    async def get(self, project: Project, blob: str | None) -> Manifest:
        """The manifest of a blob known to be readable (`ManifestAt.blob`); None is an empty one."""
        if blob is None:
            return EMPTY
        remembered = self._memory.get(blob)
        if isinstance(remembered, Manifest):
            self.found["memory"] += 1
            return remembered
        if cached := await self._from_cache(blob):
            self.found["cache"] += 1
            return cached
        self.found["git"] += 1
        manifest = await self._offload(self.load, self._git.repository(project.name), blob)
        await self.share(blob, manifest)
        return manifest

    async def artifacts(self, project: Project, commit: str, blob: str | None) -> "Listing":
        """What a commit that serves the manifest of a blob holds, in the order of the names. Put in order once."""
        key = project.name, commit, blob
        listed = self._listed.get(key)
        if listed is None or (listed and listed[0].project is not project):
            manifest = await self.get(project, blob)
            make = partial(Listing.of, project, commit, manifest)
            listed = make() if len(manifest.entries) <= MANY else await self._offload(make)
            self._listed.put(key, ARTIFACT * len(listed), listed)
        return listed

    async def share(self, blob: str, manifest: Manifest) -> None:
        """Put a manifest where every process finds it. Without a cache it stays where it is: in Git."""
        try:
            await self._cache.put_derived({_key(blob): await self._offload(to_json, manifest)})
        except CacheUnavailableError as error:
            log.debug("the manifest %s is not cached: %s", blob, error)

    async def store(self, blobs: Mapping[str, Project]) -> None:
        """See to it that the cache holds the manifests of these blobs, each of them of a project."""
        try:
            held = await self._cache.derived([_key(blob) for blob in blobs])
            missing = {blob: project for blob, project in blobs.items() if _key(blob) not in held}
            while missing:
                part = await self._offload(self._part, missing)
                await self._cache.put_derived(part)
        except CacheUnavailableError as error:
            log.debug("manifests are not cached: %s", error)

    def _part(self, missing: dict[str, Project]) -> dict[str, bytes]:
        """Blocking. Takes out of `missing` as many manifests as are worth one round trip, for the cache."""
        part: dict[str, bytes] = {}
        while missing and sum(map(len, part.values())) < LARGE:
            blob, project = missing.popitem()
            with suppress(StoreError):  # gone since it was read: the next look says why
                part[_key(blob)] = to_json(self.load(self._git.repository(project.name), blob))
        return part

    async def _from_cache(self, blob: str) -> Manifest | None:
        try:
            data = (await self._cache.derived([_key(blob)])).get(_key(blob))
        except CacheUnavailableError:
            return None
        if data is None:
            return None
        try:
            manifest = await self._offload(from_json, data)
        except ValueError as error:
            log.warning("the cached manifest %s is damaged (%s); reading Git instead", blob, error)
            return None
        self._memory.put(blob, len(data), manifest)
        return manifest

    def entry(self, repository: Repository, blob: str, name: str) -> Entry | None:
        """Blocking. One entry of a readable manifest."""
        entry = self.load(repository, blob).entries.get(name)
        self.remember_entry(blob, name, entry)
        return entry

    def remembered_entry(self, blob: str, name: str) -> tuple[Entry | None] | None:
        """What a readable manifest has under a name, where that is remembered: apart from the manifest as a whole."""
        return self._entries.get(f"{blob}:{name}")

    def remember_entry(self, blob: str, name: str, entry: Entry | None) -> None:
        """Keep what a manifest has under a name."""
        self._entries.put(f"{blob}:{name}", LEAST, (entry,))

    def follow(self, repository: Repository, blob: str, beside: Sketch | None) -> Step | Document | None:
        """Blocking. A version of a manifest as a step from another one; whole where that cannot be.

        None when it cannot be read.
        """
        try:
            data = self.text(repository, blob)
            return (beside and beside.step(data, self._limits)) or parse(data, self._limits)
        except (BlobTooLargeError, ManifestRefusedError):
            return None

    def text(self, repository: Repository, blob: str) -> bytes:
        """Blocking. The bytes of a manifest as they are in Git."""
        return repository.blob(blob, self._limits.bytes)

    def remember(self, blob: str, size: int, manifest: Manifest) -> None:
        """Keep a manifest that was just written, so that nobody reads it again."""
        self._memory.put(blob, size, manifest)

    def load(self, repository: Repository, blob: str) -> Manifest:
        """Blocking. A blob's manifest, from memory or Git. Raises ManifestRefusedError."""
        outcome = self._memory.get(blob)
        if outcome is None:
            outcome = self._parse(repository, blob)
        if isinstance(outcome, Manifest):
            return outcome
        raise ManifestRefusedError(outcome)

    def _parse(self, repository: Repository, blob: str) -> Manifest | tuple[Problem, ...]:
        outcome: Manifest | tuple[Problem, ...]
        size = 0
        try:
            data = repository.blob(blob, self._limits.bytes)
            size = len(data)
            outcome = self._read(data)
        except ManifestRefusedError as refused:
            outcome = refused.problems
        except BlobTooLargeError as error:
            message = f"The file has {error.size} bytes; at most {self._limits.bytes} are read. Split the project."
            outcome = (Problem("TOO_LARGE", message, None, None, None),)
        self._memory.put(blob, size, outcome)
        return outcome

    def _read(self, data: bytes) -> Manifest | tuple[Problem, ...]:
        if len(data) <= LARGE:
            return read(data, self._limits)
        stored = self._offload.apart(read_stored, data, self._limits)
        return from_json(stored) if isinstance(stored, bytes) else stored

    def stands(self, path: str, at: ManifestAt) -> None:
        """Keep what a commit that was just written has, so that nobody looks again."""
        self._at.put(f"{at.commit}:{path}", LEAST, at)

    def at(self, repository: Repository, path: str, commit: str) -> ManifestAt:
        """Blocking. What the manifest at a commit is and which one is served; walks back past broken ones.

        A commit that was looked at before is not looked up again, whichever repository has it.
        """
        known = self._at.get(f"{commit}:{path}")
        if known is None:
            known = self._read_at(repository, path, commit)
            self.stands(path, known)
        return known

    def problems(self, repository: Repository, path: str, commit: str) -> tuple[Problem, ...]:
        """Blocking. Why the manifest at a commit cannot be read, or which of its entries are left out."""
        at = self.at(repository, path, commit)
        if at.problems or at.blob is None:
            return at.problems
        return self.load(repository, at.blob).problems

    def _read_at(self, repository: Repository, path: str, commit: str) -> ManifestAt:
        file, problems = self._look(repository, path, commit)
        if problems:
            blob, served = self._last_good(repository, path, commit)
            return ManifestAt(commit, ManifestState.BROKEN, file, blob, served, problems)
        if file is None:
            return ManifestAt(commit, ManifestState.ABSENT, None, None, None)
        return ManifestAt(commit, ManifestState.VALID, file, file, commit)

    def _look(self, repository: Repository, path: str, commit: str) -> tuple[str | None, tuple[Problem, ...]]:
        """The blob that stands at a commit, and what is wrong with it."""
        found = repository.file(commit, path)
        if found is None:
            return None, ()
        if found.kind != "file":
            message = f"{path} is a {found.kind}, which is never followed. Commit it as a regular file."
            return None, (Problem("NOT_A_FILE", message, None, None, None),)
        try:
            self.load(repository, found.oid)
        except ManifestRefusedError as refused:
            return found.oid, refused.problems
        return found.oid, ()

    def _last_good(self, repository: Repository, path: str, commit: str) -> tuple[str | None, str | None]:
        parents = repository.commit(commit).parents
        while parents:
            if known := self._at.get(f"{parents[0]}:{path}"):
                return known.blob, known.served
            file, problems = self._look(repository, path, parents[0])
            if not problems:
                return file, parents[0] if file else None
            parents = repository.commit(parents[0]).parents
        return None, None


class Listing(tuple[Artifact, ...]):  # noqa: SLOT001  a tuple has no room for slots
    """A commit's artifacts in the order of their names. It never changes; `token` is equal to that of no other."""

    token: object

    @classmethod
    def of(cls, project: Project, commit: str, manifest: Manifest) -> Self:
        """Those of a manifest."""
        listing = cls(Artifact(project, commit, entry) for _, entry in sorted(manifest.entries.items()))
        listing.token = object()
        return listing


def _key(blob: str) -> str:
    """The name of a manifest in the cache."""
    return f"manifest:{blob}"
