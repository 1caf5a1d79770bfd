"""What stands where the entries of a file should, each at its place. An edit leaves all but its own as it was."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, overload

from app.registry.manifest.composer import Place, Span
from app.registry.manifest.model import JSON


class Item(NamedTuple):
    """What stands where an entry should: its name if it has one, and in a list the key that names it; its raw value."""

    name: str | None
    value: JSON
    span: Span
    named_by: str | None
    keys: Mapping[str, Place]

    def moved(self, characters: int, lines: int) -> "Item":
        """The same further on. The places of its keys, which only problems name, are not kept."""
        key, (offset, line, column), key_end, start, end = self.span
        place = Place(offset + characters, line + lines, column)
        span = Span(key, place, key_end + characters, start + characters, end + characters)
        return Item(self.name, self.value, span, self.named_by, {})


class Items(Sequence[Item]):
    """Items in the order of the file, kept as they were read, and put where they stand now when one is asked for.

    `starts` and `lines` say where each of them begins, in characters and in lines from 0; `names` what they are
    called, the empty text for one that has no name.
    """

    def __init__(self, read: Sequence[Item], names: Sequence[str], starts: Sequence[int], lines: Sequence[int]) -> None:
        self._read = read
        self.names = names
        self.starts = starts
        self.lines = lines

    @classmethod
    def of(cls, items: Sequence[Item]) -> "Items":
        """Items that stand where they were read."""
        places = [item.span.place for item in items]
        names = [item.name or "" for item in items]
        return cls(items, names, [place.offset for place in places], [place.line for place in places])

    def named(self, name: str) -> Item | None:
        """The one of that name."""
        return self[self.names.index(name)] if name and name in self.names else None

    def revised(self, first: int, last: int, new: "Items", characters: int, lines: int) -> "Items":
        """The same with `new` in the place of those from `first` to `last`, which count from where the first begins.

        Those behind stand so many characters and lines further on.
        """
        begin, line = self.starts[first], self.lines[first]
        return Items(
            [*self._read[:first], *new, *self._read[last:]],
            [*self.names[:first], *new.names, *self.names[last:]],
            [*self.starts[:first], *[begin + at for at in new.starts], *[at + characters for at in self.starts[last:]]],
            [*self.lines[:first], *[line + at for at in new.lines], *[at + lines for at in self.lines[last:]]],
        )

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        item = self._read[index]
        place = item.span.place
        characters, lines = self.starts[index] - place.offset, self.lines[index] - place.line
        return item.moved(characters, lines) if characters or lines else item

    def __len__(self) -> int:
        return len(self._read)
