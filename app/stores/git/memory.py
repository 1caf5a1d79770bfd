"""Repositories in memory: the same ids and answers as on disk, gone with the process. For tests that want speed."""

import hashlib
import math
import threading
from collections.abc import Collection, Container, Generator, Mapping, Sequence

from dulwich.objects import ShaFile

from app.stores.errors import RefConflictError, RefMovedError, RepositoryExistsError, RepositoryNotFoundError
from app.stores.git import objects, tracing
from app.stores.git.refs import HEADS, is_ref
from app.stores.ports import CommitRecord, NewCommit, Refs, Trace, TreeFile


class MemoryObjects:
    """Objects by id."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, bytes]] = {}

    def find(self, oid: str) -> objects.Found | None:
        """The object, or None when it is not there."""
        if oid not in self._kept:
            return None
        kind, raw = self._kept[oid]
        return objects.Found(kind, len(raw), len(raw), lambda: raw)

    def keep(self, new: Sequence[ShaFile]) -> None:
        """Store objects."""
        self._kept.update({made.id.decode(): (made.type_name, made.as_raw_string()) for made in new})


class MemoryRepository:
    """A repository in memory. `objects`, `tags` (ids by short name) and `default` are open, for what other tools do."""

    def __init__(self, default_branch: str) -> None:
        self.objects = MemoryObjects()
        self.tags: dict[str, str] = {}
        self.default = default_branch
        self._heads: dict[str, str] = {}
        self._lock = threading.Lock()

    def refs(self) -> Refs:
        """See Repository.refs."""
        with self._lock:
            heads, tags, fingerprint = dict(self._heads), dict(self.tags), self._fingerprint()
        peeled = {name: objects.peel(self.objects, oid) for name, oid in tags.items()}
        return Refs(self.default, heads, {name: oid for name, oid in peeled.items() if oid is not None}, fingerprint)

    def head(self, branch: str) -> str | None:
        """See Repository.head."""
        return self._heads.get(branch)

    def commit(self, oid: str) -> CommitRecord:
        """See Repository.commit."""
        return objects.read_commit(self.objects, oid)

    def file(self, commit: str, path: str) -> TreeFile | None:
        """See Repository.file."""
        return objects.read_file(self.objects, objects.read_root(self.objects, commit), path)

    def blob(self, oid: str, limit: int) -> bytes:
        """See Repository.blob."""
        return objects.read_blob(self.objects, oid, limit)

    def trace(self, path: str, head: str, known: Container[str], tips: Collection[str]) -> Generator[Trace, None, None]:  # noqa: ARG002 - the port's
        """See Repository.trace."""
        return tracing.Walk(self.objects, path, head, known).parts()

    def write_commits(self, branch: str, expected: str | None, commits: Sequence[NewCommit]) -> tuple[str, ...]:
        """See Repository.write_commits."""
        with self._lock:
            self._check(branch, expected)
            ids, new = objects.build(self.objects, expected, commits)
            self.objects.keep(new)
            if ids:
                self._heads[branch] = ids[-1]
            return tuple(ids)

    def create_branch(self, branch: str, oid: str) -> None:
        """See Repository.create_branch."""
        objects.read_commit(self.objects, oid)
        with self._lock:
            if branch in self._heads:
                raise RefConflictError(f"There is a branch {branch!r} already.")
            self._check(branch, None)
            self._heads[branch] = oid

    def move_branch(self, branch: str, expected: str | None, oid: str) -> None:
        """See Repository.move_branch."""
        objects.read_commit(self.objects, oid)
        with self._lock:
            self._check(branch, expected)
            self._heads[branch] = oid

    def delete_branch(self, branch: str, expected: str) -> None:
        """See Repository.delete_branch."""
        with self._lock:
            self._check(branch, expected)
            del self._heads[branch]

    def fingerprint(self) -> str:
        """See Repository.fingerprint."""
        with self._lock:
            return self._fingerprint()

    def _fingerprint(self) -> str:
        state = self.default, dict(sorted(self._heads.items())), dict(sorted(self.tags.items()))
        return hashlib.blake2b(repr(state).encode(), digest_size=16).hexdigest()

    def fetch(self, since: float | None = None) -> None:
        """See Repository.fetch: it lies here."""

    def listed(self) -> float:
        """See Repository.listed: it lies here, so what is read is always of now."""
        return math.inf

    def _check(self, branch: str, expected: str | None) -> None:
        if not is_ref(HEADS + branch):
            raise RefConflictError(f"{branch!r} is not a branch name Git accepts: see `git check-ref-format`.")
        if self._heads.get(branch) != expected:
            raise RefMovedError(f"{branch!r} is at {self._heads.get(branch)} and was expected to be at {expected}.")
        for other in self._heads if expected is None else ():
            if other.startswith(branch + "/") or branch.startswith(other + "/"):
                raise RefConflictError(f"{branch!r} cannot be made beside {other!r}: choose another name.")


class MemoryGit:
    """A host of repositories in memory."""

    def __init__(self) -> None:
        self._repositories: dict[str, MemoryRepository] = {}
        self._lock = threading.Lock()

    def create(self, name: str, default_branch: str, first: NewCommit) -> None:
        """See GitHost.create."""
        made = MemoryRepository(default_branch)
        made.write_commits(default_branch, None, [first])
        with self._lock:
            if name.lower() in {known.lower() for known in self._repositories}:
                raise RepositoryExistsError(f"There is a repository of project {name!r} already.")
            self._repositories[name] = made

    def repository(self, name: str) -> MemoryRepository:
        """See GitHost.repository."""
        if name not in self._repositories:
            raise RepositoryNotFoundError(f"There is no repository of project {name!r}; create the project first.")
        return self._repositories[name]

    def place(self, remotes: Mapping[str, str]) -> None:
        """See GitHost.place: all of them lie here."""
