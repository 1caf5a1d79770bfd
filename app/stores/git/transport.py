"""How a Git service elsewhere is spoken to: what the two roads there, HTTPS and SSH, have in common."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from dulwich.errors import GitProtocolError

from app.stores.errors import RemoteUnavailableError

Service = Literal["git-upload-pack", "git-receive-pack"]


class UnreachableError(RemoteUnavailableError):
    """There was no connection: whatever was to be sent did surely not arrive."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server elsewhere may take to be there, and to say the next thing: seconds."""

    connect: float = 5.0
    silence: float = 30.0


class Reader:
    """What a server answers, in exact portions: at most `most` bytes of it are taken."""

    def __init__(self, pull: Callable[[], bytes], most: int) -> None:
        self._pull = pull
        self._left = most
        self._held = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, fewer only at the end. Raises GitProtocolError when there are too many."""
        while len(self._held) - self._at < size and (more := self._pull()):
            self._left -= len(more)
            if self._left < 0:
                raise GitProtocolError("the answer is longer than what is taken")
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
