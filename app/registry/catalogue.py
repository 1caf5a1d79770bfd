"""The catalogue: which projects there are, as `projects.yml` of a repository of its own."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from types import MappingProxyType
from typing import Any

from app.registry import names
from app.registry.errors import (
    AlreadyExistsError,
    ContentionError,
    InvalidInputError,
    Issue,
    ManifestBrokenError,
    NotFoundError,
    Subject,
)
from app.registry.manifest import Entry, Limits, Put, edit
from app.registry.manifests import EMPTY, Manifests
from app.registry.messages import with_trailers
from app.registry.model import DEFAULT_MANIFEST_PATH, Actor, ManifestState, Project
from app.registry.offload import Offload
from app.registry.remotes import unreachable
from app.stores.errors import (
    RefMovedError,
    RemoteUrlError,
    RepositoryBusyError,
    RepositoryExistsError,
    RepositoryNotFoundError,
)
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
    """Every project by name, kept in the process and read anew whenever the catalogue's branch has moved.

    `manifests` reads its file, within `LIMITS`. Unless `hosting`, every project lies elsewhere, as the catalogue does.
    """

    def __init__(
        self, repository: Repository, git: GitHost, manifests: Manifests, offload: Offload, *, hosting: bool
    ) -> None:
        self._repository = repository
        self._git = git
        self._manifests = manifests
        self._offload = offload
        self._hosting = hosting
        self._head: str | None = None
        self._projects: Mapping[str, Project] = MappingProxyType({})
        self.broken = False
        """Whether the file at the head cannot be read, so that the last good one is served."""
        self.readings = 0
        """How often it was read anew: while it is the same number, so are the projects."""
        self._writing = asyncio.Lock()
        self._reading = Lock()  # an older reading must not replace a newer one

    @property
    def projects(self) -> Mapping[str, Project]:
        """Every project, in the order of their names."""
        return self._projects

    def get(self, name: str) -> Project | None:
        """One project, or None."""
        return self._projects.get(name)

    def look_up(self, name: str) -> Project | None:
        """Blocking. One project, also when another server made it a moment ago, or None."""
        if name not in self._projects:
            self._refresh()
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
        with self._reading:
            head = self._repository.head(BRANCH)
            if head is None or head == self._head:
                return False
            at = self._manifests.at(self._repository, PATH, head)
            served = self._manifests.load(self._repository, at.blob) if at.blob else EMPTY
            self.broken = at.state is ManifestState.BROKEN
            for problem in (*at.problems, *served.problems):
                log.warning("%s, line %s: %s", PATH, problem.line, problem.message)
            projects = [project_from(served.entries[name]) for name in sorted(served.entries)]
            self._projects = MappingProxyType({p.name: p for p in projects if _usable(p)})
            self.readings += 1
            self._git.place(remotes_of(self._projects.values()))
            self._head = head
            return True

    async def create(self, project: Project, default_branch: str, actor: Actor) -> Project:
        """A new project: its repository first, then its line in the catalogue, which makes it exist.

        Raises InvalidInputError, AlreadyExistsError, ManifestBrokenError, ContentionError, RemoteUnavailableError.
        """
        self._check(project, default_branch)
        async with self._writing:
            with unreachable():
                return await self._offload.abroad(self._create, project, default_branch, actor)

    def _create(self, project: Project, default_branch: str, actor: Actor) -> Project:
        self._repository.fetch()
        self._refresh()
        self._absent(project)
        self._writable(self._repository.head(BRANCH))
        message = with_trailers(f"Create project {project.name}", actor)
        first = NewCommit({}, message, signature(actor), signature(COMMITTER))
        if project.remote_url:
            self._reach(project, default_branch, first)
        else:
            self._host(project, default_branch, first)
        self._record(project, message, actor)
        return self.require(project.name)

    def _absent(self, project: Project) -> None:
        if any(name.casefold() == project.name.casefold() for name in self._projects):
            raise AlreadyExistsError(Subject.PROJECT, project.name)

    def _reach(self, project: Project, default_branch: str, first: NewCommit) -> None:
        """Fetch a repository that lies elsewhere, and begin the default branch where it has none at all."""
        self._git.place(remotes_of([*self._projects.values(), project]))
        try:
            repository = self._git.repository(project.name)
            repository.fetch()
        except RemoteUrlError as error:
            raise InvalidInputError.of("remoteUrl", str(error)) from error
        if not repository.refs().heads:
            with suppress(RefMovedError):  # then it has one now
                repository.write_commits(default_branch, None, [first])

    def _host(self, project: Project, default_branch: str, first: NewCommit) -> None:
        try:
            self._git.create(project.name, default_branch, first)
        except RepositoryExistsError as error:
            self._adopt(project, error)

    def _adopt(self, project: Project, error: RepositoryExistsError) -> None:
        """Take in what a crash between the two steps left, or somebody put there by hand: what it holds is kept."""
        try:
            self._git.repository(project.name)
        except RepositoryNotFoundError:  # the one that is there differs in letter case
            raise AlreadyExistsError(Subject.PROJECT, project.name) from error
        log.warning("the repository of %s was there already; it is taken into the catalogue", project.name)

    def _check(self, project: Project, default_branch: str) -> None:
        issues = [*_issues(project), *_issue("defaultBranch", names.problem_with_branch(default_branch))]
        if project.remote_url is None and not self._hosting:
            issues += _issue("remoteUrl", "This registry hosts no repository itself: name one at your Git host.")
        if issues:
            raise InvalidInputError(issues)

    def _writable(self, head: str | None) -> bytes | None:
        """The file's text at the head. Raises ManifestBrokenError: what a person broke, a person repairs."""
        if head is None:
            return None
        at = self._manifests.at(self._repository, PATH, head)
        if at.state is ManifestState.BROKEN:
            message = f"The catalogue's {PATH} is broken. Repair it with git, then try again."
            raise ManifestBrokenError(message, at.problems)
        return self._manifests.text(self._repository, at.blob) if at.blob else None

    def _record(self, project: Project, message: str, actor: Actor) -> None:
        def recorded(head: str | None) -> bytes:
            self._refresh()
            self._absent(project)  # others may have been quicker
            data, _ = edit(self._writable(head), [Put(project.name, entry_of(project))], LIMITS)
            return data

        commit_file(self._repository, PATH, recorded, message, actor)
        self._refresh()


def commit_file(
    repository: Repository, path: str, text_after: Callable[[str | None], bytes], message: str, actor: Actor
) -> None:
    """Blocking. One commit to the catalogue that replaces a file by what is to come after the head.

    Tried again where others are quicker. Raises ContentionError, and what `text_after` and writing raise.
    """
    for _ in range(TRIES):
        head = repository.head(BRANCH)
        commit = NewCommit({path: text_after(head)}, message, signature(actor), signature(COMMITTER))
        try:
            repository.write_commits(BRANCH, head, [commit])
        except (RefMovedError, RepositoryBusyError):
            continue
        return
    raise ContentionError("The catalogue is being written by others right now. Try again in a moment.")


def remotes_of(projects: Iterable[Project]) -> dict[str, str]:
    """Where those lie that are not here, by name."""
    return {project.name: project.remote_url for project in projects if project.remote_url}


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


def _usable(project: Project) -> bool:
    issues = _issues(project)
    for issue in issues:
        log.warning("the line of %r in %s is left out: %s", project.name, PATH, issue.message)
    return not issues


def _issues(project: Project) -> list[Issue]:
    return [
        *_issue("name", names.problem_with_project(project.name)),
        *_issue("manifestPath", names.problem_with_manifest_path(project.manifest_path)),
        *_issue("remoteUrl", _problem_with_remote(project)),
        *_issue("description", names.problem_with_text(project.description)),
    ]


def _problem_with_remote(project: Project) -> str | None:
    return None if project.remote_url is None else names.problem_with_remote_url(project.remote_url)


def _issue(path: str, problem: str | None) -> list[Issue]:
    return [Issue((path,), problem)] if problem else []
