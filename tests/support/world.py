"""A Git server, a person who pushes to it, and replicas of the registry that follow it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.stores.git.credentials import Credentials
from app.stores.git.mirrored import MirroredRepository, Mirrors
from app.stores.ports import NewCommit, Signature
from tests.support.git import clone, git, push_file
from tests.support.githttp import GitHttp, bare, serving

WHO = Signature("Ada", "ada@example.org", datetime(2026, 5, 4, tzinfo=UTC))


def new(text: str) -> NewCommit:
    return NewCommit({"artifacts.yml": text.encode()}, f"{text}\n", WHO, WHO)


@dataclass
class World:
    """A remote with one commit, a person's clone of it, and two replicas of the registry that follow it."""

    server: GitHttp
    origin: Path
    person: Path
    root: Path

    def replica(self, name: str, credentials: Path | None = None) -> MirroredRepository:
        return Mirrors(self.root / name, Credentials(credentials or self.server.listed)).at(self.server.url("ranker"))

    def mirror(self, name: str) -> Path:
        (path,) = (self.root / name).glob("*.git")
        return path

    def tip(self, branch: str = "main") -> str:
        return git("rev-parse", branch, at=self.origin)


@contextmanager
def a_world(root: Path) -> Iterator[World]:
    """All of it below a folder, with one commit; the server is stopped with the block."""
    origin = bare(root / "origin", "ranker")
    person = clone(origin, root / "person")
    push_file(person, "artifacts.yml", b"a: 1\n")
    with serving(root / "origin") as server:
        yield World(server, origin, person, root)
