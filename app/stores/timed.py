"""Git with a watch in its hand: repositories of which it is measured how long they take."""

from collections.abc import Collection, Container, Generator, Mapping, Sequence

from app.stores.ports import CommitRecord, GitHost, NewCommit, Refs, Repository, Trace, TreeFile
from app.stores.timings import Timings

STORE = "git"


class TimedGit:
    """A GitHost whose repositories are timed."""

    def __init__(self, git: GitHost, timings: Timings) -> None:
        self._git = git
        self._timings = timings

    def create(self, name: str, default_branch: str, first: NewCommit) -> None:
        """See GitHost.create."""
        with self._timings.of(STORE, "create"):
            self._git.create(name, default_branch, first)

    def repository(self, name: str) -> Repository:
        """See GitHost.repository."""
        return TimedRepository(self._git.repository(name), self._timings)

    def place(self, remotes: Mapping[str, str]) -> None:
        """See GitHost.place."""
        self._git.place(remotes)


class TimedRepository:
    """A Repository that times what is written, what is fetched, and what is read of it at a time.

    What only compares, or reads on while somebody goes on asking, is not timed.
    """

    def __init__(self, repository: Repository, timings: Timings) -> None:
        self._repository = repository
        self._timings = timings

    def refs(self) -> Refs:
        """See Repository.refs."""
        with self._timings.of(STORE, "read"):
            return self._repository.refs()

    def head(self, branch: str) -> str | None:
        """See Repository.head."""
        with self._timings.of(STORE, "read"):
            return self._repository.head(branch)

    def commit(self, oid: str) -> CommitRecord:
        """See Repository.commit."""
        with self._timings.of(STORE, "read"):
            return self._repository.commit(oid)

    def file(self, commit: str, path: str) -> TreeFile | None:
        """See Repository.file."""
        with self._timings.of(STORE, "read"):
            return self._repository.file(commit, path)

    def blob(self, oid: str, limit: int) -> bytes:
        """See Repository.blob."""
        with self._timings.of(STORE, "read"):
            return self._repository.blob(oid, limit)

    def trace(self, path: str, head: str, known: Container[str], tips: Collection[str]) -> Generator[Trace, None, None]:
        """See Repository.trace."""
        return self._repository.trace(path, head, known, tips)

    def write_commits(self, branch: str, expected: str | None, commits: Sequence[NewCommit]) -> tuple[str, ...]:
        """See Repository.write_commits."""
        with self._timings.of(STORE, "write"):
            return self._repository.write_commits(branch, expected, commits)

    def create_branch(self, branch: str, oid: str) -> None:
        """See Repository.create_branch."""
        with self._timings.of(STORE, "write"):
            self._repository.create_branch(branch, oid)

    def move_branch(self, branch: str, expected: str | None, oid: str) -> None:
        """See Repository.move_branch."""
        with self._timings.of(STORE, "write"):
            self._repository.move_branch(branch, expected, oid)

    def delete_branch(self, branch: str, expected: str) -> None:
        """See Repository.delete_branch."""
        with self._timings.of(STORE, "write"):
            self._repository.delete_branch(branch, expected)

    def fingerprint(self) -> str:
        """See Repository.fingerprint."""
        return self._repository.fingerprint()

    def fetch(self, since: float | None = None) -> None:
        """See Repository.fetch."""
        with self._timings.of(STORE, "fetch"):
            self._repository.fetch(since)

    def listed(self) -> float:
        """See Repository.listed."""
        return self._repository.listed()
