"""The commit graph of a repository in memory, and which version of the manifest stands at each commit.

Commits and versions are numbered in the order they became known, and nothing that was added ever changes. So one
thread may add while others walk.
"""

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import chain

from app.stores.ports import Trace, TreeEntry

NONE = -1
OID_LENGTH = 40
ABSENT = 0
"""The version that is no file at all."""


class CommitGraph:
    """Every commit known of one repository; about 150 bytes each."""

    def __init__(self) -> None:
        self.oids: list[str] = []
        self.versions: list[TreeEntry | None] = [None]
        self.tips: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._numbers_of_versions: dict[TreeEntry | None, int] = {None: ABSENT}
        self._times = array("q")
        self._first = array("i")
        self._merged: dict[int, tuple[int, ...]] = {}
        self._version = array("i")
        self._skip = array("i")

    def __len__(self) -> int:
        return len(self.oids)

    def __contains__(self, oid: object) -> bool:
        return oid in self._numbers

    def columns(self) -> "Columns":
        """All of it, to be stored."""
        return Columns(
            self.oids, self._times, self._first, self._merged, self._version, self._skip, tuple(self.versions)
        )

    @classmethod
    def of(cls, columns: "Columns") -> "CommitGraph":
        """A graph that was stored."""
        graph = cls()
        graph.oids, graph.versions = list(columns.oids), list(columns.versions)
        graph._times, graph._first, graph._merged = columns.times, columns.first, dict(columns.merged)
        graph._version, graph._skip = columns.version, columns.skip
        graph._numbers = {oid: number for number, oid in enumerate(graph.oids)}
        graph._numbers_of_versions = {version: number for number, version in enumerate(graph.versions)}
        parents = {*columns.first, *chain.from_iterable(columns.merged.values())}
        graph.tips = {oid for number, oid in enumerate(graph.oids) if number not in parents}
        return graph

    def number(self, oid: str) -> int:
        """The number of a commit. Raises KeyError."""
        return self._numbers[oid]

    def version(self, number: int) -> int:
        """The version of the manifest that stands at a commit; before the first one there is none."""
        return ABSENT if number == NONE else self._version[number]

    def parents(self, number: int) -> Sequence[int]:
        """The parents of a commit, in Git's order."""
        first = self._first[number]
        return () if first == NONE else (first, *self._merged.get(number, ()))

    def origin(self, number: int) -> int:
        """The commit, along first parents, that brought in the version that stands at a commit."""
        return self._skip[number]

    def ancestor(self, number: int, generations: int) -> int | None:
        """The commit so many first parents back, or None."""
        for _ in range(generations):
            number = self._first[number]
            if number == NONE:
                return None
        return number

    def growth(self) -> "Growth":
        """What is to be added: fill it part by part, then add it."""
        return Growth(len(self.oids), self._numbers)

    def add(self, growth: "Growth") -> None:
        """Take in what was read of a history, all or nothing: KeyError where a parent is neither there nor known."""
        growth.close()
        self._first.extend(growth.first)
        self._merged.update(growth.merged)
        self._times.extend(growth.times)
        self._settle(growth)
        self.oids += growth.oids
        self._numbers.update(growth.numbers)
        self.tips.update(growth.oids)
        self.tips.difference_update(growth.parents, *(named.split() for named in growth.parents if " " in named))

    def _settle(self, growth: "Growth") -> None:
        """Note the version at each new commit, which is its first parent's where nothing else is said."""
        start, first, oids, entries = len(self.oids), self._first, growth.oids, growth.entries
        versions, skips = self._version, self._skip
        versions.extend([NONE] * len(oids))
        skips.extend([NONE] * len(oids))
        for number in growth.order():
            parent, oid = first[number], oids[number - start]
            inherited = ABSENT if parent == NONE else versions[parent]
            version = self._numbered(entries[oid]) if oid in entries else inherited
            versions[number] = version
            skips[number] = skips[parent] if parent != NONE and version == inherited else number

    def _numbered(self, version: TreeEntry | None) -> int:
        if version not in self._numbers_of_versions:
            self.versions.append(version)
            self._numbers_of_versions[version] = len(self.versions) - 1
        return self._numbers_of_versions[version]

    def walk(self, head: int, alike: Callable[[int, int], bool] | None = None) -> Iterator[int]:
        """The commits that changed the manifest, newest first, simplified as `git log -- path` does.

        A merge that has what one of its parents has is no change, and only that parent is followed. `alike` says of a
        parent and its child whether both have the same, and has to say so of a first parent with the child's version;
        the parent of a first commit is NONE.
        """
        alike = alike or self._same_version
        seen = {NONE, head}
        waiting = [(0, 0, head)]
        while waiting:
            here = heapq.heappop(waiting)[2]
            if not waiting and (here := self._down(here, seen)) == NONE:
                return
            parents = self.parents(here) or (NONE,)
            kept = next((parent for parent in parents if alike(parent, here)), None)
            if kept is None:
                yield here
            for parent in parents if kept is None else (kept,):
                if parent not in seen:
                    seen.add(parent)
                    heapq.heappush(waiting, (-self._times[parent], len(seen), parent))

    def _down(self, number: int, seen: set[int]) -> int:
        """Where the only line there is leads without anything happening on it; NONE where others have been already."""
        origin = self._skip[number]
        if origin != number:
            if origin in seen:
                return NONE
            seen.add(origin)
        return origin

    def _same_version(self, parent: int, child: int) -> bool:
        return self.version(parent) == self.version(child)


@dataclass(frozen=True, slots=True)
class Columns:
    """A graph as it is stored.

    By number of the commit: ids, times, first parents, further parents of merges, versions, and the commits that
    brought those in. By number of the version: the versions.
    """

    oids: Sequence[str]
    times: "array[int]"
    first: "array[int]"
    merged: Mapping[int, tuple[int, ...]]
    version: "array[int]"
    skip: "array[int]"
    versions: Sequence[TreeEntry | None]


class Growth:
    """Commits that are read, numbered as they come: children mostly before their parents."""

    def __init__(self, start: int, known: Mapping[str, int]) -> None:
        self.oids: list[str] = []
        self.parents: list[str] = []
        self.times: list[int] = []
        self.entries: dict[str, TreeEntry | None] = {}
        self.numbers: dict[str, int] = {}
        self.first: list[int] = []
        self.merged: dict[int, tuple[int, ...]] = {}
        self._start = start
        self._known = known

    def take(self, trace: Trace) -> None:
        """One more part of a trace; commits that are known already are left out.

        A trace comes by such when a tip it should have stopped at is gone from Git, or when it had to begin again.
        """
        if not (self._known.keys().isdisjoint(trace.oids) and self.numbers.keys().isdisjoint(trace.oids)):
            trace = self._new(trace)
        begin = self._start + len(self.oids)
        self.numbers.update(zip(trace.oids, range(begin, begin + len(trace.oids)), strict=True))
        self.oids += trace.oids
        self.parents += trace.parents
        self.times += trace.times
        self.entries.update(trace.entries)
        numbers = self.numbers
        self.first += [numbers.get(named[:OID_LENGTH], NONE) for named in trace.parents]

    def close(self) -> None:
        """Find the parents that came later, or were known. Raises KeyError."""
        for place, (number, named) in enumerate(zip(self.first, self.parents, strict=True)):
            if number == NONE and named:
                self.first[place] = self._number(named[:OID_LENGTH])
            if len(named) > OID_LENGTH:
                self.merged[self._start + place] = tuple(map(self._number, named.split()[1:]))

    def order(self) -> Iterable[int]:
        """The numbers of the new commits, each after its first parent's."""
        numbers = range(self._start, self._start + len(self.oids))
        if not any(self._start <= parent < number for number, parent in zip(numbers, self.first, strict=True)):
            return reversed(numbers)
        # Where clocks went wrong, or a history was read in depth.
        return TopologicalSorter(
            {
                number: [parent] if parent >= self._start else []
                for number, parent in zip(numbers, self.first, strict=True)
            }
        ).static_order()

    def _number(self, oid: str) -> int:
        return self.numbers[oid] if oid in self.numbers else self._known[oid]

    def _new(self, trace: Trace) -> Trace:
        places = [n for n, oid in enumerate(trace.oids) if oid not in self._known and oid not in self.numbers]
        return Trace(
            [trace.oids[place] for place in places],
            [trace.parents[place] for place in places],
            [trace.times[place] for place in places],
            trace.entries,
        )
