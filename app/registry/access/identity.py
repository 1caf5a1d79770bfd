"""Who asks, and what a role lets them do."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import IntEnum

from app.registry.model import Actor


class Role(IntEnum):
    """What somebody may do with a project. Each may do what the ones before it may."""

    NOBODY = 0
    """Nothing: the project is not there for them."""
    READER = 1
    """See it, fetch its bytes, clone it, hear of its events."""
    WRITER = 2
    """Commit to branches that are not protected, make and delete them, send bytes."""
    MAINTAINER = 3
    """Write protected branches as well."""
    ADMIN = 4
    """Create it."""

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who has shown who they are. Equal ones may do the same.

    `names` are those that grants know them by: `token:ci`, `user:ada@example.org`, `sub:1234`, `group:search`,
    `anyone`; `expires_at`, in seconds since 1970, is when they have to show it anew.
    """

    actor: Actor
    names: frozenset[str]
    expires_at: float | None = None
    label: str = field(init=False, compare=False)
    """What the log calls them: `token:ci`, `user:ada@example.org`, or their address where they need not sign in."""

    def __post_init__(self) -> None:
        named = (name for name in self.names if name.startswith(("token:", "user:", "sub:")))
        object.__setattr__(self, "label", next(named, self.actor.email))  # the one way into a frozen dataclass

    @property
    def who(self) -> Hashable:
        """The same for whatever one caller shows, however long each is good for."""
        return self.actor, self.names
