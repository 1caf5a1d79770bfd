"""A Git host elsewhere, and servers of the registry whose projects lie there."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.api import Work, new_project
from tests.support.git import clone, git, push_file
from tests.support.githttp import GitHttp, bare, serving
from tests.support.server import Server, running

PASSWORD = "s3cret-token"
SECRET = "a secret that all servers are told, as long as it must be"
SYNC = "query($p: String!) { project(name: $p) { sync { state syncedAt lagSeconds lastError } } }"


@dataclass
class Elsewhere:
    """The host, and where people keep their work trees."""

    host: GitHttp
    folder: Path
    credentials: Path
    settings: dict[str, str] = field(default_factory=dict)

    def repository(self, name: str = "models", manifest: bytes | None = b"# ours\nchurn: {type: model}\n") -> Path:
        """A repository there with a first commit by a person, or an empty one without `manifest`."""
        path = bare(self.host.root, name)
        if manifest is not None:
            push_file(self.tree(name), "artifacts.yml", manifest)
        return path

    def tree(self, name: str = "models") -> Path:
        """A person's work tree, which pushes past the registry."""
        tree = self.folder / f"{name}-tree"
        return tree if tree.exists() else clone(self.host.root / f"{name}.git", tree)

    @contextmanager
    def server(self, name: str = "one", **settings: Any) -> Iterator[Server]:
        """A server that knows the password, with a data directory of its own."""
        with running(self.folder / name, "--no-demo", **(self.settings | settings)) as server:
            yield server

    def project(self, server: Server, name: str = "models", **members: Any) -> "There":
        """A project of the server whose repository lies there."""
        work = new_project(server, **({"remoteUrl": self.host.url(name)} | members))
        return There(server, work.name, self.host.root / f"{name}.git")

    @property
    def shared(self) -> dict[str, str]:
        """What servers that share a catalogue are told."""
        return {"REGISTRY_CATALOG_URL": self.host.url("catalog"), "REGISTRY_SECRET": SECRET}

    def replicas(self, stack: ExitStack, count: int, **settings: str) -> list[Server]:
        """Servers that share nothing but a cache and what lies elsewhere."""
        if not (self.host.root / "catalog.git").exists():
            bare(self.host.root, "catalog")
        told = self.shared | settings
        return [stack.enter_context(self.server(f"replica-{number}", **told)) for number in range(count)]


@dataclass(frozen=True)
class There(Work):
    """A project whose repository lies elsewhere, as `bare` shows it."""

    bare: Path

    @property
    def repository(self) -> Path:
        """Where it really lies."""
        return self.bare

    def sync(self) -> dict[str, Any]:
        """How what is served stands to it."""
        found: dict[str, Any] = self.server.ask(SYNC, p=self.name)["project"]["sync"]
        return found

    def through(self, server: Server) -> "There":
        """The same project, asked of another server."""
        return There(server, self.name, self.bare)


@contextmanager
def elsewhere(folder: Path) -> Iterator[Elsewhere]:
    """A host on a free port that wants a password, for the time of a block."""
    root = folder / "host"
    root.mkdir(parents=True)
    with serving(root) as host:
        host.moods.password = PASSWORD
        credentials = folder / "git-credentials"
        credentials.write_text(f"http://ada:{PASSWORD}@127.0.0.1:{host.port}\n")
        yield Elsewhere(host, folder, credentials, {"REGISTRY_GIT_CREDENTIALS": str(credentials)})


def head(repository: Path, branch: str = "main") -> str:
    """Where a branch is there."""
    return git("rev-parse", f"refs/heads/{branch}", at=repository)
