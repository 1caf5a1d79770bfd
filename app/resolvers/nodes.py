"""Nodes: values found again by what their ids name."""

from collections.abc import Sequence

from app.registry.model import Artifact, Branch, Commit, Project
from app.resolvers import artifacts, branches, commits
from app.resolvers.context import Context


async def find(context: Context, key: Sequence[str]) -> Project | Branch | Commit | Artifact | None:
    """The value a node's key names, or None. A key is the type's name, then what names the value."""
    match key:
        case ["Project", project]:
            return context.project(project)
        case ["Branch", project, name] if found := context.project(project):
            return await branches.get(context, found, name)
        case ["Commit", project, oid] if found := context.project(project):
            return await commits.find(context, found, oid)
        case ["Artifact", project, oid, name] if found := context.project(project):
            commit = await commits.find(context, found, oid)
            return await artifacts.at_commit(context, commit, name) if commit else None
    return None
