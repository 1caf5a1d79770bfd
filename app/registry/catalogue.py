"""The catalogue: which projects there are, as `projects.yml` of a repository of its own."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from app.registry import names
from app.registry.errors import AlreadyExistsError, ContentionError, InvalidInputError, Issue, NotFoundError, Subject
from app.registry.manifest import Entry, Limits, Put, edit, read
from app.registry.messages import with_trailers
from app.registry.model import DEFAULT_MANIFEST_PATH, Actor, Project
from app.registry.offload import Offload
from app.stores.errors import RefMovedError, RepositoryBusyError, RepositoryExistsError
from app.stores.ports import GitHost, NewCommit, Repository, Signature

PATH = "projects.yml"
BRANCH = "main"
TRIES = 10
COMMITTER = Actor("ML Registry", "ml-registry@localhost")
LIMITS = Limits(bytes=16 * 1024 * 1024, nodes=1_000_000, expanded=1_000_000, entries=100_000)
log = logging.getLogger("ml_registry.catalogue")


def signature(actor: Actor, at: datetime | None = None) -> Signature:
    """An actor as Git writes one, now unless told otherwise."""
    return Signature(actor.name, actor.email, at or datetime.now(UTC))


class Catalogue:
    """Every project by name, kept in the process and read anew whenever the catalogue's branch has moved."""

    def __init__(self, repository: Repository, git: GitHost, offload: Offload) -> None:
        self._repository = repository
        self._git = git
        self._offload = offload
        self._head: str | None = None
        self._projects: Mapping[str, Project] = MappingProxyType({})
        self._writing = asyncio.Lock()

    @property
    def projects(self) -> Mapping[str, Project]:
        """Every project, in the order of their names."""
        return self._projects

    def get(self, name: str) -> Project | None:
        """One project, or None."""
        return self._projects.get(name)

    def require(self, name: str) -> Project:
        """One project. Raises NotFoundError."""
        project = self._projects.get(name)
        if project is None:
            raise NotFoundError(Subject.PROJECT, name)
        return project

    async def refresh(self) -> bool:
        """Read the catalogue if its branch has moved; tells whether it had. A broken file leaves the last good one."""
        return await self._offload(self._refresh)

    def _refresh(self) -> bool:
        head = self._repository.head(BRANCH)
        if head is None or head == self._head:
            return False
        entries = read(self._text(head), LIMITS).entries
        projects = (project_from(entry) for entry in entries.values())
        self._projects = MappingProxyType({p.name: p for p in sorted(projects, key=lambda p: p.name)})
        self._head = head
        return True

    def _text(self, head: str) -> bytes:
        file = self._repository.file(head, PATH)
        return b"" if file is None else self._repository.blob(file.oid, LIMITS.bytes)

    async def create(self, project: Project, default_branch: str, actor: Actor) -> Project:
        """A new hosted project: its repository first, then its line in the catalogue, which makes it exist.

        Raises InvalidInputError, AlreadyExistsError.
        """
        _check(project, default_branch)
        async with self._writing:
            return await self._offload(self._create, project, default_branch, actor)

    def _create(self, project: Project, default_branch: str, actor: Actor) -> Project:
        self._refresh()
        if any(name.casefold() == project.name.casefold() for name in self._projects):
            raise AlreadyExistsError(Subject.PROJECT, project.name)
        message = with_trailers(f"Create project {project.name}", actor)
        first = NewCommit({}, message, signature(actor), signature(COMMITTER))
        try:
            self._git.create(project.name, default_branch, first)
        except RepositoryExistsError:
            # Left by a crash between the two steps, or put there by hand: what it holds is kept.
            log.warning("the repository of %s was there already; it is taken into the catalogue", project.name)
        self._record(project, message, actor)
        return self.require(project.name)

    def _record(self, project: Project, message: str, actor: Actor) -> None:
        for _ in range(TRIES):
            head = self._repository.head(BRANCH)
            text = self._text(head) if head else None
            data, _ = edit(text, [Put(project.name, entry_of(project))], LIMITS)
            commit = NewCommit({PATH: data}, message, signature(actor), signature(COMMITTER))
            try:
                self._repository.write_commits(BRANCH, head, [commit])
            except (RefMovedError, RepositoryBusyError):
                continue
            self._refresh()
            return
        raise ContentionError("The catalogue is being written by others right now. Try again in a moment.")


def project_from(entry: Entry) -> Project:
    """A project from its line in the catalogue."""
    remote = entry.metadata.get("remoteUrl")
    path = entry.metadata.get("manifestPath", DEFAULT_MANIFEST_PATH)
    return Project(entry.name, entry.description, remote if isinstance(remote, str) else None, str(path))


def entry_of(project: Project) -> dict[str, Any]:
    """A project's line in the catalogue: only what differs from the defaults."""
    entry: dict[str, Any] = {"description": project.description}
    if project.remote_url is not None:
        entry["remoteUrl"] = project.remote_url
    if project.manifest_path != DEFAULT_MANIFEST_PATH:
        entry["manifestPath"] = project.manifest_path
    return entry


def _check(project: Project, default_branch: str) -> None:
    found = [
        ("name", names.problem_with_project(project.name)),
        ("defaultBranch", names.problem_with_branch(default_branch)),
        ("manifestPath", names.problem_with_manifest_path(project.manifest_path)),
        ("description", names.problem_with_text(project.description)),
    ]
    if project.remote_url is not None:
        found.append(("remoteUrl", "This release hosts every repository itself. Leave it out, then push to the new one."))
    issues = [Issue((path,), problem) for path, problem in found if problem]
    if issues:
        raise InvalidInputError(issues)
