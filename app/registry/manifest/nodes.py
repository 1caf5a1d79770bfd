"""The part of a manifest that is being edited, as a tree of places on the page. Values are not its business."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml
from yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent

from app.registry.manifest.composer import Event, Span, content_end

_ENDS = (MappingEndEvent, SequenceEndEvent)


@dataclass(slots=True)
class Node:
    """A value between `start` and `end` (without the line break that ends it). `members` is None for a scalar."""

    start: int
    end: int
    flow: bool = False
    block_scalar: bool = False
    members: list["Member"] | None = None
    anchors: set[str] = field(default_factory=set)
    aliases: set[str] = field(default_factory=set)

    @property
    def is_mapping(self) -> bool:
        """Whether it holds pairs; false for lists and scalars."""
        return bool(self.members) and all(member.key is not None for member in self.members or ())


@dataclass(slots=True)
class Member:
    """A pair of a mapping, or an item of a list (`key` is None and its places are those of the value)."""

    key: str | None
    start: int
    key_end: int
    value: Node

    @classmethod
    def of(cls, span: Span) -> "Member":
        """A member of which nothing but its places is known."""
        return cls(span.key, span.place.offset, span.key_end, Node(span.start, span.end))


class _Reader:
    def __init__(self, text: str, start: int, stop: int) -> None:
        self._text = text[start:stop]
        self._shift = start
        self._events: Iterator[Event] = iter(yaml.parse(self._text, Loader=yaml.CSafeLoader))
        self._end = 0

    def root(self) -> Node:
        next(self._events)
        next(self._events)
        return self._node(next(self._events))

    def _node(self, event: Event) -> Node:
        node = Node(event.start_mark.index + self._shift, 0)
        kind = type(event)
        if kind is AliasEvent:
            node.aliases.add(event.anchor)
            self._end = event.end_mark.index
        elif kind is ScalarEvent:
            self._end = content_end(self._text, event, self._end)
            node.block_scalar = event.style in {"|", ">"}
        else:
            node.flow = bool(event.flow_style)
            self._fill(node, event)
        if kind is not AliasEvent and event.anchor:
            node.anchors.add(event.anchor)
        node.end = self._end + self._shift
        node.start = min(node.start, node.end)
        return node

    def _fill(self, node: Node, start: Event) -> None:
        node.members = []
        while type(event := next(self._events)) not in _ENDS:
            place = event.start_mark.index + self._shift
            if isinstance(start, MappingStartEvent):
                key = self._node(event)
                value = self._node(next(self._events))
                member = Member(event.value, place, key.end, value)
                node.anchors |= key.anchors
            else:
                value = self._node(event)
                member = Member(None, place, place, value)
            node.members.append(member)
            node.anchors |= value.anchors
            node.aliases |= value.aliases
        if node.flow:
            self._end = event.end_mark.index


def compose(text: str, start: int, stop: int) -> Node:
    """The node that `text[start:stop]` is by itself; places count from the beginning of `text`. Raises YAMLError."""
    return _Reader(text, start, stop).root()
