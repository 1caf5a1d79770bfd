"""Walks through history."""

from collections.abc import Container, Iterator
from heapq import heappop, heappush

from app.stores.ports import CommitRecord, Repository


def newest_first(repository: Repository, head: str, known: Container[str] = ()) -> Iterator[CommitRecord]:
    """A commit and all behind it by whichever parents, except for those `known`: newest first by when they were made.

    Raises CommitNotFoundError.
    """
    waiting: list[tuple[float, int, CommitRecord]] = []
    seen: set[str] = set()

    def wait(oid: str) -> None:
        if oid not in seen:
            seen.add(oid)
            commit = repository.commit(oid)
            heappush(waiting, (-commit.committer.at.timestamp(), len(seen), commit))

    wait(head)
    while waiting:
        commit = heappop(waiting)[2]
        yield commit
        for parent in commit.parents:
            if parent not in known:
                wait(parent)
