"""Artifacts: finding them on a branch, at a commit and everywhere, and committing them."""

from collections.abc import Callable, Sequence

from app.registry.artifacts import ChangeRequest, Committed, PendingPolicy, WriteRequest
from app.registry.errors import InvalidInputError
from app.registry.manifest import Entry, Manifest
from app.registry.model import Artifact, Branch, Commit, ObjectState, Project
from app.registry.search import ArtifactFilter, glob, matcher
from app.resolvers.context import Context
from app.resolvers.paging import Page, Request
from app.resolvers.paging import page as page_of

NO_FILTER = ArtifactFilter()


async def find(context: Context, project_name: str, name: str, branch: str | None, at: str | None) -> Artifact | None:
    """One artifact by name: at a revision, else on a branch, else on the default one."""
    project = context.registry.catalogue.get(project_name)
    if project is None:
        return None
    if at is not None:
        if branch is not None:
            raise InvalidInputError.of("at", "Give either a branch or a revision; a revision may be a branch's name.")
        commit = await context.registry.history.at(project, at)
        return await at_commit(context, commit, name) if commit else None
    branches = context.registry.branches
    found = await (branches.default(project) if branch is None else branches.get(project, branch))
    return await on_branch(context, found, name) if found else None


async def on_branch(context: Context, branch: Branch, name: str) -> Artifact | None:
    """An entry of a branch, or None."""
    manifest = await context.registry.manifests.get(branch.project, branch.at.blob)
    return _artifact(branch.project, branch.head, manifest.entries.get(name))


async def at_commit(context: Context, commit: Commit, name: str) -> Artifact | None:
    """An entry as it was at a commit, or None."""
    manifest = await context.registry.history.manifest(commit)
    return _artifact(commit.project, commit.oid, manifest.entries.get(name))


async def page_of_branch(
    context: Context, branch: Branch, first: int | None, after: str | None, wanted: ArtifactFilter | None
) -> Page[Artifact]:
    """The entries of a branch, by name."""
    manifest = await context.registry.manifests.get(branch.project, branch.at.blob)
    scope = ("artifacts", branch.project.name, branch.name)
    return await _page(context, scope, (branch.project, branch.head, manifest), first, after, wanted)


async def page_of_commit(
    context: Context, commit: Commit, first: int | None, after: str | None, wanted: ArtifactFilter | None
) -> Page[Artifact]:
    """The entries as they were at a commit, by name."""
    manifest = await context.registry.history.manifest(commit)
    scope = ("artifacts at", commit.project.name, commit.oid)
    return await _page(context, scope, (commit.project, commit.oid, manifest), first, after, wanted)


async def page(context: Context, first: int | None, after: str | None, wanted: ArtifactFilter | None) -> Page[Artifact]:
    """The artifacts of every project, by project, branch and name; of default branches unless a branch is asked for."""
    wanted = wanted or NO_FILTER
    request = Request(("search", repr(wanted)), first, after, context.limits.page_size)
    test, found = matcher(wanted), []
    for branch in await _branches(context, wanted):
        manifest = await context.registry.manifests.get(branch.project, branch.at.blob)
        artifacts = _artifacts(branch.project, branch.head, manifest, test)
        found += [(branch.name, one) for one in await _in_state(context, artifacts, wanted.object_states)]
    placed = page_of(request, found, lambda one: (one[1].project.name, one[0], one[1].name))
    return placed.map(lambda one: one[1])


async def with_data_object_id(context: Context, wanted: str) -> list[tuple[str, Artifact]]:
    """Everything on branch heads that carries a dataObjectId, with its branch, by project, branch and name."""
    found = []
    for branch in await _branches(context, ArtifactFilter(branch="*")):
        manifest = await context.registry.manifests.get(branch.project, branch.at.blob)
        carriers = _artifacts(branch.project, branch.head, manifest, lambda entry: entry.data_object_id == wanted)
        found += [(branch.name, one) for one in carriers]
    return found


def page_of_data_object(
    context: Context, wanted: str, found: Sequence[tuple[str, Artifact]], first: int | None, after: str | None
) -> Page[Artifact]:
    """A page of what carries a dataObjectId."""
    request = Request(("data object", wanted), first, after, context.limits.page_size)
    placed = page_of(request, found, lambda one: (one[1].project.name, one[0], one[1].name))
    return placed.map(lambda one: one[1])


async def commit_changes(
    context: Context, request: WriteRequest, changes: Sequence[ChangeRequest], pending: PendingPolicy
) -> Committed:
    """Commit changes of artifacts."""
    project = context.registry.catalogue.require(request.project)
    return await context.registry.artifacts.commit(project, request, changes, context.caller, pending)


async def restore(context: Context, request: WriteRequest, name: str, revision: str) -> Committed:
    """Commit an entry as it was."""
    project = context.registry.catalogue.require(request.project)
    return await context.registry.artifacts.restore(project, request, name, revision, context.caller)


async def _branches(context: Context, wanted: ArtifactFilter) -> list[Branch]:
    registry, found = context.registry, []
    project_wanted, branch_wanted = glob(wanted.project), glob(wanted.branch)
    for project in registry.catalogue.projects.values():
        if not project_wanted(project.name):
            continue
        if wanted.branch is None:
            default = await registry.branches.default(project)
            found += [default] if default else []
        else:
            found += [one for one in await registry.branches.list(project) if branch_wanted(one.name)]
    return found


async def _page(
    context: Context,
    scope: tuple[str, ...],
    place: tuple[Project, str, Manifest],
    first: int | None,
    after: str | None,
    wanted: ArtifactFilter | None,
) -> Page[Artifact]:
    wanted = wanted or NO_FILTER
    if wanted.project is not None or wanted.branch is not None:
        raise InvalidInputError.of(
            "filter", "This list is of one commit; filter by project or branch on the query root."
        )
    request = Request((*scope, repr(wanted)), first, after, context.limits.page_size)
    artifacts = _artifacts(*place, matcher(wanted))
    return page_of(request, await _in_state(context, artifacts, wanted.object_states), lambda one: (one.name,))


async def _in_state(
    context: Context, artifacts: list[Artifact], states: Sequence[ObjectState] | None
) -> list[Artifact]:
    if states is None:
        return artifacts
    found = []
    for one in artifacts:
        pin = one.entry.object
        if pin and await context.registry.transfers.state(one.project, pin) in states:
            found.append(one)
    return found


def _artifacts(project: Project, commit: str, manifest: Manifest, test: Callable[[Entry], bool]) -> list[Artifact]:
    return [Artifact(project, commit, entry) for _, entry in sorted(manifest.entries.items()) if test(entry)]


def _artifact(project: Project, commit: str, entry: Entry | None) -> Artifact | None:
    return Artifact(project, commit, entry) if entry else None
