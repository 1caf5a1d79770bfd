"""Answers to events, made once for all who asked alike: executed and encoded for the first, handed to the others.

An answer follows from the event, the selection, the variables the selection uses and the context. The arguments of the
subscription's own field say which events come and from where on; they do not shape an answer, so those who resume at
different places, or filter differently, share what they have in common.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from inspect import isawaitable
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, Node, OperationDefinitionNode, VariableNode

ROOM = 8 * 1024 * 1024
"""Bytes of answers that are kept."""
KEPT_SECONDS = 5.0
"""For how long an answer is good: parts of it, as the state of bytes or the expiry of a link, are of the moment."""


class Audience:
    """Those who asked the same thing, and so get the same answer to the same event."""

    __slots__ = ("__weakref__",)


Key: TypeAlias = tuple[Audience, Hashable]


class Answers:
    """Encoded answers of the last moment. Belongs to one event loop. Events are hashable, and equal ones the same."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._size = 0
        self._audiences: WeakValueDictionary[Hashable, Audience] = WeakValueDictionary()
        self._kept: dict[Key, tuple[float, bytes]] = {}  # until when, and what; the oldest first
        self._making: dict[Key, asyncio.Future[bytes]] = {}

    def audience(self, asked: Hashable) -> Audience:
        """Whoever asked this, as long as somebody listens."""
        return self._audiences.setdefault(asked, Audience())

    async def to(self, audience: Audience, event: Hashable, make: Callable[[], bytes | Awaitable[bytes]]) -> bytes:
        """The answer of an audience to an event: the one there is, or the one that is being made, or a new one."""
        key = audience, event
        until, answer = self._kept.get(key, (0.0, b""))
        if asyncio.get_running_loop().time() < until:
            return answer
        if key not in self._making:
            made = make()
            if not isawaitable(made):
                return self._keep(key, made)
            self._making[key] = asyncio.ensure_future(self._finish(key, made))
        return await asyncio.shield(self._making[key])  # whoever leaves must not end it for the others

    async def _finish(self, key: Key, making: Awaitable[bytes]) -> bytes:
        try:
            return self._keep(key, await making)
        finally:
            del self._making[key]

    def _keep(self, key: Key, answer: bytes) -> bytes:
        now = asyncio.get_running_loop().time()
        self._drop(key)
        self._kept[key] = now + KEPT_SECONDS, answer
        self._size += len(answer)
        while self._kept and (self._size > self._room or next(iter(self._kept.values()))[0] < now):
            self._drop(next(iter(self._kept)))
        return answer

    def _drop(self, key: Key) -> None:
        _, answer = self._kept.pop(key, (0.0, b""))
        self._size -= len(answer)


def shape(names: frozenset[str], variables: Mapping[str, Any]) -> str:
    """What the given variables say that shapes an answer: equal texts for equal values."""
    return json.dumps({name: variables[name] for name in names & variables.keys()}, sort_keys=True)


def shaping(document: DocumentNode, root: str) -> frozenset[str]:
    """The variables that may shape an answer: all but those used as arguments of fields of the type `root` alone."""
    found: set[str] = set()
    for definition in document.definitions:
        of_root = isinstance(definition, OperationDefinitionNode) or (
            isinstance(definition, FragmentDefinitionNode) and definition.type_condition.name.value == root
        )
        found.update(_used(definition, of_root=of_root))
    return frozenset(found)


def _used(node: Node, *, of_root: bool) -> Iterator[str]:
    if isinstance(node, VariableNode):
        yield node.name.value
    of_root_itself = of_root and isinstance(node, FieldNode)
    for key in node.keys:
        if key == "variable_definitions" or (of_root_itself and key == "arguments"):
            continue
        inner = getattr(node, key)
        for child in inner if isinstance(inner, list | tuple) else [inner]:
            if isinstance(child, Node):
                yield from _used(child, of_root=of_root and not of_root_itself)
