"""The commit graph of a repository in memory, and which version of the manifest stands at each commit.

Commits and versions are numbered in the order they became known, and nothing that was added ever changes. So one
thread may add while others walk.
"""

import heapq
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import chain, count
from operator import gt

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

    def add(self, traces: Sequence[Trace]) -> None:
        """Take in what was read of a history, all or nothing: KeyError where a parent is neither there nor known."""
        start, new = len(self.oids), _Rows.of(traces)
        if not self._numbers.keys().isdisjoint(new.oids):
            new = new.without(self._numbers)
        numbers, first = self._placed(new)
        if any(map(gt, first, count(start))):
            new = new.sorted()
            numbers, first = self._placed(new)
        merges = {start + place: named.split() for place, named in enumerate(new.parents) if len(named) > OID_LENGTH}
        self._merged.update(
            {
                number: tuple(numbers[oid] if oid in numbers else self._numbers[oid] for oid in parents[1:])
                for number, parents in merges.items()
            }
        )
        self._first.extend(first)
        self._times.extend(new.times)
        self._settle(new.oids, first, {oid: entry for trace in traces for oid, entry in trace.entries.items()})
        self.oids += new.oids
        self._numbers.update(numbers)
        self.tips.update(new.oids)
        self.tips.difference_update(new.parents, *merges.values())

    def _placed(self, new: "_Rows") -> tuple[dict[str, int], list[int]]:
        """The numbers new commits get, and those of their first parents."""
        start = len(self.oids)
        numbers = dict(zip(new.oids, range(start, start + len(new.oids)), strict=True))
        first = [numbers.get(named[:OID_LENGTH], NONE) for named in new.parents]
        for place, number in enumerate(first):
            if number == NONE and new.parents[place]:
                first[place] = self._numbers[new.parents[place][:OID_LENGTH]]
        return numbers, first

    def _settle(self, oids: Sequence[str], first: Sequence[int], entries: Mapping[str, TreeEntry | None]) -> None:
        """Note the version at each new commit, which is its first parent's where nothing else is said."""
        versions, skips = self._version, self._skip
        for oid, parent in zip(oids, first, strict=True):
            inherited = ABSENT if parent == NONE else versions[parent]
            version = self._numbered(entries[oid]) if oid in entries else inherited
            skips.append(skips[parent] if parent != NONE and version == inherited else len(versions))
            versions.append(version)

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
        waiting: list[tuple[int, int, int]] = []
        here = head
        while True:
            if not waiting:
                here = self._skip[here]  # there is but this line, and nothing happened on it down to there
            parents = self.parents(here) or (NONE,)
            kept = next((parent for parent in parents if alike(parent, here)), None)
            if kept is None:
                yield here
            for parent in parents if kept is None else (kept,):
                if parent not in seen:
                    seen.add(parent)
                    heapq.heappush(waiting, (-self._times[parent], len(seen), parent))
            if not waiting:
                return
            here = heapq.heappop(waiting)[2]

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


@dataclass(frozen=True, slots=True)
class _Rows:
    """Commits to be added, parents mostly before their children."""

    oids: Sequence[str]
    parents: Sequence[str]
    times: Sequence[int]

    @classmethod
    def of(cls, traces: Sequence[Trace]) -> "_Rows":
        """What was read, the last first."""
        oids = list(chain.from_iterable(trace.oids for trace in traces))[::-1]
        parents = list(chain.from_iterable(trace.parents for trace in traces))[::-1]
        times = list(chain.from_iterable(trace.times for trace in traces))[::-1]
        return cls(oids, parents, times)

    def without(self, known: Container[str]) -> "_Rows":
        """Those that are not known: a trace comes by others when a tip it should stop at is gone from Git."""
        return self._at(place for place, oid in enumerate(self.oids) if oid not in known)

    def sorted(self) -> "_Rows":
        """The same with parents first, as they are not where clocks went wrong or a history was read in depth."""
        places = dict(zip(self.oids, range(len(self.oids)), strict=True))
        before = {
            oid: [parent for parent in named.split() if parent in places]
            for oid, named in zip(self.oids, self.parents, strict=True)
        }
        return self._at(places[oid] for oid in TopologicalSorter(before).static_order())

    def _at(self, places: Iterable[int]) -> "_Rows":
        order = list(places)
        return _Rows(
            [self.oids[place] for place in order],
            [self.parents[place] for place in order],
            [self.times[place] for place in order],
        )
