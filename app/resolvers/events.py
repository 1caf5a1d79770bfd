"""Events: those that were, and those that come."""

from collections.abc import AsyncGenerator

from app.registry.errors import InvalidInputError
from app.registry.feed import EventFilter, Place, place_of
from app.registry.model import Event, Project
from app.resolvers.context import Context
from app.resolvers.paging import Edge, Page, Request, decode, encode, window

SCOPE = ("events",)


def page(context: Context, project: Project, first: int | None, after: str | None) -> Page[Event]:
    """The events of a project, oldest first."""
    request = Request(SCOPE, first, after, context.limits.page_size)
    found = [event for event in context.registry.feed.since(_place(after)) if event.project.name == project.name]
    return window(request, found, place_of)


async def follow(context: Context, wanted: EventFilter | None, after: str | None) -> AsyncGenerator[Edge[Event], None]:
    """The events from now on, or from just after a cursor."""
    test = (wanted or EventFilter()).test()
    async for event in context.registry.feed.follow(_place(after), test):
        yield Edge(encode(SCOPE, place_of(event)), event)


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    match decode(SCOPE, cursor):
        case (str(project), str(branch), str(commit), int(sequence)):
            return project, branch, commit, sequence
    raise InvalidInputError.of("after", "This is no cursor of an event. Leave it out to begin now.")
