"""Which bytes can be fetched, for many at once and with as few looks into the store as can be."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from app.registry.manifest import ObjectPin
from app.registry.model import Artifact, ObjectState, Project
from app.registry.offload import Offload
from app.registry.reach import object_store
from app.stores.ports import ObjectKey, ObjectStore

Bytes: TypeAlias = tuple[str, str, int]
"""The project's name, the sha-256, the size that is pinned."""
BELIEVED_SECONDS = 900.0
KEPT = 200_000
LOOKING = 16


class Presence:
    """Asks the store, and remembers what was there.

    Bytes are named by what they are and written once, so among many READY is believed for `BELIEVED_SECONDS`, as long
    as a download link holds, or until a look says otherwise. That bytes are MISSING is asked every time: they may
    arrive at any moment.
    """

    def __init__(self, objects: ObjectStore, offload: Offload, clock: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._offload = offload
        self._clock = clock
        self._believed: dict[Bytes, float] = {}  # until when; the first to end comes first

    async def ready(self, wanted: Iterable[Bytes]) -> frozenset[Bytes]:
        """Which of these bytes the store has. `wanted` is walked in a worker thread."""
        ready, unsure = await self._offload(self._sorted, wanted)
        return ready | await self._found(unsure)

    async def state(self, project: Project, pin: ObjectPin) -> ObjectState:
        """Whether pinned bytes can be fetched. One look into the store, unless Git says they are still awaited.

        What it sees goes for `ready` too. Raises ObjectStoreUnavailableError, as all that looks does.
        """
        if pin.pending:
            return ObjectState.PENDING
        one = project.name, pin.sha256, pin.size
        if await self._there(one):
            self._believe([one])
            return ObjectState.READY
        self._believed.pop(one, None)
        return ObjectState.MISSING

    async def among(self, artifacts: Sequence[Artifact], states: Collection[ObjectState]) -> list[Artifact]:
        """The artifacts that pin bytes in one of these states. Looks into the store for READY and MISSING."""
        pinned = [(one, one.entry.object) for one in artifacts if one.entry.object]
        ready = await self.ready([_bytes(one, pin) for one, pin in pinned if not pin.pending])
        return [one for one, pin in pinned if _state(pin, ready=_bytes(one, pin) in ready) in states]

    def _sorted(self, wanted: Iterable[Bytes]) -> tuple[frozenset[Bytes], frozenset[Bytes]]:
        """Those that are believed to be there, and those that have to be looked for."""
        distinct, now = frozenset(wanted), self._clock()
        believed = frozenset(one for one in distinct if self._believed.get(one, now) > now)
        return believed, distinct - believed

    async def _found(self, unsure: Iterable[Bytes]) -> frozenset[Bytes]:
        left, found = iter(unsure), set()

        async def look() -> None:
            for one in left:
                if await self._there(one):
                    found.add(one)

        await asyncio.gather(*(look() for _ in range(LOOKING)))
        self._believe(found)
        return frozenset(found)

    async def _there(self, one: Bytes) -> bool:
        project, sha256, size = one
        with object_store():
            stat = await self._objects.stat(ObjectKey(project, sha256))
        return stat is not None and stat.size == size

    def _believe(self, found: Iterable[Bytes]) -> None:
        until = self._clock() + BELIEVED_SECONDS
        for one in found:
            self._believed.pop(one, None)
            self._believed[one] = until
        while len(self._believed) > KEPT:
            del self._believed[next(iter(self._believed))]


def _bytes(artifact: Artifact, pin: ObjectPin) -> Bytes:
    return artifact.project.name, pin.sha256, pin.size


def _state(pin: ObjectPin, *, ready: bool) -> ObjectState:
    if pin.pending:
        return ObjectState.PENDING
    return ObjectState.READY if ready else ObjectState.MISSING
