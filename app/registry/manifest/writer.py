"""Editing a manifest without touching what others wrote.

An edit changes the lines of its own entry: of those, the keys whose values change. Comments above an entry stay when
it is removed; comments on its lines, and those below it that are indented deeper, go with it. What an edit brought
about is read again and compared with what was meant before anybody gets to see it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from app.registry import names
from app.registry.manifest.excerpt import Excerpt, excerpt_of
from app.registry.manifest.interpret import entry_from
from app.registry.manifest.layout import Layout, Slot
from app.registry.manifest.model import (
    DEFAULT_LIMITS,
    JSON,
    Code,
    EditRefusedError,
    InvalidEntryError,
    Limits,
    Manifest,
    ManifestRefusedError,
)
from app.registry.manifest.reader import BOM, Document, parse
from app.registry.manifest.splice import CannotSpliceError, same


@dataclass(frozen=True, slots=True)
class Put:
    """Add an entry, or make an existing one hold exactly `entry`."""

    name: str
    entry: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Remove:
    """Take an entry out."""

    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    """Give an entry another name, in its place."""

    name: str
    to: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Make an entry what it is in `source`, another version of the file, as it is written there where that fits."""

    name: str
    source: bytes


Edit = Put | Remove | Rename | Restore


def edit(data: bytes | None, edits: Sequence[Edit], limits: Limits = DEFAULT_LIMITS) -> tuple[bytes, Manifest]:
    """The file with `edits` made in order, and what it holds then; `data` is None when there is no file yet.

    Raises ManifestRefusedError when `data` is broken, EditRefusedError when an edit cannot be made.
    """
    document = revise(parse(data or b"", limits), edits, limits)
    return document.data, document.manifest


def revise(document: Document, edits: Sequence[Edit], limits: Limits = DEFAULT_LIMITS) -> Document:
    """The document with `edits` made in order. Raises EditRefusedError when one cannot be made."""
    draft = _Draft(document, limits)
    for one in edits:
        draft.apply(one)
    if not any(slot.touched for slot in draft.slots):
        return document
    if any(slot.excerpt for slot in draft.slots):
        with suppress(EditRefusedError):  # the words mean something else here: then the values are put back
            return _written(document, draft, limits)
        draft.forget_excerpts()
    return _written(document, draft, limits)


class _Draft:
    """What the entries shall be once every edit is made: `slots` of those that the edits name, and all `entries`."""

    def __init__(self, document: Document, limits: Limits) -> None:
        self._limits = limits
        self._items = document.items
        self.slots: list[Slot] = []
        self._live: dict[str, Slot | None] = {}  # by name, None for one that is gone
        self.entries = dict(document.manifest.entries)

    def apply(self, one: Edit) -> None:
        """Make one edit on top of those before. Raises EditRefusedError."""
        match one:
            case Put(name, value):
                self._put(name, value)
            case Remove(name):
                slot = self._require(name)
                slot.removed = slot.touched = True
                self._live[name] = None
                self.entries.pop(name, None)
            case Rename(name, to):
                self._rename(name, to)
            case Restore(name, source):
                self._restore(name, source)

    def forget_excerpts(self) -> None:
        """Let every entry be written from its values."""
        for slot in self.slots:
            slot.excerpt = None

    def _put(self, name: str, value: Mapping[str, JSON], excerpt: Excerpt | None = None) -> None:
        try:
            entry = entry_from(name, value)
        except InvalidEntryError as error:
            raise EditRefusedError(error.problems[0].code, error.problems[0].message, name) from error
        if excerpt is None and name in self.entries and same(self.entries[name].entry, entry.entry):
            return
        slot = self._slot(name) or self._add(Slot(None, name, entry.entry))
        slot.value, slot.excerpt, slot.touched = entry.entry, excerpt, True
        self.entries[name] = entry

    def _rename(self, name: str, to: str) -> None:
        slot = self._require(name)
        if name not in self.entries:
            raise EditRefusedError(Code.BAD_VALUE, f"{name!r} is broken in the file; put it whole first.", name)
        if sentence := names.problem_with_artifact(to):
            raise EditRefusedError(Code.BAD_NAME, sentence, name)
        if to == name:
            return
        if self._slot(to):
            raise EditRefusedError(Code.NAME_TAKEN, f"There is an entry {to!r} already; choose another name.", name)
        self._live[name], self._live[to] = None, slot
        self.entries[to] = self.entries.pop(name)
        slot.name, slot.excerpt, slot.touched = to, None, True

    def _restore(self, name: str, source: bytes) -> None:
        try:
            document = parse(source, self._limits)
        except ManifestRefusedError as error:
            problem = error.problems[0]
            raise EditRefusedError(problem.code, f"That version cannot be read: {problem.message}", name) from error
        entry = document.manifest.entries.get(name)
        if entry is None:
            raise EditRefusedError(Code.ENTRY_MISSING, f"That version has no entry {name!r}; choose another.", name)
        self._put(name, entry.entry, excerpt_of(document, name))

    def _require(self, name: str) -> Slot:
        slot = self._slot(name)
        if slot is None:
            raise EditRefusedError(Code.ENTRY_MISSING, f"There is no entry {name!r}; read the file again.", name)
        return slot

    def _slot(self, name: str) -> Slot | None:
        """The slot of what has that name by now."""
        if name not in self._live and (item := self._items.named(name)):
            self._add(Slot(item, name, item.value))
        return self._live.get(name)

    def _add(self, slot: Slot) -> Slot:
        self.slots.append(slot)
        self._live[slot.name] = slot
        return slot


def _written(document: Document, draft: _Draft, limits: Limits) -> Document:
    """The document with every slot of a draft as it shall be. Raises EditRefusedError."""
    try:
        text = Layout(document, draft.slots).render()
    except CannotSpliceError as error:
        raise _not_possible(document, draft) from error
    result = text.encode()
    if document.data.startswith(BOM.encode()):
        result = BOM.encode() + result
    return _verified(result, document, draft, limits)


def _verified(result: bytes, document: Document, draft: _Draft, limits: Limits) -> Document:
    """The result, once it is sure that it is what was meant. Raises EditRefusedError."""
    try:
        written = parse(result, limits, document)
    except ManifestRefusedError as error:
        problem = error.problems[0]
        if problem.code in _LIMITS:
            raise EditRefusedError(problem.code, problem.message, _first(draft)) from error
        raise _not_possible(document, draft) from error
    after = written.manifest
    touched = {slot.name for slot in draft.slots if slot.touched}
    removed = {slot.item.name or "" for slot in draft.slots if slot.touched and slot.item}
    if after.entries.keys() != draft.entries.keys() or _others(after, touched) != _others(
        document.manifest, touched | removed
    ):
        raise _not_possible(document, draft)
    for name, meant in draft.entries.items():
        entry = after.entries[name]
        if entry is not meant and not (same if name in touched else _alike)(entry.entry, meant.entry):
            raise _not_possible(document, draft)
    return written


def _alike(one: JSON, other: JSON) -> bool:
    return repr(one) == repr(other)


_LIMITS = frozenset({Code.TOO_LARGE, Code.TOO_DEEP, Code.TOO_MANY_NODES, Code.TOO_MANY_ENTRIES, Code.ALIASES_TOO_LARGE})


def _others(manifest: Manifest, touched: set[str]) -> list[tuple[str, str | None]]:
    return [(one.code, one.artifact) for one in manifest.problems if one.artifact not in touched]


def _first(draft: _Draft) -> str:
    return next(slot.name for slot in draft.slots if slot.touched)


def _not_possible(document: Document, draft: _Draft) -> EditRefusedError:
    """Why an edit cannot be made by splicing: its entry is shared, or written in a way that does not allow it."""
    for slot in draft.slots:
        if slot.touched and slot.item:
            start, end = slot.item.span.place.offset, slot.item.span.end
            for alias, anchor in document.links:
                if start <= anchor < end and not start <= alias < end:
                    message = f"Other entries share values with {slot.name!r} by an alias; edit the file with git."
                    return EditRefusedError(Code.ENTRY_SHARED, message, slot.name)
    name = _first(draft)
    message = f"{name!r} cannot be changed without touching text that is not its own; edit the file with git."
    return EditRefusedError(Code.NOT_SPLICEABLE, message, name)
