"""Bytes: promised, sent straight to the store, checked there, and only then believed.

Nothing is kept here for an upload: the caller carries a signed ticket. That bytes are READY is a fact of Git.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from app.registry.branches import Branches
from app.registry.changes import SettleObject
from app.registry.errors import DigestMismatchError, InvalidInputError, MissingObjectsError
from app.registry.lanes import Lanes
from app.registry.manifest import ObjectPin
from app.registry.manifests import Manifests
from app.registry.model import Actor, Artifact, Branch, ObjectState, Project
from app.registry.tickets import Ticket, TicketError, Tickets
from app.registry.writing import Proposal
from app.stores.ports import ObjectKey, ObjectStat, ObjectStore, SignedRequest

UPLOAD_SECONDS = 3600
PREFIX = "sha256:"


class UploadState(Enum):
    """Whether there is something left to send."""

    PENDING = "PENDING"
    STORED = "STORED"


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes the store waits for, or has. `request` is None once they are stored; the id is the signed ticket."""

    id: str
    pin: ObjectPin
    request: SignedRequest | None

    @property
    def state(self) -> UploadState:
        """STORED when there is nothing left to send."""
        return UploadState.PENDING if self.request else UploadState.STORED

    @property
    def expires_at(self) -> datetime | None:
        """Until when the bytes can be sent; None once they are stored."""
        return self.request.expires_at if self.request else None


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
        self, objects: ObjectStore, tickets: Tickets, branches: Branches, manifests: Manifests, lanes: Lanes
    ) -> None:
        self._objects = objects
        self._tickets = tickets
        self._branches = branches
        self._manifests = manifests
        self._lanes = lanes

    async def stored(self, project: Project, pins: Sequence[ObjectPin]) -> frozenset[str]:
        """Which of these bytes the store has, by sha-256. Raises DigestMismatchError when it has them otherwise."""
        distinct = {pin.sha256: pin for pin in pins}
        stats = await asyncio.gather(*(self._objects.stat(ObjectKey(project.name, sha256)) for sha256 in distinct))
        found = {pin.sha256: stat for pin, stat in zip(distinct.values(), stats, strict=True) if stat}
        for pin in pins:
            if stat := found.get(pin.sha256):
                _compare(pin.sha256, pin.size, stat)
        return frozenset(found)

    def upload(self, project: Project, pin: ObjectPin, *, stored: bool) -> Upload:
        """An upload of these bytes: ready to PUT, or with nothing left to send. Costs no request."""
        request = None
        if not stored:
            request = self._objects.sign_put(
                ObjectKey(project.name, pin.sha256),
                size=pin.size,
                content_type=pin.content_type,
                expires_in=UPLOAD_SECONDS,
            )
        expires = int(time.time()) + 2 * UPLOAD_SECONDS  # longer than the PUT, which may end at the last moment
        ticket = Ticket(project.name, pin.sha256, pin.size, pin.content_type, pin.filename, expires)
        return Upload(self._tickets.issue(ticket), pin, request)

    async def create(self, project: Project, pins: Sequence[ObjectPin]) -> list[Upload]:
        """Uploads for these bytes, in their order. Raises DigestMismatchError."""
        stored = await self.stored(project, pins)
        return [self.upload(project, pin, stored=pin.sha256 in stored) for pin in pins]

    def ticket(self, upload: str) -> Ticket:
        """What an upload's id promises. Raises InvalidInputError for one that was altered or has expired."""
        try:
            return self._tickets.read(upload, int(time.time()))
        except TicketError as error:
            raise InvalidInputError.of("upload", str(error)) from error

    async def complete(self, project: Project, upload: str, actor: Actor) -> Completed:
        """Check the bytes an upload promised, then commit that they are here on every branch that waits for them.

        Raises InvalidInputError, MissingObjectsError, DigestMismatchError, and what writing raises.
        """
        ticket = self.ticket(upload)
        stat = await self._objects.stat(ObjectKey(project.name, ticket.sha256))
        if stat is None:
            raise MissingObjectsError([PREFIX + ticket.sha256])
        _compare(ticket.sha256, ticket.size, stat)
        pin = ObjectPin(ticket.sha256, ticket.size, ticket.content_type, ticket.filename, pending=False)
        settled = Proposal((SettleObject(ticket.sha256, ticket.size),), actor, actor)
        waiting = await self._waiting(project, pin)
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
        return Completed(Upload(upload, pin, None), project, pin, tuple(artifacts))

    async def state(self, project: Project, pin: ObjectPin) -> ObjectState:
        """Whether pinned bytes can be fetched. One look into the store unless Git says they are still awaited."""
        if pin.pending:
            return ObjectState.PENDING
        stat = await self._objects.stat(ObjectKey(project.name, pin.sha256))
        return ObjectState.READY if stat and stat.size == pin.size else ObjectState.MISSING

    def download(self, project: Project, pin: ObjectPin, expires_in: int) -> SignedRequest:
        """A signed request for the bytes, named as the entry names them."""
        return self._objects.sign_get(
            ObjectKey(project.name, pin.sha256),
            content_type=pin.content_type,
            filename=pin.filename,
            expires_in=expires_in,
        )

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
        raise DigestMismatchError(message, PREFIX + sha256, PREFIX + stat.sha256)
    if stat.size != size:
        message = f"The bytes of {PREFIX}{sha256} are {stat.size} long, not {size}. Send the size of what you uploaded."
        raise InvalidInputError.of("size", message)


def _bytes(pin: ObjectPin) -> tuple[str, int]:
    return pin.sha256, pin.size
