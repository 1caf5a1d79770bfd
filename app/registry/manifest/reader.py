"""From bytes to a manifest. YAML loaders are never used: they retype, lose keys and can be killed by a small file.

A top-level key `artifacts` that holds a list, nothing, or a mapping without reserved keys that is empty or has a
mapping among its values is the section other tools keep their entries in; the other top-level keys are then not
entries. An entry of such a list is named by its `name`, or else its `id`, which is then no part of the entry.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from app.registry.manifest.composer import BREAKS, Composer, Outline, Place, Span, first_unreadable, newline_of
from app.registry.manifest.interpret import interpret
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


class Item(NamedTuple):
    """What stands where an entry should: its name if it has one, and in a list the key that names it; its raw value."""

    name: str | None
    value: JSON
    span: Span
    named_by: str | None
    keys: Mapping[str, Place]


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest with what an editor has to know of its text (BOM left out, a final line break always there).

    `outline` is that of the collection holding the entries, None where there is none yet; `wrapper` is the pair of the
    `artifacts` key when there is one; `links` go from aliases to their anchors; `added` is the final line break that
    the file itself does not have.
    """

    text: str
    manifest: Manifest
    items: tuple[Item, ...]
    outline: Outline | None
    wrapper: Span | None
    root: tuple[int, int]
    stop: int
    links: tuple[tuple[int, int], ...]
    added: str


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Manifest:
    """The manifest in `data`; an empty one when there is nothing in it. Raises ManifestRefusedError."""
    return parse(data, limits).manifest


def parse(data: bytes, limits: Limits) -> Document:
    """The manifest in `data` and its places. Raises ManifestRefusedError."""
    text = _decode(data, limits)
    added = newline_of(text) if text and text[-1] not in BREAKS else ""
    text += added  # so that the end of the file never decides what a block scalar holds
    composed = Composer(text, limits).compose()
    root = composed.root
    if root is not None and not isinstance(root, dict):
        raise _refused(Code.NOT_A_MAPPING, "A manifest is a mapping from entry names to entries.", composed.root_place)
    values, wrapper = _container(root, composed)
    items = tuple(_items(values, composed))
    if len(items) > limits.entries:
        place = items[limits.entries].span.place
        raise _refused(Code.TOO_MANY_ENTRIES, f"A manifest has at most {limits.entries} entries.", place)
    return Document(
        text=text,
        manifest=_manifest(items),
        items=items,
        outline=composed.outlines.get(id(values)),
        wrapper=wrapper,
        root=(composed.root_place.offset, composed.root_end),
        stop=composed.stop,
        links=tuple(composed.links),
        added=added,
    )


def _decode(data: bytes, limits: Limits) -> str:
    if len(data) > limits.bytes:
        raise _refused(Code.TOO_LARGE, f"A manifest has at most {limits.bytes} bytes; this one has {len(data)}.", None)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        place = Place(error.start, before.count("\n"), len(before) - before.rfind("\n") - 1)
        raise _refused(Code.NOT_UTF8, "A manifest is UTF-8 text; save it as that.", place) from error
    text = text.removeprefix(BOM)
    if unreadable := first_unreadable(text):
        message = f"The character U+{ord(text[unreadable.offset]):04X} cannot stand in YAML; remove it or escape it."
        raise _refused(Code.BAD_CHARACTER, message, unreadable)
    return text


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


def _manifest(items: tuple[Item, ...]) -> Manifest:
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
