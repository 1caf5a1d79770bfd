"""Branches: finding, listing, making and deleting them."""

from app.registry.access.identity import Role
from app.registry.model import Branch, Project
from app.resolvers.context import Context
from app.resolvers.paging import Page, Request
from app.resolvers.paging import page as page_of


async def get(context: Context, project: Project, name: str) -> Branch | None:
    """One branch, or None."""
    return _seen(context, await context.branches(project).get(project, name))


async def default(context: Context, project: Project) -> Branch | None:
    """The branch HEAD names, or None while it does not exist."""
    return _seen(context, await context.branches(project).default(project))


async def page(
    context: Context, project: Project, first: int | None, after: str | None, prefix: str | None
) -> Page[Branch]:
    """The branches of a project, by name."""
    found = await context.branches(project).list(project)
    if prefix:
        found = [one for one in found if one.name.startswith(prefix)]
    request = Request(("branches", project.name, prefix), first, after, context.limits.page_size)
    return page_of(request, found, lambda one: (one.name,))


async def create(context: Context, project_name: str, name: str, revision: str) -> Branch:
    """A new branch at a revision."""
    project = context.require(project_name, Role.WRITER, name)
    return await context.registry.branching.create(project, name, revision)


async def delete(context: Context, project_name: str, name: str, expected: str | None) -> tuple[Project, str]:
    """Delete a branch; answers its project and where it was."""
    project = context.require(project_name, Role.WRITER, name)
    return project, await context.registry.branching.delete(project, name, expected)


def _seen(context: Context, found: Branch | None) -> Branch | None:
    """A branch that is not there may come any moment: of such ones Git is asked each time."""
    if found is None:
        context.footing.on_more()
    return found
