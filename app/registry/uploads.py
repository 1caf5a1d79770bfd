"""Uploads: the requests that bring bytes to the store, in one part or in many, begun and taken up again.

Nothing is kept here for one: its id is a ticket the caller carries, and the store knows which parts have arrived.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from app.registry import audit, names
from app.registry.errors import DigestMismatchError, InvalidInputError, Issue, MissingObjectsError
from app.registry.manifest import ObjectPin
from app.registry.model import SHA256, Project
from app.registry.reach import object_store
from app.registry.tickets import Ticket, TicketError, Tickets
from app.stores.errors import BytesDifferError, PartsGoneError
from app.stores.ports import Multipart, ObjectKey, ObjectStore, SignedRequest, StoredPart

REQUEST_SECONDS = 3600
SINGLE_SECONDS = 2 * REQUEST_SECONDS  # longer than the PUT, which may end at the last moment
MULTIPART_SECONDS = 7 * 24 * 3600


class UploadState(Enum):
    """Whether there is something left to send."""

    PENDING = "PENDING"
    STORED = "STORED"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload: which, counted from 1, and the bytes it holds."""

    number: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class WantedPart:
    """A part a request is asked for, with its digest (`sha256:<hex>`) where the store is to check it."""

    number: int
    digest: str | None


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes the store waits for, or has; the id is the signed ticket. `requests` are those made just now."""

    id: str
    pin: ObjectPin
    state: UploadState
    multipart: Multipart | None = None
    requests: tuple[tuple[Part, SignedRequest], ...] = ()
    arrived: tuple[StoredPart, ...] = ()

    @property
    def expires_at(self) -> datetime | None:
        """Until when all of the requests can be made; None where there are none."""
        return min((request.expires_at for _, request in self.requests), default=None)


class Uploads:
    """Begins uploads, takes them up again, and puts together what came in parts."""

    def __init__(self, objects: ObjectStore, tickets: Tickets) -> None:
        self._objects = objects
        self._tickets = tickets

    async def begin(self, project: Project, pin: ObjectPin, *, stored: bool, checked: bool) -> Upload:
        """An upload of these bytes: ready to be sent, or with nothing left to send.

        The parts of a `checked` one are each sent under a digest of their own, and have no requests before that is
        known. Raises ObjectStoreUnavailableError.
        """
        store = self._objects.multipart
        multipart, kind = None, pin.content_type
        if store and not stored:
            with object_store():
                key = ObjectKey(project.name, pin.sha256)
                multipart = await store.begin(key, size=pin.size, content_type=kind, checked=checked)
        expires = int(time.time()) + (MULTIPART_SECONDS if multipart else SINGLE_SECONDS)
        ticket = Ticket(project.name, pin.sha256, pin.size, kind, pin.filename, expires, multipart)
        upload = self._tickets.issue(ticket)
        if stored:
            return Upload(upload, pin, UploadState.STORED)
        wanted = [] if multipart and checked else plan(ticket)
        requests = await self._requests(ticket, dict.fromkeys(wanted))
        return Upload(upload, pin, UploadState.PENDING, multipart, requests)

    def ticket(self, upload: str) -> Ticket:
        """What an upload's id promises. Raises InvalidInputError for one that was altered or has expired."""
        try:
            return self._tickets.read(upload, int(time.time()))
        except TicketError as error:
            raise InvalidInputError.of("upload", str(error)) from error

    async def resume(self, upload: str, wanted: Sequence[WantedPart] | None) -> Upload:
        """An upload as the store has it now: what has arrived, and requests for parts, for all that are left for None.

        Raises InvalidInputError, ObjectStoreUnavailableError.
        """
        ticket = self.ticket(upload)
        pin = ticket.pin
        chosen = _chosen(ticket, wanted) if wanted is not None else None
        with object_store():
            if await self._objects.stat(ticket.key):
                return Upload(upload, pin, UploadState.STORED, ticket.multipart)
            arrived = await self._arrived(ticket)
        if arrived is None:
            message = "This upload is known no more. Complete it if all was sent, or begin one with createUploads."
            raise InvalidInputError.of("upload", message)
        if chosen is None:
            here = {part.number for part in arrived}
            left = [part for part in plan(ticket) if part.number not in here]
            chosen = {} if ticket.multipart and ticket.multipart.checked else dict.fromkeys(left)
        requests = await self._requests(ticket, chosen)
        return Upload(upload, pin, UploadState.PENDING, ticket.multipart, requests, tuple(arrived))

    async def assemble(self, ticket: Ticket, etags: Sequence[str] | None) -> None:
        """Make one object of what came in parts. `etags`, where given, are those of all parts, in their order.

        Raises MissingObjectsError, DigestMismatchError, InvalidInputError, ObjectStoreUnavailableError.
        """
        store, multipart = self._objects.multipart, ticket.multipart
        if not store or not multipart:
            return
        with object_store():
            arrived = await store.parts(ticket.key, multipart)
        if arrived is not None:
            _compare(ticket, arrived, etags)
        try:
            with object_store():
                await store.assemble(ticket.key, multipart, arrived or ())
        except PartsGoneError as error:
            raise MissingObjectsError([SHA256 + ticket.sha256]) from error
        except BytesDifferError as error:
            message = "The parts make other bytes than were announced. Begin with createUploads and send them again."
            raise DigestMismatchError(message, SHA256 + ticket.sha256, SHA256 + error.sha256) from error

    async def _arrived(self, ticket: Ticket) -> Sequence[StoredPart] | None:
        store, multipart = self._objects.multipart, ticket.multipart
        if not store or not multipart:
            return ()
        return await store.parts(ticket.key, multipart)

    async def _requests(
        self, ticket: Ticket, parts: Mapping[Part, str | None]
    ) -> tuple[tuple[Part, SignedRequest], ...]:
        """A request for each part, with its sha-256 where that is to be signed."""
        made = []
        if not parts:
            return ()
        asked = audit.act(
            "presign upload", ticket.project, digest=ticket.sha256, requests=len(parts), seconds=REQUEST_SECONDS
        )
        with asked, object_store():
            for part, sha256 in parts.items():
                made.append((part, await self._request(ticket, part, sha256)))
                await asyncio.sleep(0)  # a thousand signatures are a fifth of a second: others go on in between
        return tuple(made)

    async def _request(self, ticket: Ticket, part: Part, sha256: str | None) -> SignedRequest:
        key, store = ticket.key, self._objects.multipart
        if store and ticket.multipart:
            return await store.sign_part(
                key, ticket.multipart, part.number, size=part.size, sha256=sha256, expires_in=REQUEST_SECONDS
            )
        kind = ticket.content_type
        return await self._objects.sign_put(key, size=ticket.size, content_type=kind, expires_in=REQUEST_SECONDS)


def plan(ticket: Ticket) -> list[Part]:
    """The parts of an upload, in their order; one, maybe of no bytes, is there always."""
    step = ticket.multipart.part_size if ticket.multipart else max(ticket.size, 1)
    offsets = range(0, max(ticket.size, 1), step)
    return [Part(number, first, min(step, ticket.size - first)) for number, first in enumerate(offsets, 1)]


def _chosen(ticket: Ticket, wanted: Iterable[WantedPart]) -> dict[Part, str | None]:
    """The parts asked for, each with the sha-256 to sign. Raises InvalidInputError."""
    parts = {part.number: part for part in plan(ticket)}
    checked = bool(ticket.multipart and ticket.multipart.checked)
    chosen, issues = {}, []
    for index, one in enumerate(wanted):
        place = ("parts", str(index))
        if one.number not in parts:
            issues.append(Issue((*place, "number"), f"This upload has the parts 1 to {len(parts)}."))
            continue
        if problem := _problem_with_digest(one.digest, checked=checked):
            issues.append(Issue((*place, "digest"), problem))
        chosen[parts[one.number]] = one.digest.removeprefix(SHA256) if one.digest else None
    if issues:
        raise InvalidInputError(issues)
    return chosen


def _problem_with_digest(digest: str | None, *, checked: bool) -> str | None:
    if checked:
        return names.problem_with_digest(digest or "")
    return "This upload was begun without checkParts: leave the digest out." if digest else None


def _compare(ticket: Ticket, arrived: Sequence[StoredPart], etags: Sequence[str] | None) -> None:
    """Raises MissingObjectsError for parts that are not there, InvalidInputError for ETags of others."""
    here = {part.number for part in arrived}
    missing = [part.number for part in plan(ticket) if part.number not in here]
    if missing:
        raise MissingObjectsError([SHA256 + ticket.sha256], missing)
    if etags is not None and [etag.strip('"') for etag in etags] != [part.etag.strip('"') for part in arrived]:
        message = "These are not the ETags of the parts that have arrived. Give all in their order, or leave them out."
        raise InvalidInputError.of("etags", message)
