"""What one operation knows: the registry, who asks, and what the answer rests on."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from app.registry.branches import Branches
from app.registry.model import Actor, Project
from app.registry.near import Near
from app.registry.registry import Registry
from app.resolvers.footing import Footing
from app.resolvers.limits import Limits


@dataclass(frozen=True, slots=True)
class Context:
    """Made anew for every operation. A `strong` one asks where branches stand, however well that seems known.

    Equal ones get the same answers to an event.
    """

    registry: Registry
    caller: Actor
    limits: Limits
    strong: bool = field(default=False, compare=False)
    footing: Footing = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "footing", Footing(self.registry))  # the one way into a frozen dataclass

    @property
    def who(self) -> Hashable:
        """Equal only for callers to whom everything is the same."""
        return self.caller

    def branches(self, project: Project) -> Branches | Near:
        """Where the branches of a project are looked up; the answer rests on them."""
        self.footing.on_branches(project)
        return self.registry.branches if self.strong else self.registry.near

    def may_write(self, project: Project) -> bool:  # noqa: ARG002 (what decides once there are several callers)
        """Whether the caller may change a project. Without authentication there is one caller, who owns the server."""
        return True
