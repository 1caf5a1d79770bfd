"""Manifests: how the one at a commit stands, and which one is served for it."""

from collections.abc import Sequence

from app.registry.manifest import Problem
from app.registry.model import Commit, ManifestAt, ManifestState, Project
from app.resolvers import commits
from app.resolvers.context import Context


async def at_commit(context: Context, commit: Commit) -> ManifestAt:
    """How the manifest at a commit stands."""
    return await context.registry.history.manifest_at(commit)


async def served(context: Context, project: Project, at: ManifestAt) -> Commit | None:
    """The commit whose manifest is served, or None."""
    return await commits.get(context, project, at.served) if at.served else None


async def problems(context: Context, project: Project, at: ManifestAt) -> Sequence[Problem]:
    """What is wrong with a manifest: as a whole when it is broken, with single entries otherwise."""
    if at.state is ManifestState.BROKEN:
        return at.problems
    return (await context.registry.manifests.get(project, at.blob)).problems
