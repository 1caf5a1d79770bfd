"""The state of manifests, as callers see it."""

import strawberry

from app.registry import manifest, model
from app.registry.model import ManifestState
from app.resolvers import manifests
from app.schema import described
from app.schema.info import Info

described.enum(
    ManifestState,
    """How the manifest at a commit stands.

    VALID: It can be read, and it is what is served.
    ABSENT: There is no such file: there are no artifacts.
    BROKEN: It cannot be read. The last good one is served; on a branch nothing is written until somebody repairs it.
    """,
)


@described.type_
class ManifestProblem:
    """Something wrong with a manifest, and what to do about it.

    code: What kind of problem it is; the list stands in the documentation and is closed.
    message: What is wrong and the next step.
    line: The line it is on, counted from 1; null when it has no place.
    column: The column it begins at, counted from 1; null when it has no place.
    artifact: The entry it is about; null when it breaks the whole file.
    """

    code: str
    message: str
    line: int | None
    column: int | None
    artifact: str | None

    @classmethod
    def of(cls, problem: manifest.Problem) -> "ManifestProblem":
        return cls(
            code=problem.code,
            message=problem.message,
            line=problem.line,
            column=problem.column,
            artifact=problem.artifact,
        )


@described.type_
class Manifest:
    """The state of the manifest at a commit, as at the head of a branch. A broken one never hides the last good one."""

    project: strawberry.Private[model.Project]
    at: strawberry.Private[model.ManifestAt]

    @described.field
    def state(self) -> ManifestState:
        """How the manifest stands. Costs nothing."""
        return self.at.state

    @described.field
    async def served_commit(self, info: Info) -> "Commit | None":
        """The commit whose manifest is being served; null when there is nothing to serve. One look into Git."""
        found = await manifests.served(info.context, self.project, self.at)
        return Commit(value=found) if found else None

    @described.field
    async def problems(self, info: Info) -> list[ManifestProblem]:
        """What is wrong: with the whole file when it is BROKEN, with single entries, which are left out, otherwise."""
        return [ManifestProblem.of(one) for one in await manifests.problems(info.context, self.project, self.at)]


# The nouns speak of each other: these are needed only once a request is answered.
from app.schema.history import Commit  # noqa: E402
