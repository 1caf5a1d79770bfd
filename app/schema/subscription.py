"""What can be listened to."""

from collections.abc import AsyncGenerator

from app.resolvers import events
from app.schema import described
from app.schema.events import EventEdge, EventFilter
from app.schema.info import Info


@described.type_
class Subscription:
    """Everything that can be listened to, over graphql-transport-ws or as Server-Sent Events."""

    @described.subscription
    async def events(
        self,
        info: Info,
        filter: EventFilter | None = None,  # noqa: A002 (the schema's word)
        after: str | None = None,
    ) -> AsyncGenerator[EventEdge, None]:
        """From now on, or from just after a cursor: the same edges, ids and order that Project.events pages through.

        filter: Only events that pass.
        after: The cursor of the last event you handled.
        """
        async for edge in events.follow(info.context, filter.wanted() if filter else None, after):
            yield EventEdge(value=edge)
