"""What `access.yml` says: which tokens there are, who has which role where, and which branches are protected."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate

from app.registry.access.identity import Identity, Role
from app.registry.model import Actor

TOKEN = "mlr_"  # noqa: S105 - what each begins with
"""How the text of an API token begins."""
EVERYTHING = "*"
"""The pattern of every project, and the name of all of them together: no project is called so."""
ANYONE = "anyone"
"""The name of everybody who has signed in."""


class Globs:
    """Patterns of names: `*` stands for any characters, slashes too, `?` for one, `[a-z]` for one of those.

    EVERYTHING is in those alone that have it, however many names the others match.
    """

    __slots__ = ("_match", "patterns")

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._match = re.compile("|".join(translate(one) for one in self.patterns)).match

    def __contains__(self, name: str) -> bool:
        if name == EVERYTHING:
            return name in self.patterns
        return bool(self.patterns) and self._match(name) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Globs) and self.patterns == other.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)


def digest_of(text: str) -> str:
    """What is kept of a token: its sha-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Token:
    """An API token. Its `digest` is the sha-256 of its text in hex, `expires_at` seconds since 1970."""

    name: str
    digest: str
    actor: Actor
    expires_at: float
    identity: Identity = field(init=False, compare=False)
    """Who shows it."""

    def __post_init__(self) -> None:
        identity = Identity(self.actor, frozenset({f"token:{self.name}", ANYONE}), self.expires_at)
        object.__setattr__(self, "identity", identity)  # the one way into a frozen dataclass


@dataclass(frozen=True, slots=True)
class Grant:
    """A role for some, by any of their names, in the projects that match."""

    who: frozenset[str]
    role: Role
    projects: Globs


@dataclass(frozen=True, slots=True)
class Protection:
    """Branches that take a maintainer to write, in the projects that match. A `closed` one takes Git: not the API."""

    projects: Globs
    branches: Globs
    closed: bool = False


@dataclass(frozen=True)
class Policy:
    """One version of the file; the empty one lets nobody do anything. A token's scope is a grant to it."""

    tokens: Mapping[str, Token] = field(default_factory=dict)
    """By digest."""
    grants: tuple[Grant, ...] = ()
    protections: tuple[Protection, ...] = ()

    def role(self, who: Identity, project: str) -> Role:
        """What somebody may do with a project, whether it exists or not."""
        roles = (one.role for one in self.grants if not who.names.isdisjoint(one.who) and project in one.projects)
        return max(roles, default=Role.NOBODY)

    def protection(self, project: str, branch: str) -> Protection | None:
        """What protects a branch, the strictest if several do."""
        found = [one for one in self.protections if project in one.projects and branch in one.branches]
        return max(found, key=lambda one: one.closed, default=None)
