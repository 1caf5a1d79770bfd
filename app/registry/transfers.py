"""Bytes: promised, sent straight to the store, checked there, and only then believed.

Nothing is kept here for an upload: the caller carries a signed ticket. That bytes are READY is a fact of Git.
"""

import asyncio
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from app.registry import audit
from app.registry.branches import Branches
from app.registry.changes import SettleObject
from app.registry.errors import DigestMismatchError, InvalidInputError, MissingObjectsError
from app.registry.lanes import Lanes
from app.registry.manifest import ObjectPin
from app.registry.manifests import Manifests
from app.registry.model import SHA256, Actor, Artifact, Branch, Project
from app.registry.reach import object_store
from app.registry.tickets import Ticket
from app.registry.uploads import Upload, Uploads, UploadState
from app.registry.writing import Proposal
from app.stores.ports import ObjectKey, ObjectStat, ObjectStore, SignedRequest


@dataclass(frozen=True, slots=True)
class Completed:
    """An upload whose bytes were checked, and the artifacts that became READY by it."""

    upload: Upload
    project: Project
    pin: ObjectPin
    artifacts: tuple[Artifact, ...]


class Transfers:
    """Hands out signed requests and checks what came of them."""

    def __init__(
        self, objects: ObjectStore, uploads: Uploads, branches: Branches, manifests: Manifests, lanes: Lanes
    ) -> None:
        self._objects = objects
        self._uploads = uploads
        self._branches = branches
        self._manifests = manifests
        self._lanes = lanes

    async def stored(self, project: Project, pins: Sequence[ObjectPin]) -> frozenset[str]:
        """Which of these bytes the store has, by sha-256. Raises DigestMismatchError when it has others."""
        distinct = {pin.sha256: pin for pin in pins}
        with object_store():
            stats = await asyncio.gather(*(self._objects.stat(ObjectKey(project.name, sha256)) for sha256 in distinct))
        found = {pin.sha256: stat for pin, stat in zip(distinct.values(), stats, strict=True) if stat}
        for pin in pins:
            if stat := found.get(pin.sha256):
                _compare(pin.sha256, pin.size, stat)
        return frozenset(found)

    async def begin(
        self, project: Project, pins: Sequence[ObjectPin], stored: Container[str] = (), *, checked: bool = False
    ) -> tuple[Upload, ...]:
        """Uploads for these bytes, in their order, of which the store has those `stored`, by sha-256.

        Raises ObjectStoreUnavailableError.
        """
        begun = (self._uploads.begin(project, pin, stored=pin.sha256 in stored, checked=checked) for pin in pins)
        return tuple(await asyncio.gather(*begun))

    async def create(self, project: Project, pins: Sequence[ObjectPin], *, checked: bool) -> tuple[Upload, ...]:
        """The same, after a look. Raises DigestMismatchError too, and InvalidInputError for the size of stored ones."""
        return await self.begin(project, pins, await self.stored(project, pins), checked=checked)

    async def complete(
        self,
        project: Project,
        upload: str,
        etags: Sequence[str] | None,
        actor: Actor,
        moves: Callable[[str], bool] = lambda _: True,
    ) -> Completed:
        """Check the bytes an upload promised, then commit that they are here on every branch that waits for them.

        Those stay as they are that the actor may not move, which `moves` says of each by its name.
        What came in parts is put together first. Raises InvalidInputError, MissingObjectsError, DigestMismatchError,
        ObjectStoreUnavailableError, and what writing raises.
        """
        ticket = self._uploads.ticket(upload)
        with audit.act("complete upload", project.name, digest=ticket.sha256, size=ticket.size):
            await self._check(project, ticket, etags)
            artifacts = await self._settle(project, ticket.pin, actor, moves)
            done = Upload(upload, ticket.pin, UploadState.STORED, ticket.multipart)
            return Completed(done, project, ticket.pin, artifacts)

    async def _check(self, project: Project, ticket: Ticket, etags: Sequence[str] | None) -> None:
        if not await self.stored(project, [ticket.pin]):
            await self._uploads.assemble(ticket, etags)
            if not await self.stored(project, [ticket.pin]):
                raise MissingObjectsError([SHA256 + ticket.sha256])

    async def _settle(
        self, project: Project, pin: ObjectPin, actor: Actor, moves: Callable[[str], bool]
    ) -> tuple[Artifact, ...]:
        settled = Proposal((SettleObject(pin.sha256, pin.size),), actor, actor)
        waiting = [(branch, names) for branch, names in await self._waiting(project, pin) if moves(branch.name)]
        outcomes = await asyncio.gather(
            *(self._lanes.submit(branch, settled) for branch, _ in waiting), return_exceptions=True
        )
        artifacts: list[Artifact] = []
        for (_, names), outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome  # the other branches have what is theirs, and completing again is harmless
            _, written = outcome
            entries = (written.manifest.entries.get(name) for name in names)
            artifacts += [Artifact(project, written.commit, entry) for entry in entries if entry]
        return tuple(artifacts)

    async def download(self, project: Project, pin: ObjectPin, expires_in: int) -> SignedRequest:
        """A signed request for the bytes, named as the entry names them. Raises ObjectStoreUnavailableError."""
        key, kind = ObjectKey(project.name, pin.sha256), pin.content_type
        with audit.act("presign download", project.name, digest=pin.sha256, seconds=expires_in), object_store():
            return await self._objects.sign_get(key, content_type=kind, filename=pin.filename, expires_in=expires_in)

    async def _waiting(self, project: Project, arrived: ObjectPin) -> list[tuple[Branch, list[str]]]:
        """The branches with entries that wait for these bytes, and the names of those."""
        found = []
        for branch in await self._branches.list(project):
            manifest = await self._manifests.get(project, branch.at.blob)
            pins = ((name, entry.object) for name, entry in manifest.entries.items())
            if names := [name for name, pin in pins if pin and pin.pending and _bytes(pin) == _bytes(arrived)]:
                found.append((branch, names))
        return found


def _compare(sha256: str, size: int, stat: ObjectStat) -> None:
    if stat.sha256 is not None and stat.sha256 != sha256:
        message = "The store holds other bytes under this digest. Delete them there and upload again."
        raise DigestMismatchError(message, SHA256 + sha256, SHA256 + stat.sha256)
    if stat.size != size:
        message = f"The bytes of {SHA256}{sha256} are {stat.size} long, not {size}. Send the size of what you uploaded."
        raise InvalidInputError.of("size", message)


def _bytes(pin: ObjectPin) -> tuple[str, int]:
    return pin.sha256, pin.size
