"""The history of one project's manifest: its commit graph, and what is known of the versions of the file.

A version that cannot be read counts for nothing: its commit serves what its first parent serves.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from app.registry.diff import same
from app.registry.graph import ABSENT, NONE, CommitGraph
from app.registry.manifest import Document, Entry
from app.registry.manifests import Manifests
from app.stores.ports import Repository

REGULAR, KIND = 0o100000, 0o170000
AT_HAND: Final = 3
MOST_NAMES = 1_000_000
Pair = tuple[int, int]


class UnreadError(Exception):
    """What was asked cannot be told without reading from Git."""


class Lineage:
    """What is known of a history; it only grows, and one thread at a time makes it grow."""

    def __init__(self) -> None:
        self.graph = CommitGraph()
        self.readable: dict[int, bool] = {ABSENT: True}
        """Of versions that were looked at: whether they hold a manifest."""
        self.differing: dict[Pair, frozenset[str]] = {}
        """Of pairs of readable versions that were compared, the lower number first: the entries that differ."""
        self._names = 0

    def compared(self, pair: Pair, names: frozenset[str]) -> None:
        """Keep what came of a comparison. The oldest go when all together hold a million names."""
        self.differing[pair] = names
        self._names += len(names)
        while self._names > MOST_NAMES and len(self.differing) > 1:
            self._names -= len(self.differing.pop(next(iter(self.differing))))

    @property
    def size(self) -> int:
        """How much is known, as a number that grows with it."""
        return len(self.graph) + len(self.readable) + len(self.differing)


class Reading:
    """Answers from a lineage. Blocking with a repository; without one, UnreadError where something is not known yet.

    `pause` is called before each read and may raise. The last few versions that were read stay at hand, so that of the
    next one only what differs is read.
    """

    def __init__(
        self, lineage: Lineage, manifests: Manifests, repository: Repository | None, pause: Callable[[], None]
    ) -> None:
        self._pause = pause
        self._lineage = lineage
        self._graph = lineage.graph
        self._manifests = manifests
        self._repository = repository
        self._documents: OrderedDict[int, Document | None] = OrderedDict()

    def of_manifest(self, head: str) -> Iterator[str]:
        """The commits up to `head` that changed the file, newest first."""
        return (self._graph.oids[number] for number in self._graph.walk(self._graph.number(head)))

    def of_entry(self, head: str, name: str) -> Iterator[str]:
        """The commits up to `head` that changed what an entry says, newest first."""

        def alike(parent: int, child: int) -> bool:
            return not self._differ(self._served(parent), self._served(child), name)

        return (self._graph.oids[number] for number in self._graph.walk(self._graph.number(head), alike))

    def entry(self, oid: str | None, name: str) -> Entry | None:
        """An entry as a commit serves it; None where there is none, and before the first commit."""
        number = NONE if oid is None else self._graph.number(oid)
        served = self._graph.versions[self._served(number)]
        if served is None:
            return None
        if kept := self._manifests.remembered_entry(served.oid, name):
            return kept[0]
        if self._repository is None:
            raise UnreadError
        return self._manifests.entry(self._repository, served.oid, name)

    def first_parent(self, oid: str) -> str | None:
        """The first parent of a commit, None of a first commit."""
        return self.ancestor(oid, 1)

    def ancestor(self, oid: str, generations: int) -> str | None:
        """The commit so many first parents back, or None."""
        number = self._graph.ancestor(self._graph.number(oid), generations)
        return None if number is None else self._graph.oids[number]

    def _served(self, number: int) -> int:
        """The version a commit serves."""
        while number != NONE and not self._is_readable(self._graph.version(number)):
            number = next(iter(self._graph.parents(self._graph.origin(number))), NONE)
        return self._graph.version(number)

    def _is_readable(self, version: int) -> bool:
        if version not in self._lineage.readable:
            self._lineage.readable[version] = self._document(version) is not None
        return self._lineage.readable[version]

    def _differ(self, one: int, other: int, name: str) -> bool:
        """Whether two readable versions say something else under a name."""
        if one == other:
            return False
        pair = (min(one, other), max(one, other))
        if pair not in self._lineage.differing:
            self._compare(pair, name)
        return name in self._lineage.differing[pair]

    def _compare(self, pair: Pair, name: str) -> None:
        # The later one first, which in a walk back in time is the one at hand.
        new, old = self._entries(pair[1]), self._entries(pair[0])
        names = {key for key, entry in new.items() if entry is not old.get(key) and not same(entry, old.get(key))}
        names.update(old.keys() - new.keys())
        if name in names:  # and will be asked for in a moment, when the manifests have been let go
            for version, entries in zip(pair, (old, new), strict=True):
                if found := self._graph.versions[version]:
                    self._manifests.remember_entry(found.oid, name, entries.get(name))
        self._lineage.compared(pair, frozenset(names))

    def _entries(self, version: int) -> Mapping[str, Entry]:
        document = None if version == ABSENT else self._document(version)
        return document.manifest.entries if document else {}

    def _document(self, version: int) -> Document | None:
        """A version as it is read, None where it is no manifest. Raises UnreadError."""
        if version not in self._documents:
            if self._repository is None:
                raise UnreadError
            self._pause()
            found, before = self._graph.versions[version], next(reversed(self._documents.values()), None)
            is_file = found is not None and found.mode & KIND == REGULAR
            self._documents[version] = (
                self._manifests.parse(self._repository, found.oid, before) if found and is_file else None
            )
        self._documents.move_to_end(version)
        while len(self._documents) > AT_HAND:
            self._documents.popitem(last=False)
        return self._documents[version]
