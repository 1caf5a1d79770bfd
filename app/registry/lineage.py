"""The history of one project's manifest: its commit graph, and what is known of the versions of the file.

A version that cannot be read counts for nothing: its commit serves what its first parent serves.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping

from app.registry.diff import same
from app.registry.graph import ABSENT, NONE, CommitGraph
from app.registry.manifest import Entry, Sketch, Step
from app.registry.manifests import Manifests
from app.stores.ports import Repository

REGULAR, KIND = 0o100000, 0o170000
AT_HAND = 4
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
        """Of pairs of readable versions that were compared, a parent's and its child's: the entries that differ."""
        self.served: dict[int, int] = {NONE: ABSENT}
        """Of commits: the version they serve."""
        self._names = 0

    def compared(self, pair: Pair, names: frozenset[str]) -> frozenset[str]:
        """Keep what came of a comparison. The oldest go when all together hold a million names."""
        self.differing[pair] = names
        self._names += len(names)
        while self._names > MOST_NAMES and len(self.differing) > 1:
            self._names -= len(self.differing.pop(next(iter(self.differing))))
        return names

    @property
    def weight(self) -> int:
        """How much memory it takes, in commits and names, which take about as much each."""
        return len(self.graph) + self._names

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
        self.lineage = lineage
        self._graph = lineage.graph
        self.manifests = manifests
        self._repository = repository
        self._at_hand: OrderedDict[int, Sketch | Mapping[str, Entry]] = OrderedDict()

    def of_manifest(self, head: str) -> Iterator[str]:
        """The commits up to `head` that changed the file, newest first."""
        return (self._graph.oids[number] for number in self._graph.walk(self._graph.number(head)))

    def of_entry(self, head: str, name: str) -> Iterator[str]:
        """The commits up to `head` that changed what an entry says, newest first."""
        differing = self.lineage.differing

        def alike(parent: int, child: int) -> bool:
            new = self._served(child)
            old = self._served(parent, beside=new)
            if old == new:
                return True
            names = differing.get((old, new))
            return name not in (self._compared((old, new), name) if names is None else names)

        return (self._graph.oids[number] for number in self._graph.walk(self._graph.number(head), alike))

    def entry(self, oid: str | None, name: str) -> Entry | None:
        """An entry as a commit serves it; None where there is none, and before the first commit."""
        version = self._served(NONE if oid is None else self._graph.number(oid))
        found = self._graph.versions[version]
        if found is None:
            return None
        if (kept := self.manifests.remembered_entry(found.oid, name)) is None:
            kept = (self._remember(version, name),)
        return kept[0]

    def first_parent(self, oid: str) -> str | None:
        """The first parent of a commit, None of a first commit."""
        return self.ancestor(oid, 1)

    def ancestor(self, oid: str, generations: int) -> str | None:
        """The commit so many first parents back, or None."""
        number = self._graph.ancestor(self._graph.number(oid), generations)
        return None if number is None else self._graph.oids[number]

    def _served(self, number: int, beside: int = ABSENT) -> int:
        """The version a commit serves."""
        served = self.lineage.served.get(number)
        if served is None:
            served = self.lineage.served[number] = self._serves(number, beside)
        return served

    def _serves(self, number: int, beside: int) -> int:
        while number != NONE and not self._is_readable(self._graph.version(number), beside):
            number = next(iter(self._graph.parents(self._graph.origin(number))), NONE)
        return self._graph.version(number)

    def _is_readable(self, version: int, beside: int) -> bool:
        if version not in self.lineage.readable:
            self.lineage.readable[version] = self._read(version, beside)
        return self.lineage.readable[version]

    def _compared(self, pair: Pair, name: str) -> frozenset[str]:
        """The entries that two readable versions differ in. Those of `name` are remembered if it is one of them."""
        parent, child = pair
        if ABSENT in pair:
            self.lineage.compared(pair, frozenset(self._names(child if parent == ABSENT else parent)))
        else:
            self._read(parent, beside=child)
        if pair not in self.lineage.differing:
            self._note(pair, self._whole(parent), self._whole(child))
        names = self.lineage.differing[pair]
        for version in pair:
            if version != ABSENT and name in names:
                self._remember(version, name)
        return names

    def _note(self, pair: Pair, old: Mapping[str, Entry], new: Mapping[str, Entry]) -> None:
        names = {key for key, entry in new.items() if entry is not old.get(key) and not same(entry, old.get(key))}
        self.lineage.compared(pair, frozenset(names.union(old.keys() - new.keys())))

    def _read(self, version: int, beside: int) -> bool:
        """Read a version, as a step from one at hand, `beside` if possible; answers whether it can be read."""
        if self._repository is None:
            raise UnreadError
        self._pause()
        found = self._graph.versions[version]
        if found is None or found.mode & KIND != REGULAR:
            return False
        near = beside if beside in self._at_hand else next(reversed(self._at_hand), ABSENT)
        held = self._at_hand.get(near)
        read = self.manifests.follow(self._repository, found.oid, held if isinstance(held, Sketch) else None)
        if isinstance(read, Step):
            self._note((version, near), read.after, read.before)
            self._keep(version, read.sketch)
        elif read is not None:
            self._keep(version, Sketch.of(read) or read.manifest.entries)
        return read is not None

    def _keep(self, version: int, held: Sketch | Mapping[str, Entry]) -> None:
        self._at_hand[version] = held
        while len(self._at_hand) > AT_HAND:
            self._at_hand.popitem(last=False)

    def _held(self, version: int) -> Sketch | Mapping[str, Entry]:
        if version not in self._at_hand:
            self._read(version, beside=version)
        self._at_hand.move_to_end(version)
        return self._at_hand[version]

    def _names(self, version: int) -> Collection[str]:
        held = self._held(version)
        return held.names if isinstance(held, Sketch) else held.keys()

    def _whole(self, version: int) -> Mapping[str, Entry]:
        held = self._held(version)
        return held.whole().entries if isinstance(held, Sketch) else held

    def _remember(self, version: int, name: str) -> Entry | None:
        held, found = self._held(version), self._graph.versions[version]
        entry = held.entry(name) if isinstance(held, Sketch) else held.get(name)
        self.manifests.remember_entry(found.oid if found else "", name, entry)
        return entry
