"""What Git clients elsewhere need from the place where the repositories lie: a port of its own, and its records."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from app.stores.errors import StoreError
from app.stores.ports import Repository


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """What a push wants of one ref, by its whole name ("refs/heads/main"): from one id to another; None is no ref."""

    name: str
    old: str | None
    new: str | None


class Incoming(Protocol):
    """What a push brought: whole, checked, and seen by nobody else. Every call blocks."""

    @property
    def repository(self) -> Repository:
        """The repository as it would be with it. Only to be read."""

    def land(self, updates: Sequence[RefUpdate]) -> Mapping[str, StoreError | None]:
        """Keep the objects and move the refs, each by compare-and-swap; durable on return.

        Answers for each name why it was left where it is: RefMovedError, RefConflictError, RepositoryBusyError; or
        None. When none can be moved, no object is kept. Raises StoreError when the disk fails.
        """


class GitService(Protocol):
    """Hosted repositories as Git clients elsewhere see them, by checked project names."""

    async def advertise(self, name: str, protocol: str) -> bytes:
        """What there is to fetch, in a version of the protocol ("version=2", or "" for the oldest)."""

    def fetch(
        self, name: str, protocol: str, request: BinaryIO
    ) -> AbstractAsyncContextManager[AsyncGenerator[bytes, None]]:
        """The answer to a request for objects, part by part. Raises ServiceBusyError, RepositoryNotFoundError."""

    def draft(self, *, pushing: bool) -> AbstractAsyncContextManager[BinaryIO]:
        """A new file for what a client sends, on the disk of the repositories, gone at the end of the block.

        There are so many at a time, for pushes and for all else. Raises ServiceBusyError.
        """

    def full(self) -> bool:
        """Blocking. Whether so little of that disk is left that nothing more is to be taken in."""

    def refs(self, name: str) -> tuple[str, Mapping[str, str]]:
        """Blocking. The branch HEAD names, and every branch and tag by its whole name; tags are not peeled."""

    def incoming(self, name: str, updates: Sequence[RefUpdate], pack: BinaryIO) -> AbstractContextManager[Incoming]:
        """Blocking. What is left to read of `pack`, checked: it lacks nothing that the refs would need.

        What did not land is gone at the end of the block. Raises PackRefusedError, RepositoryNotFoundError.
        """
