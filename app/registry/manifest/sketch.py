"""Versions of one manifest in a row, of which only what differs is read.

A sketch is the least of a manifest that this takes: its text, and where in it each entry begins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.registry.manifest.model import Entry, Limits, Manifest
from app.registry.manifest.reader import Document, compare, manifest_of, read, text_of


@dataclass(frozen=True, slots=True)
class Sketch:
    """A manifest whose entries can be read apart, in the order of the file; `nodes` counts its keys and values."""

    text: str
    starts: Sequence[int]
    names: Sequence[str]
    nodes: int

    @classmethod
    def of(cls, document: Document) -> "Sketch | None":
        """The sketch of a document; None when its entries have to do with each other."""
        if not document.separable:
            return None
        return cls(document.text, document.items.starts, document.items.names, document.nodes)

    def entry(self, name: str) -> Entry | None:
        """One of its entries, or None; nothing else is read."""
        if name not in self.names:
            return None
        place = self.names.index(name)
        ends = [*self.starts[place + 1 : place + 2], len(self.text)]
        return read(self.text[self.starts[place] : ends[0]].encode()).entries[name]

    def whole(self) -> Manifest:
        """All of it."""
        return read(self.text.encode())

    def step(self, data: bytes, limits: Limits) -> "Step | None":
        """The step to another version; None where all of that has to be read. Raises ManifestRefusedError."""
        text, _ = text_of(data, limits)
        region = compare(self.text, self.starts, text, limits)
        if region is None:
            return None
        first, last = region.first, region.last
        names = region.items.names
        nodes = self.nodes + region.nodes
        taken = set(names).difference(self.names[first:last]).intersection(self.names)
        if taken or len(self.names) - (last - first) + len(names) > limits.entries or nodes > limits.nodes:
            return None
        begin, shift = self.starts[first], len(text) - len(self.text)
        new = [begin + start for start in region.items.starts]
        starts = [*self.starts[:first], *new, *(start + shift for start in self.starts[last:])]
        sketch = Sketch(text, starts, [*self.names[:first], *names, *self.names[last:]], nodes)
        return Step(sketch, manifest_of(region.old).entries, region.manifest.entries)


@dataclass(frozen=True, slots=True)
class Step:
    """From one version to another: the sketch of the other, and of both the entries that may differ."""

    sketch: Sketch
    before: Mapping[str, Entry]
    after: Mapping[str, Entry]
