"""A manifest made fit for searching: for every fact, which of its entries have it, as the bits of a whole number.

A blob never changes, so neither does its segment. It is made of runs of neighbouring names, and where a run begins
depends on the names alone: after a change of one entry every other run is what it was and is used again.
"""

import operator
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import attrgetter

from app.registry.facts import NUMBERS, Column, Value, facts
from app.registry.manifest import Entry
from app.registry.search import Between, Condition

LENGTH = 512
"""Entries of a run, on average."""
POWERS = tuple(1 << number for number in range(2 * LENGTH))
SPARSE = 2
"""With so many times more values than entries that are left, it pays to look only at the values of those."""

Table = Mapping[Value, int]
NOTHING: Table = {}


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Run:
    """Entries by name, and for each column and value the bits of those that have it: bit 0 is the first entry.

    `numbers` has those of each column from the least to the greatest, and their bits in that order.
    """

    entries: tuple[Entry, ...]
    tables: Mapping[Column, Table]
    numbers: Mapping[Column, tuple[Sequence[float], Sequence[int]]]

    @classmethod
    def of(cls, entries: tuple[Entry, ...]) -> "Run":
        """The run of these entries. Some 20 µs of work for each."""
        tables: dict[Column, dict[Value, int]] = {}
        shared: dict[Value, Value] = {}
        for bit, entry in zip(_powers(len(entries)), entries, strict=True):
            for column, value in facts(entry, shared):
                table = tables.get(column)
                if table is None:
                    tables[column] = {value: bit}
                else:
                    table[value] = table[value] | bit if value in table else bit
        return cls(entries, tables, {column: held for column, table in tables.items() if (held := _numbers(table))})

    def matching(self, conditions: Iterable[Condition]) -> int:
        """The entries that fulfil all conditions."""
        found = (1 << len(self.entries)) - 1
        for condition in conditions:
            found &= ~self.having(condition.column) if condition.absent else self._fulfilling(condition, found)
            if not found:
                break
        return found

    def having(self, column: Column) -> int:
        """The entries that have any value in a column."""
        return union(self.tables.get(column, NOTHING).values())

    def _fulfilling(self, condition: Condition, found: int) -> int:
        """The entries of `found` that have a value the condition is for; others that have one may be among them."""
        match condition.among, condition.choices:
            case None, (Between() as between,):
                numbers, having = self.numbers.get(condition.column, ((), ()))
                return union(having[between.part_of(numbers)])
        table = self.tables.get(condition.column, NOTHING)
        return union(map(table.__getitem__, condition.chosen(self._candidates(condition, table, found))))

    def _candidates(self, condition: Condition, table: Table, found: int) -> Iterable[Value]:
        """Those values of the condition's column that are worth looking at."""
        among = condition.among
        if among is not None:
            return [one for one in among if one in table] if len(among) < len(table) else among.intersection(table)
        if condition.choices and found.bit_count() * SPARSE < len(table):
            return [value for value, having in table.items() if having & found]
        return table


Segment = tuple[Run, ...]
"""A manifest's entries in the order of their names, run after run."""


def segment(entries: Iterable[Entry], run_of: Callable[[tuple[Entry, ...]], Run] = Run.of) -> Segment:
    """The segment of a manifest's entries."""
    return tuple(run_of(tuple(run)) for run in _runs(sorted(entries, key=attrgetter("name"))))


def bits(found: int) -> Iterator[int]:
    """The numbers of the bits that are set, the least first."""
    while found:
        least = found & -found
        yield least.bit_length() - 1
        found ^= least


def _runs(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    begin = 0
    for number, entry in enumerate(entries):
        if number > begin and zlib.crc32(entry.name.encode()) % LENGTH == 0:
            yield entries[begin:number]
            begin = number
    if entries:
        yield entries[begin:]


def _numbers(table: Table) -> tuple[Sequence[float], Sequence[int]] | None:
    numbers = sorted(one for one in table if isinstance(one, NUMBERS))
    return (numbers, [table[one] for one in numbers]) if numbers else None


def _powers(count: int) -> Iterable[int]:
    """The bits of so many entries. All runs share them, and most values are those of a single entry."""
    return POWERS[:count] if count <= len(POWERS) else (1 << number for number in range(count))


def union(masks: Iterable[int]) -> int:
    """The bits that are set in any of these."""
    return reduce(operator.or_, masks, 0)
