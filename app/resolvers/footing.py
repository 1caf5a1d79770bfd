"""What an answer rests on, noted while it is made, so that it can be given again for as long as all of it stands."""

from app.registry.model import Project
from app.registry.registry import Registry


class Footing:
    """The policy, the catalogue, the versions of projects whose branches were read, the moves a search has seen.

    It is `firm` unless the answer rests on more than that, or on something that moved while it was made.
    """

    __slots__ = ("_moves", "_policy", "_readings", "_registry", "_versions", "firm")

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._policy = registry.access.version
        self._readings = registry.catalogue.readings
        self._versions: dict[str, int] = {}
        self._moves: int | None = None
        self.firm = True

    def on_branches(self, project: Project) -> None:
        """It speaks of where branches of a project stand. Say so before they are looked up."""
        version = self._registry.near.version(project.name)
        if version is None or self._versions.setdefault(project.name, version) != version:
            self.firm = False

    def on_search(self) -> None:
        """It speaks of what was found among everything. Say so before the search."""
        moves = self._registry.sync.moves
        if self._moves not in (None, moves):
            self.firm = False
        self._moves = moves

    def on_more(self) -> None:
        """It speaks of what may change unnoticed: tags, revisions, what could not be read."""
        self.firm = False

    def stands(self) -> bool:
        """Whether nothing has moved since."""
        registry = self._registry
        if (registry.access.version, registry.catalogue.readings) != (self._policy, self._readings):
            return False
        if self._moves not in (None, registry.sync.moves):
            return False
        version = registry.near.version
        return self._versions == {name: version(name) for name in self._versions}
