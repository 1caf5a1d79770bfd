"""How a Git service elsewhere is spoken to: what the two roads there, HTTPS and SSH, have in common."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from dulwich.errors import GitProtocolError

from app.stores.errors import RemoteUnavailableError

GRACE = 300.0  # seconds a server may take to gather what was asked for, saying no more than that it is there
SLOWEST = 1000  # bytes a second after that
Service = Literal["git-upload-pack", "git-receive-pack"]


class UnreachableError(RemoteUnavailableError):
    """There was no connection: whatever was to be sent did surely not arrive."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server elsewhere may take to be there, and to say the next thing: seconds."""

    connect: float = 5.0
    silence: float = 30.0


class Reader:
    """What a server answers, in exact portions: at most `most` bytes of it are taken, and not at any slowness."""

    def __init__(self, pull: Callable[[], bytes], most: int) -> None:
        self._pull = pull
        self._most = most
        self._taken = 0
        self._began = time.monotonic()
        self._held = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, fewer only at the end. Raises GitProtocolError when it is too much, or too slow."""
        while len(self._held) - self._at < size and (more := self._pull()):
            self._taken += len(more)
            lasts = time.monotonic() - self._began
            if self._taken > self._most:
                raise GitProtocolError("the answer is longer than what is taken")
            if lasts > GRACE and self._taken < lasts * SLOWEST:
                raise GitProtocolError(f"there were {self._taken} bytes in {lasts:.0f} s")
            self._held, self._at = self._held[self._at :] + more, 0
        start, self._at = self._at, min(self._at + size, len(self._held))
        return self._held[start : self._at]


class Talk(Protocol):
    """One conversation with one service."""

    greets: bool
    """Whether the server speaks first, so that its greeting has to be heard each time."""

    def greeting(self, most: int) -> Reader:
        """What the service says of itself, up to `most` bytes."""

    def ask(self, request: bytes, most: int) -> Reader:
        """Send a request; the answer, up to `most` bytes."""


class Transport(Protocol):
    """The road to one repository. Any thread may use it."""

    def talk(self, service: Service) -> AbstractContextManager[Talk]:
        """A conversation, which ends with the block.

        Raises UnreachableError, RemoteUnavailableError, RemoteRefusedError, RepositoryNotFoundError.
        """
