"""Values of the registry as the types that show them."""

from app.registry import model
from app.schema.artifact import Artifact
from app.schema.branch import Branch
from app.schema.history import Commit
from app.schema.node import Node
from app.schema.project import Project


def node_view(value: model.Project | model.Branch | model.Commit | model.Artifact | None) -> Node | None:
    """Whatever has an id, as callers see it."""
    match value:
        case model.Project():
            return Project(value=value)
        case model.Branch():
            return Branch(value=value)
        case model.Commit():
            return Commit(value=value)
        case model.Artifact():
            return Artifact(value=value)
    return None
