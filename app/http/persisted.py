"""Documents that a client sent once and names by their sha-256 from then on: the `persistedQuery` of Apollo clients."""

import hashlib
from collections.abc import Callable

from app.http.body import GraphQLRequest
from app.http.engine import Operation
from app.http.errors import Code, Refusal
from app.registry.trail import about

ROOM = 4 * 1024 * 1024
"""Characters of documents that are remembered. Beyond it the one that was not asked for longest is forgotten."""
NOT_FOUND = "PersistedQueryNotFound"
"""The message that makes clients send the document: some compare it and look at no code."""


class PersistedDocuments:
    """What this process remembers, before what prepares operations. What another replica was told is not known here."""

    def __init__(self, prepare: Callable[[str, str | None], Operation], room: int = ROOM) -> None:
        self._prepare = prepare
        self._room = room
        self._size = 0
        self._documents: dict[str, str] = {}  # by digest, the one asked for last at the end

    def prepare(self, asked: GraphQLRequest) -> Operation:
        """The operation to run. A document that came with its digest is remembered, if it is valid. Raises Refusal."""
        query = self._query(asked)
        operation = self._prepare(query, asked.operation_name)
        about(operation.about)
        if asked.digest:
            self._remember(asked.digest, query)
        return operation

    def _query(self, asked: GraphQLRequest) -> str:
        if asked.query is None:
            if asked.digest not in self._documents:
                raise Refusal(Code.PERSISTED_QUERY_NOT_FOUND, NOT_FOUND)
            return self._documents[asked.digest]
        if asked.digest and asked.digest != _digest(asked.query):
            raise Refusal(Code.BAD_REQUEST, "The sha256Hash is not that of the query; send the query's own.")
        return asked.query

    def _remember(self, digest: str, query: str) -> None:
        if self._documents.pop(digest, None) is None:
            self._size += len(query)
        self._documents[digest] = query
        while self._size > self._room:
            self._size -= len(self._documents.pop(next(iter(self._documents))))


def _digest(query: str) -> str:
    return hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()
