"""From bytes to a manifest. YAML loaders are never used: they retype, lose keys and can be killed by a small file.

A top-level key `artifacts` that holds a list, nothing, or a mapping without reserved keys that is empty or has a
mapping among its values is the section other tools keep their entries in; the other top-level keys are then not
entries. An entry of such a list is named by its `name`, or else its `id`, which is then no part of the entry.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.registry.manifest.composer import BREAKS, Composer, Outline, Place, Span, first_unreadable, newline_of
from app.registry.manifest.interpret import interpret
from app.registry.manifest.items import Item, Items
from app.registry.manifest.model import (
    DEFAULT_LIMITS,
    JSON,
    RESERVED,
    WRAPPER,
    Code,
    Entry,
    Limits,
    Manifest,
    ManifestRefusedError,
    Problem,
)

BOM = "\ufeff"
# What lets a line that begins no entry change what the lines around it mean; and line breaks other than the usual two.
_FAR_REACHING = re.compile("^(?:---|\\.\\.\\.|[%?:])|\r(?!\n)|[\x85\u2028\u2029]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest with what an editor has to know of its text (BOM left out, a final line break always there).

    `outline` is that of the collection holding the entries, None where there is none yet; `wrapper` is the pair of the
    `artifacts` key when there is one; `links` go from aliases to their anchors; `added` is the final line break that
    the file itself does not have. `nodes` counts keys and values; `separable` says that every entry would read the
    same by itself.
    """

    data: bytes
    text: str
    manifest: Manifest
    items: Items
    outline: Outline | None
    wrapper: Span | None
    root: tuple[int, int]
    stop: int
    links: tuple[tuple[int, int], ...]
    added: str
    nodes: int
    separable: bool


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Manifest:
    """The manifest in `data`; an empty one when there is nothing in it. Raises ManifestRefusedError."""
    return parse(data, limits).manifest


def parse(data: bytes, limits: Limits, before: Document | None = None) -> Document:
    """The manifest in `data` and its places; what it shares with `before` is not read again.

    Raises ManifestRefusedError.
    """
    text, added = text_of(data, limits)
    if before and (document := _revised(before, data, text, added, limits)):
        return document
    if unreadable := first_unreadable(text):
        message = f"The character U+{ord(text[unreadable.offset]):04X} cannot stand in YAML; remove it or escape it."
        raise _refused(Code.BAD_CHARACTER, message, unreadable)
    composed = Composer(text, limits).compose()
    root = composed.root
    if root is not None and not isinstance(root, dict):
        raise _refused(Code.NOT_A_MAPPING, "A manifest is a mapping from entry names to entries.", composed.root_place)
    values, wrapper = _container(root, composed)
    items = Items.of(tuple(_items(values, composed)))
    if len(items) > limits.entries:
        place = items[limits.entries].span.place
        raise _refused(Code.TOO_MANY_ENTRIES, f"A manifest has at most {limits.entries} entries.", place)
    manifest, outline = manifest_of(items), composed.outlines.get(id(values))
    return Document(
        data=data,
        text=text,
        manifest=manifest,
        items=items,
        outline=outline,
        wrapper=wrapper,
        root=(composed.root_place.offset, composed.root_end),
        stop=composed.stop,
        links=tuple(composed.links),
        added=added,
        nodes=composed.nodes,
        separable=bool(items and not wrapper and not manifest.problems and _is_separable(text, composed)),
    )


def _is_separable(text: str, composed: Composer) -> bool:
    """Whether this is one block mapping at the margin whose pairs have nothing to do with each other."""
    return (
        isinstance(composed.root, dict)
        and not composed.outlines[id(composed.root)].flow
        and composed.root_place.column == 0
        and composed.stop == len(text)
        and not composed.links
        and not _FAR_REACHING.search(text)
    )


class Region(NamedTuple):
    """Where two separable texts differ, in whole entries: those from `first` to `last`, `old`, became `items`."""

    first: int
    last: int
    old: Items
    items: Items
    manifest: Manifest
    lines: int
    nodes: int


def compare(before: str, starts: Sequence[int], text: str, limits: Limits) -> Region | None:
    """What is new in `text`, of whose predecessor each entry begins at one of `starts`; None where all has to be read.

    `lines` and `nodes` are how many more there are. Items stand at their places in the region, not in the text.
    """
    head, tail = _shared(before, text)
    bounds = [*starts, len(before)]
    first = bisect_left(bounds, head) - 1  # a line put at the start of an entry may belong to the one before
    last = bisect_left(bounds, len(before) - tail)
    if first < 0:
        return None
    gone = before[bounds[first] : bounds[last]]
    new = text[bounds[first] : len(text) - (len(before) - bounds[last])]
    if first_unreadable(new):
        return None
    try:
        was, now = Composer(gone, limits).compose(), Composer(new, limits).compose()
    except ManifestRefusedError:
        return None
    if not new.endswith("\n") or not _is_separable(new, now) or now.root_place.offset or WRAPPER in now.root:
        return None
    items = Items.of(tuple(_items(now.root, now)))
    manifest = manifest_of(items)
    if manifest.problems:
        return None
    lines, nodes = new.count("\n") - gone.count("\n"), now.nodes - was.nodes
    old = Items.of(tuple(_items(was.root, was)))
    return Region(first, last, old, items, manifest, lines, nodes)


def _revised(before: Document, data: bytes, text: str, added: str, limits: Limits) -> Document | None:
    """The document of `text`, of which only the entries that changed are read; None where all has to be read."""
    if not before.separable or not before.outline:
        return None
    region = compare(before.text, before.items.starts, text, limits)
    if region is None:
        return None
    shift = len(text) - len(before.text)
    items = before.items.revised(region.first, region.last, region.items, shift, region.lines)
    entries = {**before.manifest.entries, **region.manifest.entries}
    if region.items.names != region.old.names:
        entries = {name: entries[name] for name in items.names}
    nodes = before.nodes + region.nodes
    if len(entries) < len(items) or len(items) > limits.entries or nodes > limits.nodes:
        return None
    end = items[-1].span.end
    return Document(
        data=data,
        text=text,
        manifest=Manifest(entries),
        items=items,
        outline=Outline(flow=False, start=before.outline.start, end=end),
        wrapper=None,
        root=(before.root[0], end),
        stop=len(text),
        links=(),
        added=added,
        nodes=nodes,
        separable=True,
    )


def _shared(one: str, other: str) -> tuple[int, int]:
    """How many characters two texts share at their beginnings, and how many of the others at their ends."""
    most = min(len(one), len(other))
    head = _length(most, lambda start, end: one[start:end] == other[start:end])
    ends = len(one), len(other)
    tail = _length(
        most - head, lambda start, end: one[ends[0] - end : ends[0] - start] == other[ends[1] - end : ends[1] - start]
    )
    return head, tail


def _length(most: int, equal: Callable[[int, int], bool]) -> int:
    """Up to where, `most` at most, all is equal. No part is looked at twice that was found to be."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if equal(low, middle) else (low, middle - 1)
    return low


def text_of(data: bytes, limits: Limits) -> tuple[str, str]:
    """The text of a file without BOM, and the line break that was added at its end. Raises ManifestRefusedError."""
    text = _decode(data, limits)
    added = newline_of(text) if text and text[-1] not in BREAKS else ""
    return text + added, added  # so that the end of the file never decides what a block scalar holds


def _decode(data: bytes, limits: Limits) -> str:
    if len(data) > limits.bytes:
        raise _refused(Code.TOO_LARGE, f"A file has at most {limits.bytes} bytes; this one has {len(data)}.", None)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        place = Place(error.start, before.count("\n"), len(before) - before.rfind("\n") - 1)
        raise _refused(Code.NOT_UTF8, "A file is UTF-8 text; save it as that.", place) from error
    return text.removeprefix(BOM)


def _container(root: JSON, composed: Composer) -> tuple[JSON, Span | None]:
    if root and _is_wrapper(root):
        spans = composed.outlines[id(root)].spans
        return root[WRAPPER], next(span for span in spans if span.key == WRAPPER)
    return root, None


def _is_wrapper(root: Mapping[str, JSON]) -> bool:
    if WRAPPER not in root:
        return False
    held = root[WRAPPER]
    if isinstance(held, dict):
        return not held or (held.keys().isdisjoint(RESERVED) and any(isinstance(one, dict) for one in held.values()))
    return held is None or isinstance(held, list)


def _items(values: JSON, composed: Composer) -> Iterator[Item]:
    if not values:
        return
    spans = composed.outlines[id(values)].spans
    if isinstance(values, dict):
        for span in spans:
            value = values[span.key or ""]
            yield Item(span.key, _identified(value, composed), span, None, _keys(value, composed))
        return
    for value, span in zip(values, spans, strict=True):
        named_by = next((key for key in ("name", "id") if (id(value), key) in composed.texts), None)
        if named_by is None:
            yield Item(None, value, span, None, {})
        else:
            rest = {key: one for key, one in _identified(value, composed).items() if key != named_by}
            yield Item(composed.texts[id(value), named_by], rest, span, named_by, _keys(value, composed))


def _keys(value: JSON, composed: Composer) -> Mapping[str, Place]:
    return composed.places.get(id(value), {})


def _identified(value: JSON, composed: Composer) -> JSON:
    text = composed.texts.get((id(value), "dataObjectId"))
    return value if text is None else {**value, "dataObjectId": text}


def manifest_of(items: Sequence[Item]) -> Manifest:
    """What items say. Raises ManifestRefusedError when two have one name."""
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    seen: dict[str, Place] = {}
    doubles: list[Problem] = []
    for item in items:
        name, place = item.name, item.span.place
        if name is None:
            problems.append(_problem(Code.ENTRY_WITHOUT_NAME, "An item of `artifacts` needs a `name`.", place))
            continue
        if name in seen:
            message = f"{name!r} stands on line {seen[name].line + 1} already."
            doubles.append(_problem(Code.DUPLICATE_KEY, message, place, name))
        seen.setdefault(name, place)
        made = interpret(name, item.value)
        if isinstance(made, Entry):
            entries[name] = made
            continue
        problems += [_problem(one.code, one.message, item.keys.get(one.key or "", place), name) for one in made]
    if doubles:
        raise ManifestRefusedError(tuple(doubles[:20]))
    return Manifest(entries, tuple(problems))


def _problem(code: Code, message: str, place: Place, artifact: str | None = None) -> Problem:
    return Problem(code, message, place.line + 1, place.column + 1, artifact)


def _refused(code: Code, message: str, place: Place | None) -> ManifestRefusedError:
    line, column = (place.line + 1, place.column + 1) if place else (None, None)
    return ManifestRefusedError((Problem(code, message, line, column),))
