"""Upload tickets: everything the server has to know of an upload, carried by the client and signed by the server."""

import base64
import hashlib
import hmac
import json
from dataclasses import astuple, dataclass

from app.registry.manifest import ObjectPin
from app.stores.ports import Multipart, ObjectKey

_VERSION = "u2"


class TicketError(Exception):
    """The base of what is wrong with a ticket; `code` says which."""

    code = "TICKET_INVALID"


class TicketInvalidError(TicketError):
    """The text is no ticket this registry issued, or was altered."""


class TicketExpiredError(TicketError):
    """The ticket was good once."""

    code = "TICKET_EXPIRED"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One upload: the bytes promised (`size` in bytes), until when (unix seconds), and its parts if it has several."""

    project: str
    sha256: str
    size: int
    content_type: str
    filename: str | None
    expires_at: int
    multipart: Multipart | None = None

    @property
    def key(self) -> ObjectKey:
        """Where the store keeps the bytes."""
        return ObjectKey(self.project, self.sha256)

    @property
    def pin(self) -> ObjectPin:
        """The bytes as an entry pins them once they are here."""
        return ObjectPin(self.sha256, self.size, self.content_type, self.filename, pending=False)


class Tickets:
    """Issues tickets signed with `secret` and believes no others."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, ticket: Ticket) -> str:
        """The ticket as text: letters, digits, `-`, `_` and `.` only."""
        payload = _encode(json.dumps(astuple(ticket), separators=(",", ":")).encode())
        return f"{_VERSION}.{payload}.{self._signature(payload)}"

    def read(self, text: str, now: int) -> Ticket:
        """The ticket in `text` at `now` (unix seconds). Raises TicketInvalidError, TicketExpiredError."""
        version, _, rest = text.partition(".")
        payload, _, signature = rest.partition(".")
        expected = self._signature(payload)
        if version != _VERSION or not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            raise TicketInvalidError(
                "This is no upload this registry has issued: ask for a new one with createUploads."
            )
        values = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        values[-1] = Multipart(*values[-1]) if values[-1] else None
        ticket = Ticket(*values)
        if now >= ticket.expires_at:
            raise TicketExpiredError("This upload has expired: ask for a new one with createUploads.")
        return ticket

    def _signature(self, payload: str) -> str:
        # The version in the signed text keeps tickets apart from all else the secret signs.
        text = f"upload-ticket-{_VERSION}.{payload}"
        return _encode(hmac.digest(self._secret, text.encode("utf-8", "replace"), hashlib.sha256))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
