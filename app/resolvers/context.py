"""What one operation knows: the registry, who asks and what they may, and what the answer rests on."""

import time
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from app.registry.access.identity import Identity, Role
from app.registry.access.rates import Rates
from app.registry.branches import Branches
from app.registry.errors import ForbiddenError, NotFoundError, Subject
from app.registry.model import Actor, Project
from app.registry.near import Near
from app.registry.registry import Registry
from app.registry.uploads import Upload
from app.resolvers.footing import Footing
from app.resolvers.limits import LIMITS, Limits


@dataclass(slots=True, unsafe_hash=True)  # nobody changes one; to freeze it would take longer than to make it
class Context:
    """Made anew for every operation. A `strong` one asks where branches stand, however well that seems known.

    Every project an operation is about comes from here, so that what a caller may not see is not there for them.
    Equal contexts get the same answers to an event.
    """

    registry: Registry
    identity: Identity
    limits: Limits
    strong: bool = field(default=False, compare=False)
    rates: Rates = field(default_factory=LIMITS.rates, compare=False)
    footing: Footing = field(init=False, compare=False)

    def __post_init__(self) -> None:
        self.footing = Footing(self.registry)

    @property
    def who(self) -> Hashable:
        """Equal only for callers to whom everything is the same."""
        return self.identity.who

    @property
    def caller(self) -> Actor:
        """Who asks, as Git names them."""
        return self.identity.actor

    def role(self, name: str) -> Role:
        """What the caller may do with a project, whether it exists or not."""
        return self.registry.access.role(self.identity, name)

    def sees(self, name: str) -> bool:
        """Whether the caller may know of a project."""
        return self.role(name) >= Role.READER

    def project(self, name: str) -> Project | None:
        """One project, or None."""
        found = self.registry.catalogue.get(name)
        return found if found and self.sees(name) else None

    def projects(self) -> Sequence[Project]:
        """Every project, in the order of their names."""
        return [one for one in self.registry.catalogue.projects.values() if self.sees(one.name)]

    def require(self, name: str, role: Role, branch: str | None = None) -> Project:
        """One project to do something with that takes a role, and to move a branch of.

        Raises NotFoundError, ForbiddenError.
        """
        project = self.project(name)
        if project is None:
            raise NotFoundError(Subject.PROJECT, name)
        self.demand(name, role)
        if branch is not None and (reason := self.registry.access.refusal(self.identity, name, branch)):
            raise ForbiddenError(reason)
        return project

    def demand(self, name: str, role: Role) -> None:
        """Raises ForbiddenError unless the caller has a role in a project, whether that exists or not."""
        if (has := self.role(name)) < role:
            raise ForbiddenError(f"This takes the role {role} in {name}; yours is {has}. Ask an admin to grant it.")

    def moves(self, project: Project, branch: str) -> bool:
        """Whether somebody who may write to a project may move a branch of it."""
        return self.registry.access.refusal(self.identity, project.name, branch) is None

    def branches(self, project: Project) -> Branches | Near:
        """Where the branches of a project are looked up; the answer rests on them."""
        self.footing.on_branches(project)
        return self.registry.branches if self.strong else self.registry.near

    def count_mutation(self) -> None:
        """Something is about to be changed. Raises RateLimitedError."""
        self.rates.mutations.take(self.who, time.monotonic())

    def count_presigns(self, count: int) -> None:
        """So many requests are about to be signed. Raises RateLimitedError."""
        self.rates.presigns.take(self.who, time.monotonic(), count)

    def count_uploads(self, uploads: Iterable[Upload]) -> None:
        """What was signed for uploads, which nobody knew before: it counts against the next."""
        self.rates.presigns.pay(self.who, time.monotonic(), sum(len(upload.requests) for upload in uploads))
