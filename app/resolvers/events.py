"""Events: those that were, and those that come."""

from collections.abc import AsyncGenerator

from app.registry.errors import InvalidInputError
from app.registry.feed import EventFilter, Place, Told
from app.registry.model import Event, Project
from app.resolvers.context import Context
from app.resolvers.paging import Cursors, Edge, Page, Request, decode, window

SCOPE = ("events",)
CURSORS = Cursors(SCOPE)


async def page(context: Context, project: Project, first: int | None, after: str | None) -> Page[Event]:
    """The events of a project, oldest first."""
    request = Request(SCOPE, first, after, context.limits.page_size)
    found = await context.registry.telling.page(project, _place(after), request.size() + 1)
    return window(request, found, _key).map(lambda told: told.event)


def now(context: Context) -> str | None:
    """The cursor behind every event there was; None before the first."""
    place = context.registry.telling.now
    return cursor(place) if place else None


async def follow(context: Context, wanted: EventFilter | None, after: str | None) -> AsyncGenerator[Edge[Event], None]:
    """The events from now on, or from just after a cursor, of what the caller sees when each is told."""
    passes, sees = (wanted or EventFilter()).test(), context.sees

    def test(event: Event) -> bool:
        return sees(event.project.name) and passes(event)

    async for told in context.registry.telling.follow(_place(after), test):
        yield Edge(told.event, told.place, CURSORS)


def cursor(place: Place) -> str:
    """What names a place to callers."""
    return CURSORS.of(place)


def _key(told: Told) -> Place:
    return told.place


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    match decode(SCOPE, cursor):
        case (str(record), int(move), int(number)):
            return record, move, number
    raise InvalidInputError.of("after", "This is no cursor of an event. Leave it out to begin now.")
