"""API tokens: made and revoked by a commit to the catalogue, which keeps their hashes alone."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.registry import audit
from app.registry.access.edit import with_token, without_token
from app.registry.access.file import read_policy
from app.registry.access.identity import Role
from app.registry.access.page import LIMITS, PATH, PolicyError
from app.registry.access.policy import TOKEN, Policy, Token, digest_of
from app.registry.catalogue import BRANCH, commit_file
from app.registry.messages import with_trailers
from app.registry.model import SHA256, Actor
from app.stores.errors import BlobTooLargeError, PathConflictError
from app.stores.ports import Repository

RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is for. `author` is who its commits are by; without one they are by the token's name."""

    role: Role
    projects: tuple[str, ...]
    expires: datetime
    author: Actor | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """As they stand in the file."""
        expires = self.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields: dict[str, Any] = {"role": str(self.role), "projects": list(self.projects), "expires": expires}
        if self.author:
            fields["author"] = f"{self.author.name} <{self.author.email}>"
        return fields


class TokenError(Exception):
    """There is such a token already, or there is none."""


class Tokens:
    """The tokens of a catalogue. Every call blocks, and raises PolicyError when `access.yml` is broken."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def policy(self) -> Policy:
        """What the file says now."""
        self._repository.fetch()
        return read_policy(self._text(self._repository.head(BRANCH)))

    def create(self, name: str, scope: Scope, actor: Actor) -> str:
        """The text of a new token, which is kept nowhere. Raises TokenError, ContentionError."""
        text = TOKEN + secrets.token_urlsafe(RANDOM_BYTES)
        fields = {"hash": SHA256 + digest_of(text), **scope.fields}

        def create(data: bytes) -> bytes:
            if name in _by_name(data):
                raise TokenError(f"There is a token {name!r} already. Choose another name, or revoke that one first.")
            return with_token(data, name, fields)

        self._commit(create, f"Create token {name}", actor)
        audit.said("create token", token=name, who=actor.email, **scope.fields)
        return text

    def revoke(self, name: str, actor: Actor) -> None:
        """Take a token out. Raises TokenError, ContentionError."""

        def revoke(data: bytes) -> bytes:
            if name not in _by_name(data):
                raise TokenError(f"There is no token {name!r}. `ml-registry token list` shows those there are.")
            return without_token(data, name)

        self._commit(revoke, f"Revoke token {name}", actor)
        audit.said("revoke token", token=name, who=actor.email)

    def _commit(self, change: Callable[[bytes], bytes], message: str, actor: Actor) -> None:
        self._repository.fetch()
        changed = with_trailers(message, actor)
        try:
            commit_file(self._repository, PATH, lambda head: change(self._text(head)), changed, actor)
        except PathConflictError as error:
            raise _not_a_file() from error

    def _text(self, head: str | None) -> bytes:
        found = self._repository.file(head, PATH) if head else None
        if found is None:
            return b""
        if found.kind != "file":
            raise _not_a_file()
        try:
            return self._repository.blob(found.oid, LIMITS.bytes)
        except BlobTooLargeError as error:
            raise PolicyError(1, f"The file has at most {LIMITS.bytes} bytes; make it smaller with git.") from error


def _by_name(data: bytes) -> Mapping[str, Token]:
    return {token.name: token for token in read_policy(data).tokens.values()}


def _not_a_file() -> PolicyError:
    return PolicyError(1, "This is no plain file; replace it by one with git.")
