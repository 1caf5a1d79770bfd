"""Commits: one, those of a list, and what they changed."""

from app.registry.errors import NotFoundError, Subject
from app.registry.model import Artifact, Branch, Change, Commit, Project
from app.resolvers.context import Context
from app.resolvers.paging import Page, Request, window
from app.resolvers.paging import page as page_of


async def get(context: Context, project: Project, oid: str) -> Commit:
    """A commit that is known to exist. Raises NotFoundError when a forced push and a clean-up took it since."""
    found = await context.registry.history.commit(project, oid)
    if found is None:
        raise NotFoundError(Subject.COMMIT, oid)
    return found


async def find(context: Context, project: Project, oid: str) -> Commit | None:
    """A commit by its id, or None."""
    context.footing.on_more()
    return await context.registry.history.commit(project, oid)


async def at(context: Context, project: Project, revision: str) -> Commit | None:
    """The commit a revision names, or None."""
    context.footing.on_more()
    return await context.registry.history.at(project, revision)


async def pair(context: Context, project: Project, base: str, head: str) -> tuple[Commit, Commit] | None:
    """Two commits to compare; None when either revision names none."""
    one, other = await at(context, project, base), await at(context, project, head)
    return (one, other) if one and other else None


async def of_change(context: Context, change: Change) -> Commit:
    """The commit that made a change."""
    side = change.after or change.before
    if side is None:
        raise NotFoundError(Subject.COMMIT, change.commit)
    return await get(context, side.project, change.commit)


async def of_branch(context: Context, branch: Branch, first: int | None, after: str | None) -> Page[Commit]:
    """The commits that changed a branch's manifest, newest first."""
    request = Request(("history", branch.project.name, branch.name), first, after, context.limits.page_size)
    found = await context.registry.history.of_branch(branch, _start(request), request.size() + 1)
    return window(request, found, lambda one: (one.oid,))


async def of_artifact(context: Context, artifact: Artifact, first: int | None, after: str | None) -> Page[Change]:
    """The changes of one entry up to its commit, newest first."""
    scope = ("artifact history", artifact.project.name, artifact.name)
    request = Request(scope, first, after, context.limits.page_size)
    found = await context.registry.history.of_artifact(artifact, _start(request), request.size() + 1)
    return window(request, found, lambda one: (one.commit,))


async def last_change(context: Context, artifact: Artifact) -> Change | None:
    """The newest change of one entry up to its commit."""
    return next(iter(await context.registry.history.of_artifact(artifact, None, 1)), None)


async def changes(context: Context, commit: Commit, first: int | None, after: str | None) -> Page[Change]:
    """What a commit did, by entry."""
    request = Request(("changes", commit.project.name, commit.oid), first, after, context.limits.page_size)
    return page_of(request, await context.registry.history.changes(commit), lambda one: (one.name,))


async def compared(context: Context, base: Commit, head: Commit, first: int | None, after: str | None) -> Page[Change]:
    """What differs between two commits, by entry."""
    request = Request(("comparison", base.project.name, base.oid, head.oid), first, after, context.limits.page_size)
    return page_of(request, await context.registry.history.comparison(base, head), lambda one: (one.name,))


def _start(request: Request) -> str | None:
    start = request.start()
    return str(start[0]) if start else None
