"""Projects: listing, making and bringing them up to date."""

from datetime import UTC, datetime

from app.registry.access.identity import Role
from app.registry.access.policy import EVERYTHING
from app.registry.model import Project, SyncStatus
from app.resolvers.context import Context
from app.resolvers.paging import Page, Request
from app.resolvers.paging import page as page_of


def get(context: Context, name: str) -> Project | None:
    """One project, or None."""
    return context.project(name)


def page(context: Context, first: int | None, after: str | None, prefix: str | None) -> Page[Project]:
    """The projects, by name."""
    found = context.projects()
    if prefix:
        found = [one for one in found if one.name.startswith(prefix)]
    request = Request(("projects", prefix), first, after, context.limits.page_size)
    return page_of(request, found, lambda one: (one.name,))


async def create(context: Context, project: Project, default_branch: str) -> Project:
    """A new project, made by the caller. The registry's own credentials open what lies elsewhere: that takes more."""
    context.demand(project.name, Role.ADMIN)
    if project.remote_url is not None:
        context.demand(EVERYTHING, Role.ADMIN)
    return await context.registry.create_project(project, default_branch, context.caller)


async def synchronise(context: Context, name: str) -> Project:
    """Compare a project with its Git now."""
    return await context.registry.synchronise(context.require(name, Role.WRITER))


def sync_status(context: Context, project: Project) -> SyncStatus:
    """How what is served stands to Git."""
    return context.registry.sync.status(project)


def seconds_since(moment: datetime | None) -> float | None:
    """The age of a moment; None for one that never was."""
    return (datetime.now(UTC) - moment).total_seconds() if moment else None
