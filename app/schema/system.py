"""The registry itself and who asks it, as callers see them."""

from dataclasses import asdict

from app import __version__
from app.registry import model
from app.resolvers import events
from app.resolvers.limits import Limits as Limited
from app.schema import described
from app.schema.info import Info
from app.schema.scalars import BigInt


@described.type_
class Limits:
    """What one request, one caller and all together may ask for. Anything beyond is refused with an error that says so.

    page_size: Elements of one page.
    file_size: Bytes of one stored object.
    commit_changes: Changes of one commit.
    query_depth: Levels of a document, fragments expanded.
    query_tokens: Tokens of a document.
    request_size: Bytes of a request's body, or characters of a message on a socket.
    query_length: Characters of a document.
    query_fields: Fields of a document, fragments expanded.
    query_root_fields: Fields at the root of an operation, fragments expanded.
    query_aliases: Aliases of a document, fragments expanded.
    query_directives: Directives of a document, fragments expanded.
    query_cost: Fields an answer may hold, as the page sizes of a document multiply.
    input_values: Values in the variables of a request, not counting those inside of a `JSON`.
    errors: Errors one answer lists; there may have been more.
    operation_seconds: Seconds a query or a mutation may take.
    waiting_writers: Commits that may wait for one branch.
    mutations_per_second: Mutations a second one caller may go on with, each field of an operation counted.
    mutations_at_once: Mutations one caller may send at once after a pause.
    presigns_per_second: Presigned requests a second one caller may go on asking for.
    presigns_at_once: Presigned requests one caller may ask for at once after a pause.
    head_size: Bytes of the head of an HTTP request.
    head_seconds: Seconds until the head of an HTTP request has to be here.
    body_seconds: Seconds until the body of a GraphQL request has to be here.
    idle_seconds: Seconds a connection is kept for the next request.
    connections: Connections of all callers.
    sockets: Sockets and event streams of all callers.
    caller_sockets: Sockets and event streams of one caller.
    socket_operations: Operations one socket may have running.
    """

    page_size: int
    file_size: BigInt
    commit_changes: int
    query_depth: int
    query_tokens: int
    request_size: int
    query_length: int
    query_fields: int
    query_root_fields: int
    query_aliases: int
    query_directives: int
    query_cost: int
    input_values: int
    errors: int
    operation_seconds: float
    waiting_writers: int
    mutations_per_second: int
    mutations_at_once: int
    presigns_per_second: int
    presigns_at_once: int
    head_size: int
    head_seconds: float
    body_seconds: float
    idle_seconds: int
    connections: int
    sockets: int
    caller_sockets: int
    socket_operations: int

    @classmethod
    def of(cls, limits: Limited) -> "Limits":
        shown = asdict(limits)
        shown["file_size"] = BigInt(limits.file_size)
        for name in ("fields", "root_fields", "aliases", "directives", "cost"):
            shown[f"query_{name}"] = shown.pop(name)
        return cls(**shown)


@described.type_
class Registry:
    """This server."""

    @described.field
    def version(self) -> str:
        """The version it runs."""
        return __version__

    @described.field
    def limits(self, info: Info) -> Limits:
        """What one request, one caller and all together may ask for. Costs nothing."""
        return Limits.of(info.context.limits)

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
