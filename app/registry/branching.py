"""Making and deleting branches: one ref moved by compare-and-swap, then served at once."""

from app.registry import audit, names
from app.registry.branches import Branches
from app.registry.errors import (
    AlreadyExistsError,
    ConflictError,
    ContentionError,
    InvalidInputError,
    NotFoundError,
    Subject,
)
from app.registry.history import History
from app.registry.manifests import Manifests
from app.registry.model import Branch, Project
from app.registry.offload import Offload
from app.registry.remotes import refusals
from app.registry.sync import Synchroniser
from app.stores.errors import RefConflictError, RefMovedError, RepositoryBusyError
from app.stores.ports import GitHost

TRIES = 10


class Branching:
    """Writes refs. Every change goes through the synchroniser, so pointers and events follow.

    With `strict`, no branch begins with a manifest that has problems, as none is pushed.
    """

    def __init__(
        self,
        git: GitHost,
        branches: Branches,
        history: History,
        sync: Synchroniser,
        manifests: Manifests,
        offload: Offload,
        *,
        strict: bool,
    ) -> None:
        self._git = git
        self._branches = branches
        self._history = history
        self._sync = sync
        self._manifests = manifests
        self._offload = offload
        self._strict = strict

    async def create(self, project: Project, name: str, revision: str) -> Branch:
        """A branch at a revision. Raises InvalidInputError, NotFoundError, AlreadyExistsError, ContentionError."""
        if problem := names.problem_with_branch(name):
            raise InvalidInputError.of("name", problem)
        await self._offload.abroad(self._fetch, project)
        begun = await self._history.at(project, revision)
        if begun is None:
            raise NotFoundError(Subject.COMMIT, revision)
        if self._strict:
            await self._offload(self._check, project, begun.oid)
        with audit.act("create branch", project.name, branch=name, commit=begun.oid):
            await self._offload.abroad(self._create, project, name, begun.oid)
        await self._sync.sync(project)
        created = await self._branches.get(project, name)
        if created is None:
            raise NotFoundError(Subject.BRANCH, name)
        return created

    async def delete(self, project: Project, name: str, expected: str | None) -> str:
        """Delete a branch and answer where it was. Raises InvalidInputError, NotFoundError, ConflictError and more."""
        if expected is not None and (problem := names.problem_with_oid(expected)):
            raise InvalidInputError.of("expectedHead", problem)
        with audit.act("delete branch", project.name, branch=name) as details:
            head = await self._offload.abroad(self._delete, project, name, expected)
            details["commit"] = head
        await self._sync.sync(project)
        return head

    def _fetch(self, project: Project) -> None:
        with refusals():
            self._git.repository(project.name).fetch()

    def _check(self, project: Project, oid: str) -> None:
        """Raises InvalidInputError for a commit whose manifest has problems."""
        problems = self._manifests.problems(self._git.repository(project.name), project.manifest_path, oid)
        if problems:
            message = f"The manifest there has problems, so no branch may begin with it: {problems[0].message}"
            raise InvalidInputError.of("from", message)

    def _create(self, project: Project, name: str, oid: str) -> None:
        repository = self._git.repository(project.name)
        try:
            with refusals():
                repository.create_branch(name, oid)
        except RefConflictError as error:
            if repository.head(name) is None:
                message = f"Git keeps {name!r} and a branch that is a folder of the same name apart; choose another."
                raise InvalidInputError.of("name", message) from error
            raise AlreadyExistsError(Subject.BRANCH, name) from error
        except RepositoryBusyError as error:
            raise ContentionError("Another process holds this branch right now. Try again in a moment.") from error

    def _delete(self, project: Project, name: str, expected: str | None) -> str:
        repository = self._git.repository(project.name)
        for _ in range(TRIES):
            refs = repository.refs()
            head = refs.heads.get(name)
            if head is None:
                raise NotFoundError(Subject.BRANCH, name)
            if name == refs.default:
                raise InvalidInputError.of("name", f"{name!r} is the default branch, which a project always has.")
            if expected not in (None, head):
                raise ConflictError(f"{name!r} has moved to {head}. Look at it, and send that id to delete it.", head)
            try:
                with refusals():
                    repository.delete_branch(name, head)
            except (RefMovedError, RepositoryBusyError):
                continue
            return head
        raise ContentionError("Others are writing to this branch all the time. Nothing was deleted; try again.")
