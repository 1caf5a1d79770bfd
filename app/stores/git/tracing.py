"""What stands at one path along a history, read commit by commit."""

from collections.abc import Container, Generator

from dulwich.objects import ObjectID

from app.stores.errors import CommitNotFoundError, RepositoryCorruptError
from app.stores.git import trees
from app.stores.git.commits import decode_links
from app.stores.git.objects import Objects, read_object, read_tree
from app.stores.ports import Trace, TreeEntry

PART = 1000


class Walk:
    """The commit `head` and all behind it that are not `known`, read part by part."""

    def __init__(self, objects: Objects, path: str, head: str, known: Container[str]) -> None:
        self._objects = objects
        self._finder = _Finder(objects, path)
        self._head = head
        self._known = known
        self._waiting = [] if head in known else [head]
        self._seen = {head}

    @property
    def done(self) -> bool:
        """Whether there is nothing left to read."""
        return not self._waiting

    def parts(self) -> Generator[Trace, None, None]:
        """All that is left."""
        while not self.done:
            yield self.take(PART)

    def take(self, most: int) -> Trace:
        """Up to `most` commits. Raises CommitNotFoundError, RepositoryCorruptError."""
        oids: list[str] = []
        parents: list[str] = []
        times: list[int] = []
        entries: dict[str, TreeEntry | None] = {}
        while self._waiting and len(oids) < most:
            oid = self._waiting.pop()
            links = decode_links(oid, self._commit(oid))
            oids.append(oid)
            parents.append(" ".join(links.parents))
            times.append(links.time)
            entries[oid] = self._finder.find(links.tree)
            new = [parent for parent in links.parents if parent not in self._seen and parent not in self._known]
            self._seen.update(new)
            self._waiting += new
        return Trace(oids, parents, times, entries)

    def _commit(self, oid: str) -> bytes:
        raw = read_object(self._objects, oid, b"commit")
        if raw is not None:
            return raw
        if oid == self._head:
            raise CommitNotFoundError(f"There is no commit {oid} in this repository.")
        raise RepositoryCorruptError(
            f"The commit {oid}, a parent of another, is missing. Run `git fsck`, restore it from a clone."
        )


class _Finder:
    """What stands at a path, tree by tree; one that was looked into is not looked into again."""

    def __init__(self, objects: Objects, path: str) -> None:
        self._objects = objects
        self._parts = path.encode("utf-8", "replace").split(b"/")
        self._found: dict[tuple[str, int], TreeEntry | None] = {}
        self._equal: dict[TreeEntry, TreeEntry] = {}

    def find(self, tree: str, depth: int = 0) -> TreeEntry | None:
        """The entry at the rest of the path, `depth` parts down, below a tree; links are not followed."""
        key = (tree, depth)
        if key not in self._found:
            found = self._look(tree, depth)
            self._found[key] = self._equal.setdefault(found, found) if found else None
        return self._found[key]

    def _look(self, tree: str, depth: int) -> TreeEntry | None:
        entries = read_tree(self._objects, ObjectID(tree.encode()))
        if self._parts[depth] not in entries:
            return None
        mode, oid = entries[self._parts[depth]]
        if depth + 1 == len(self._parts):
            return TreeEntry(mode, oid.decode())
        return self.find(oid.decode(), depth + 1) if trees.kind_of(mode) == "tree" else None
