"""Branches and where they stand: asked of the cache, and of Git wherever the cache does not know."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from app.registry.manifest import Problem
from app.registry.manifests import Manifests
from app.registry.model import Branch, ManifestAt, ManifestState, Project
from app.registry.offload import Offload
from app.stores.errors import CacheUnavailableError
from app.stores.ports import Cache, GitHost

# No branch can have a `*` in its name. Under HEAD lies a copy of the default branch's pointer, so that either is one
# look-up; under WHOLE what all the pointers together are, so that those stored after a flush are not taken for all.
HEAD = "*HEAD"
WHOLE = "*WHOLE"
KEPT = 1_000
"""Pointers that need not be decoded again."""
log = logging.getLogger("ml_registry.branches")


@dataclass(frozen=True, slots=True)
class Heads:
    """Every branch of a project at one moment, in the order of their names, and which one HEAD names.

    `path` is where the manifests were looked for.
    """

    path: str
    default: str
    at: Mapping[str, ManifestAt]


@dataclass(frozen=True, slots=True)
class Look:
    """The heads as Git has them, and what differs whenever they, or where the manifest lies, may have changed."""

    heads: Heads
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where a branch stands, as the cache keeps it. `at` is None for a default branch that does not exist yet."""

    name: str
    is_default: bool
    at: ManifestAt | None

    def encode(self) -> bytes:
        """The bytes that go into the cache."""
        at = self.at and {
            "commit": self.at.commit,
            "state": self.at.state.value,
            "file": self.at.file,
            "blob": self.at.blob,
            "served": self.at.served,
            "problems": [asdict(problem) for problem in self.at.problems],
        }
        return json.dumps([self.name, self.is_default, at], separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Pointer":
        """A pointer from the cache. Raises ValueError when the bytes are not one."""
        try:
            name, is_default, at = json.loads(data.decode())  # given bytes, it would look for their encoding
            if at is None:
                return cls(name, is_default, None)
            at["state"] = ManifestState(at["state"])
            at["problems"] = tuple(Problem(**problem) for problem in at["problems"])
            return cls(name, is_default, ManifestAt(**at))
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a pointer: {error}") from error

    def branch(self, project: Project) -> Branch | None:
        """The branch that stands here, or None while it does not exist."""
        return Branch(project, self.name, self.is_default, self.at) if self.at else None


def pointers_of(heads: Heads) -> dict[str, bytes]:
    """Everything the cache keeps of a project's heads."""
    found = {name: Pointer(name, name == heads.default, at).encode() for name, at in heads.at.items()}
    found[HEAD] = Pointer(heads.default, True, heads.at.get(heads.default)).encode()  # noqa: FBT003 (a record's field)
    found[WHOLE] = _whole(heads)
    return found


def heads_of(pointers: Mapping[str, bytes], path: str) -> Heads | None:
    """A project's heads from the cache, or None when they are not all there. Raises ValueError on damage."""
    if HEAD not in pointers:
        return None
    default = Pointer.decode(pointers[HEAD]).name
    at = {name: Pointer.decode(data).at for name, data in sorted(pointers.items()) if name not in (HEAD, WHOLE)}
    heads = Heads(path, default, {name: where for name, where in at.items() if where})
    return heads if pointers.get(WHOLE) == _whole(heads) else None


def _whole(heads: Heads) -> bytes:
    return json.dumps([len(heads.at), heads.path]).encode()


class Branches:
    """Reads branches. Never wrong, only slower, when the cache is away."""

    def __init__(self, git: GitHost, cache: Cache, manifests: Manifests, offload: Offload) -> None:
        self._git = git
        self._cache = cache
        self._manifests = manifests
        self._offload = offload
        self._decode = lru_cache(KEPT)(Pointer.decode)  # who asks anew is mostly told the same
        self.missed: set[str] = set()
        """The projects of which the cache lacks something or holds it too old: Git is asked until it is stored anew."""

    async def get(self, project: Project, name: str) -> Branch | None:
        """One branch, or None: one cache round trip, and a look into Git when the cache knows none of that name."""
        if name in (HEAD, WHOLE):
            return None
        return await self._look_up(project, name)

    async def default(self, project: Project) -> Branch | None:
        """The branch HEAD names, or None while it does not exist: one cache round trip."""
        return await self._look_up(project, HEAD)

    async def list(self, project: Project) -> list[Branch]:
        """Every branch, in the order of their names: one cache round trip."""
        heads = await self._heads(project)
        return [Branch(project, name, name == heads.default, at) for name, at in heads.at.items()]

    async def cached(self, project: Project) -> Heads | None:
        """What the cache holds of a project's heads; None when that is not all of them."""
        if project.name in self.missed:
            return None
        (stored,) = await self.stored([project])
        return self.decoded(project, stored)

    async def stored(self, projects: Sequence[Project]) -> Sequence[Mapping[str, bytes]]:
        """Every pointer the cache has of each project, whatever it is worth; nothing while it is away."""
        try:
            return await self._cache.pointers_of([project.name for project in projects])
        except CacheUnavailableError:
            if len(projects) == 1:
                return [{}]
            return [stored for project in projects for stored in await self.stored([project])]  # one may be damaged

    def decoded(self, project: Project, stored: Mapping[str, bytes]) -> Heads | None:
        """What pointers from the cache say of a project's heads; None when those are not all of them."""
        try:
            return heads_of(stored, project.manifest_path)
        except ValueError as error:
            log.warning("a cached pointer of %s is damaged (%s); reading Git instead", project.name, error)
            return None

    async def _heads(self, project: Project) -> Heads:
        if cached := await self.cached(project):
            return cached
        self.missed.add(project.name)
        return await self._offload(self.heads_in_git, project)

    async def _look_up(self, project: Project, field: str) -> Branch | None:
        if project.name not in self.missed and (pointer := await self._pointer(project, field)):
            return pointer.branch(project)
        branch = await self._offload(self.branch_in_git, project, field)
        if branch:
            self.missed.add(project.name)
        return branch

    async def _pointer(self, project: Project, field: str) -> Pointer | None:
        try:
            data = await self._cache.pointer(project.name, field)
            return None if data is None else self._decode(data)
        except CacheUnavailableError:
            return None
        except ValueError as error:
            log.warning("a cached pointer of %s is damaged (%s); reading Git instead", project.name, error)
            return None

    def branch_in_git(self, project: Project, field: str) -> Branch | None:
        """Blocking. One branch as Git has it; HEAD is the default one."""
        repository = self._git.repository(project.name)
        refs = repository.refs()
        name = refs.default if field == HEAD else field
        oid = refs.heads.get(name)
        if oid is None:
            return None
        at = self._manifests.at(repository, project.manifest_path, oid)
        return Branch(project, name, name == refs.default, at)

    def heads_in_git(self, project: Project) -> Heads:
        """Blocking. Every branch as Git has it."""
        return self.look(project, None).heads

    def look(self, project: Project, known: Heads | None) -> Look:
        """Blocking. Every branch as Git has it now; those that stand where `known` says are not read again."""
        repository = self._git.repository(project.name)
        refs = repository.refs()
        at: dict[str, ManifestAt] = {}
        for name, oid in sorted(refs.heads.items()):
            old = known.at.get(name) if known else None
            unmoved = old is not None and old.commit == oid
            at[name] = old if old and unmoved else self._manifests.at(repository, project.manifest_path, oid)
        return Look(Heads(project.manifest_path, refs.default, at), _fingerprint(project, refs.fingerprint))

    def fingerprint(self, project: Project) -> str:
        """Blocking. That of a look now, without looking at the branches."""
        return _fingerprint(project, self._git.repository(project.name).fingerprint())


def _fingerprint(project: Project, of_refs: str) -> str:
    """What differs whenever the refs, or where the manifest lies, may have changed."""
    return f"{project.manifest_path} {of_refs}"
