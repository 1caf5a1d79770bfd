"""What one operation knows: the registry, and who asks."""

from dataclasses import dataclass

from app.registry.model import Actor, Project
from app.registry.registry import Registry
from app.resolvers.limits import Limits


@dataclass(frozen=True, slots=True)
class Context:
    """Made anew for every operation."""

    registry: Registry
    caller: Actor
    limits: Limits

    def may_write(self, project: Project) -> bool:  # noqa: ARG002 (what decides once there are several callers)
        """Whether the caller may change a project. Without authentication there is one caller, who owns the server."""
        return True
