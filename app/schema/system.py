"""The registry itself and who asks it, as callers see them."""

from app import __version__
from app.registry import model
from app.resolvers import events
from app.resolvers.limits import Limits as Limited
from app.schema import described
from app.schema.info import Info
from app.schema.scalars import BigInt


@described.type_
class Limits:
    """What one request may ask for. Anything beyond is refused with an error that says so.

    page_size: Elements of one page.
    file_size: Bytes of one stored object.
    commit_changes: Changes of one commit.
    query_depth: Levels of a document, fragments expanded.
    query_tokens: Tokens of a document.
    """

    page_size: int
    file_size: BigInt
    commit_changes: int
    query_depth: int
    query_tokens: int


@described.type_
class Registry:
    """This server."""

    @described.field
    def version(self) -> str:
        """The version it runs."""
        return __version__

    @described.field
    def limits(self, info: Info) -> Limits:
        """What one request may ask for. Costs nothing."""
        limits: Limited = info.context.limits
        return Limits(
            page_size=limits.page_size,
            file_size=BigInt(limits.file_size),
            commit_changes=limits.commit_changes,
            query_depth=limits.query_depth,
            query_tokens=limits.query_tokens,
        )

    @described.field
    def event_cursor(self, info: Info) -> str | None:
        """Where events stand now: a subscription `after` it misses nothing of what comes, whenever it connects.

        Null before the first event. Costs nothing.
        """
        return events.now(info.context)


@described.type_
class Actor:
    """Somebody who reads or writes, as Git names them.

    name: The name.
    email: The address.
    """

    name: str
    email: str

    @classmethod
    def of(cls, actor: model.Actor) -> "Actor":
        return cls(name=actor.name, email=actor.email)


@described.input_
class ActorInput:
    """Who wrote a change, when that is not the caller.

    name: The name.
    email: The address.
    """

    name: str
    email: str

    def actor(self) -> model.Actor:
        return model.Actor(self.name, self.email)
