"""From YAML events to JSON values in one pass, with the places of things noted on the way.

Values and places are kept apart: values are plain dicts and lists, and what was seen of a collection is found by the
identity of its value.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from app.registry.manifest.model import JSON, Code, Limits, ManifestRefusedError, Problem
from app.registry.manifest.scalars import ScalarError, is_null, resolve

Event = Any  # the stubs let every mark of an event be None; a parser's events always have theirs

BREAKS = "\r\n\x85\u2028\u2029"
BREAK = re.compile("\r\n|[" + BREAKS + "]")
_LAST_BREAK = re.compile("(?:\r\n|[" + BREAKS + "])\\Z")
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_READABLE_ASCII = b"\t\n\r" + bytes(range(0x20, 0x7F))
_MOST_PROBLEMS = 20
_OUTLINED = 2
IDENTIFYING = frozenset({"dataObjectId", "name", "id"})


class Place(NamedTuple):
    """Where something begins: `offset` in characters, `line` and `column` from 0."""

    offset: int
    line: int
    column: int


class Span(NamedTuple):
    """A pair of a mapping or an item of a list: where it begins, where its key ends, where its value stands."""

    key: str | None
    place: Place
    key_end: int
    start: int
    end: int


@dataclass(slots=True)
class Outline:
    """What an outer collection looks like on the page."""

    flow: bool
    start: int
    end: int = 0
    spans: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class _Anchor:
    index: int
    value: JSON = None
    text: str | None = None
    open: bool = True
    height: int = 0
    nodes: int = 0
    characters: int = 0


class Composer:
    """One document. After `compose`: `root`, and what was seen of it."""

    def __init__(self, text: str, limits: Limits) -> None:
        self.root: JSON = None
        self.root_place = Place(0, 0, 0)
        self.root_end = 0
        self.stop = len(text)  # where an explicit `...` ends the document
        self.outlines: dict[int, Outline] = {}  # of the outer collections
        self.places: dict[int, dict[str, Place]] = {}  # of the keys of every mapping
        self.texts: dict[tuple[int, str], str] = {}  # what was written for every mapping's identifying keys
        self.links: list[tuple[int, int]] = []  # from an alias to its anchor
        self.nodes = 0
        self._text = text
        self._limits = limits
        self._events = _events(text)
        self._problems: list[Problem] = []
        self._anchors: dict[str, _Anchor] = {}
        self._repeated = self._characters = 0
        self._deepest = 0
        self._end = 0

    def compose(self) -> "Composer":
        """Read it all. Raises ManifestRefusedError with every problem found until there was no going on."""
        self._next()
        event = self._next()
        if isinstance(event, DocumentStartEvent):
            first = self._next()
            self.root = self._node(first, 0)
            self.root_place, self.root_end = _place(first), self._end
            last = self._next()
            if last.explicit:
                self.stop = last.start_mark.index
            event = self._next()
        if not isinstance(event, StreamEndEvent):
            self._stop(Code.SEVERAL_DOCUMENTS, "A file holds one YAML document; remove all but the first.", event)
        if self._problems:
            raise ManifestRefusedError(tuple(self._problems))
        return self

    def _next(self) -> Event:
        try:
            return next(self._events)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = f"This is not YAML: {error.problem or error.context}."
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise ManifestRefusedError((*self._problems, Problem(Code.SYNTAX, message, line, column)))

    def _node(self, event: Event, depth: int) -> JSON:
        self.nodes += 1
        if self.nodes > self._limits.nodes:
            self._stop(Code.TOO_MANY_NODES, f"A file has at most {self._limits.nodes} keys and values.", event)
        if type(event) is AliasEvent:
            return self._alias(event, depth)
        if event.tag is not None:
            self._refuse(Code.TAG, f"Tags are not read; remove {event.tag!r}.", event)
        if event.anchor is not None:
            return self._anchored(event, depth)
        return self._bare(event, depth)

    def _bare(self, event: Event, depth: int) -> JSON:
        if type(event) is ScalarEvent:
            return self._scalar(event)
        if depth >= self._limits.depth:
            self._stop(Code.TOO_DEEP, f"Values are nested at most {self._limits.depth} deep.", event)
        self._deepest = max(self._deepest, depth + 1)
        if type(event) is MappingStartEvent:
            return self._mapping(event, depth)
        return self._sequence(event, depth)

    def _scalar(self, event: Event) -> JSON:
        self._end = content_end(self._text, event, self._end)
        if not event.implicit[0]:
            return event.value
        try:
            return resolve(event.value)
        except ScalarError as error:
            self._refuse(error.code, str(error), event)
        return None

    def _mapping(self, start: Event, depth: int) -> JSON:
        values: dict[str, JSON] = {}
        places = self.places[id(values)] = {}
        outline = self._outline(values, start, depth)
        while type(event := self._next()) is not MappingEndEvent:
            key = self._key(event)
            place = _place(event)
            if key in values:
                first = places[key]
                self._refuse(Code.DUPLICATE_KEY, f"{key!r} stands on line {first.line + 1} already.", event)
            value_event = self._next()
            if key in IDENTIFYING:
                self._identify(values, key, value_event)
            places[key] = place
            key_end = self._end
            values[key] = self._node(value_event, depth + 1)
            if outline:
                outline.spans.append(Span(key, place, key_end, value_event.start_mark.index, self._end))
        self._close(event, start, outline)
        return values

    def _sequence(self, start: Event, depth: int) -> JSON:
        values: list[JSON] = []
        outline = self._outline(values, start, depth)
        while type(event := self._next()) is not SequenceEndEvent:
            values.append(self._node(event, depth + 1))
            if outline:
                index = event.start_mark.index
                outline.spans.append(Span(None, _place(event), index, index, self._end))
        self._close(event, start, outline)
        return values

    def _outline(self, values: JSON, start: Event, depth: int) -> Outline | None:
        if depth >= _OUTLINED:
            return None
        outline = self.outlines[id(values)] = Outline(bool(start.flow_style), start.start_mark.index)
        return outline

    def _close(self, event: Event, start: Event, outline: Outline | None) -> None:
        if start.flow_style:
            self._end = event.end_mark.index
        if outline:
            outline.end = self._end

    def _key(self, event: Event) -> str:
        self.nodes += 1
        kind = type(event)
        if kind is not ScalarEvent:
            self._stop(Code.KEY_NOT_TEXT, "A key is plain or quoted text, not a collection or an alias.", event)
        if event.tag is not None:
            self._refuse(Code.TAG, f"Tags are not read; remove {event.tag!r}.", event)
        key: str = event.value
        self._end = content_end(self._text, event, self._end)
        if key == "<<" and event.implicit[0]:
            self._refuse(Code.MERGE_KEY, "YAML 1.2 merges no mappings: write the keys out, or quote '<<'.", event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(event.start_mark.index, key, key, open=False, nodes=1)
        return key

    def _identify(self, values: JSON, key: str, event: Event) -> None:
        if type(event) is ScalarEvent and not (event.implicit[0] and is_null(event.value)):
            self.texts[id(values), key] = event.value
        elif type(event) is AliasEvent:
            anchor = self._anchors.get(event.anchor or "")
            if anchor and anchor.text is not None:
                self.texts[id(values), key] = anchor.text

    def _anchored(self, event: Event, depth: int) -> JSON:
        anchor = self._anchors[event.anchor] = _Anchor(event.start_mark.index)
        before, characters, deepest = self.nodes + self._repeated, self._characters, self._deepest
        self._deepest = depth
        anchor.value = self._bare(event, depth)
        if type(event) is ScalarEvent and not (event.implicit[0] and is_null(event.value)):
            anchor.text = event.value
        anchor.height = self._deepest - depth
        anchor.nodes = self.nodes + self._repeated - before + 1
        anchor.characters = self._end - anchor.index + self._characters - characters
        anchor.open = False
        self._deepest = max(self._deepest, deepest)
        return anchor.value

    def _alias(self, event: Event, depth: int) -> JSON:
        self._end = event.end_mark.index
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            self._stop(Code.UNDEFINED_ALIAS, f"No anchor &{event.anchor} stands before *{event.anchor}.", event)
        if anchor.open:
            self._stop(Code.CYCLE, f"*{event.anchor} stands inside what &{event.anchor} names.", event)
        if depth + anchor.height > self._limits.depth:
            self._stop(Code.TOO_DEEP, f"Values are nested at most {self._limits.depth} deep.", event)
        self._deepest = max(self._deepest, depth + anchor.height)
        self._repeated += anchor.nodes
        self._characters += anchor.characters
        if self.nodes + self._repeated > self._limits.expanded or self._characters > self._limits.bytes:
            self._stop(Code.ALIASES_TOO_LARGE, "Aliases repeat too much; write fewer of them.", event)
        self.links.append((event.start_mark.index, anchor.index))
        return anchor.value

    def _refuse(self, code: Code, message: str, event: Event) -> None:
        mark = event.start_mark
        self._problems.append(Problem(code, message, mark.line + 1, mark.column + 1))
        if len(self._problems) >= _MOST_PROBLEMS:
            raise ManifestRefusedError(tuple(self._problems))

    def _stop(self, code: Code, message: str, event: Event) -> NoReturn:
        self._refuse(code, message, event)
        raise ManifestRefusedError(tuple(self._problems))


def content_end(text: str, event: Event, previous: int) -> int:
    """Where a scalar's own text ends, the last line break of a block scalar left out. `previous` is the key's end."""
    start: int = event.start_mark.index
    end: int = event.end_mark.index
    if event.style in {"|", ">"}:
        own = text[start:end]
        keeps = "+" in BREAK.split(own, maxsplit=1)[0].partition("#")[0]
        return start + len(_LAST_BREAK.sub("", own) if keeps else own.rstrip(BREAKS))
    if start == end and text[start - 1 : start] not in (":", "-"):
        return previous  # nothing was written: the mark is that of whatever follows
    return end


def newline_of(text: str) -> str:
    """The line break a text uses: its first one."""
    match = re.search(r"\r\n|\n|\r", text)
    return match.group() if match else "\n"


def first_unreadable(text: str) -> Place | None:
    """The first character that YAML does not allow in a file."""
    if text.isascii() and not text.encode().translate(None, _READABLE_ASCII):
        return None  # by far the most texts, and by far the fastest way
    match = _UNREADABLE.search(text)
    if match is None:
        return None
    breaks = list(BREAK.finditer(text, 0, match.start()))
    return Place(match.start(), len(breaks), match.start() - (breaks[-1].end() if breaks else 0))


def _place(event: Event) -> Place:
    mark = event.start_mark
    return Place(mark.index, mark.line, mark.column)


def _events(text: str) -> Iterator[Event]:
    # The C scanner works iteratively and is asked for one event at a time, so nesting cannot exhaust its stack.
    return iter(yaml.parse(text, Loader=yaml.CSafeLoader))
