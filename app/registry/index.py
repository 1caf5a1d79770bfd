"""The index: segments of what the heads of all branches serve, and the search over them.

Nothing is asked of the cache or of Git but manifests that are new: where branches stand is what the synchroniser
knows. What is kept grows with the heads; what is done anew, with what has changed since the last search.
"""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from operator import is_
from typing import overload
from weakref import WeakValueDictionary

from app.registry.catalogue import Catalogue
from app.registry.facts import SETTLED
from app.registry.manifest import Entry, Manifest, ManifestRefusedError
from app.registry.manifests import Manifests
from app.registry.model import Artifact, Branch, ObjectState
from app.registry.offload import Offload
from app.registry.presence import Bytes, Presence
from app.registry.search import ArtifactFilter, Condition, asks_store, conditions, glob
from app.registry.segment import NOTHING, Run, Segment, bits, segment, union
from app.registry.sync import Synchroniser
from app.stores.errors import StoreError

log = logging.getLogger("ml_registry.index")


@dataclass(frozen=True, slots=True)
class Hit:
    """An artifact that was found, and the branch it stands on."""

    branch: str
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class Part:
    """The entries of one run, of one branch, that were found: as bits."""

    branch: Branch
    run: Run
    found: int


class Hits(Sequence[Hit]):
    """What was found, by project, branch and name. Counting costs nothing; a hit is made when it is asked for.

    It is not `complete` where something could not be read.
    """

    def __init__(self, parts: Sequence[Part], *, complete: bool = True) -> None:
        self.complete = complete
        self._parts = parts
        self._ends = list(accumulate(part.found.bit_count() for part in parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Hit]:
        return (_hit(part, number) for part in self._parts for number in bits(part.found))

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> list[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | list[Hit]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]  # raises IndexError
        place = bisect_right(self._ends, number)
        part = self._parts[place]
        before = self._ends[place] - part.found.bit_count()
        return _hit(part, next(islice(bits(part.found), number - before, None)))


class Index:
    """Searches everything. A segment is made when a search first needs it, and dropped when no head serves it."""

    def __init__(
        self, catalogue: Catalogue, sync: Synchroniser, manifests: Manifests, presence: Presence, offload: Offload
    ) -> None:
        self._catalogue = catalogue
        self._sync = sync
        self._manifests = manifests
        self._presence = presence
        self._offload = offload
        self._segments: dict[str, Segment] = {}
        self._runs: WeakValueDictionary[int, Run] = WeakValueDictionary()
        self._building = asyncio.Lock()

    async def search(self, wanted: ArtifactFilter, sees: Callable[[str], bool]) -> Hits:
        """What passes a filter, on default branches unless it names others, as of one moment. Raises InvalidInputError.

        Nothing is found in a project that whoever asks does not see, by its name. One that cannot be read is left
        out: its status says why.
        """
        asked = conditions(wanted)
        branches = list(self._branches(wanted, sees))
        segments = await self._segments_of(branches)
        parts = await self._offload(_matching, branches, segments, asked)
        if wanted.object_states and asks_store(wanted.object_states):
            ready = await self._presence.ready(_settled(parts))
            parts = await self._offload(_standing, parts, ready, wanted.object_states)
        return Hits(parts, complete=all(branch.at.blob in segments for branch in branches if branch.at.blob))

    def _branches(self, wanted: ArtifactFilter, sees: Callable[[str], bool]) -> Iterator[Branch]:
        project_wanted, branch_wanted = glob(wanted.project), glob(wanted.branch)
        for project in self._catalogue.projects.values():
            heads = self._sync.heads(project) if project_wanted(project.name) and sees(project.name) else None
            if heads is None:
                continue
            names = [heads.default] if wanted.branch is None else filter(branch_wanted, sorted(heads.at))
            for name in names:
                if at := heads.at.get(name):
                    yield Branch(project, name, name == heads.default, at)

    async def _segments_of(self, branches: Iterable[Branch]) -> Mapping[str, Segment]:
        """The segments of these branches by blob; those that are missing are made, once for all who wait for them."""
        needed = {branch.at.blob: branch for branch in branches if branch.at.blob}
        if needed.keys() - self._segments.keys():
            async with self._building:
                for blob in needed.keys() - self._segments.keys():
                    await self._add(blob, needed[blob])
                found = {blob: self._segments[blob] for blob in needed.keys() & self._segments.keys()}
                self._drop_unserved()
                return found
        return {blob: self._segments[blob] for blob in needed}

    async def _add(self, blob: str, branch: Branch) -> None:
        try:
            manifest = await self._manifests.get(branch.project, blob)
        except (StoreError, ManifestRefusedError) as error:
            log.warning("%s of %s is not searched: %s", branch.name, branch.project.name, error)
            return
        self._segments[blob] = await self._offload(self._segment, manifest)

    def _segment(self, manifest: Manifest) -> Segment:
        return segment(manifest.entries.values(), self._run)

    def _run(self, entries: tuple[Entry, ...]) -> Run:
        """The run of these entries: the one there is when they are the same objects, as those no write touched are."""
        known = self._runs.get(id(entries[0]))
        if known and len(known.entries) == len(entries) and all(map(is_, known.entries, entries)):
            return known
        made = self._runs[id(entries[0])] = Run.of(entries)
        return made

    def _drop_unserved(self) -> None:
        heads = map(self._sync.heads, self._catalogue.projects.values())
        served = {at.blob for one in heads if one for at in one.at.values()}
        self._segments = {blob: one for blob, one in self._segments.items() if blob in served}


def _hit(part: Part, number: int) -> Hit:
    return Hit(part.branch.name, Artifact(part.branch.project, part.branch.head, part.run.entries[number]))


def _matching(branches: Iterable[Branch], segments: Mapping[str, Segment], asked: Collection[Condition]) -> list[Part]:
    return [
        Part(branch, run, found)
        for branch in branches
        for run in segments.get(branch.at.blob or "", ())
        if (found := run.matching(asked))
    ]


def _settled(parts: Iterable[Part]) -> Iterator[Bytes]:
    """The bytes pinned by what was found that Git says are there."""
    for part in parts:
        for (sha256, size), having in part.run.tables.get(SETTLED, NOTHING).items():
            if having & part.found:
                yield part.branch.project.name, sha256, size


def _standing(parts: Iterable[Part], ready: Collection[Bytes], states: Collection[ObjectState]) -> list[Part]:
    """Leave out what is settled but not in the state that is asked for: READY, or MISSING."""
    kept = []
    for part in parts:
        settled = part.run.tables.get(SETTLED, NOTHING)
        there = union(having for one, having in settled.items() if (part.branch.project.name, *one) in ready)
        left_out = union(settled.values()) & ~there if ObjectState.READY in states else there
        if found := part.found & ~left_out:
            kept.append(Part(part.branch, part.run, found))
    return kept
