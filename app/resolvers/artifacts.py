"""Artifacts: finding them on a branch, at a commit and everywhere, and committing them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from app.registry.access.identity import Role
from app.registry.artifacts import ChangeRequest, Committed, PendingPolicy, WriteRequest
from app.registry.errors import InvalidInputError, NotFoundError, Subject
from app.registry.history import HEAD
from app.registry.index import Hit, Hits
from app.registry.manifest import Entry
from app.registry.manifests import Listing
from app.registry.model import Artifact, Branch, Commit, Project
from app.registry.search import ArtifactFilter, asks_store, matcher
from app.resolvers import branches, commits
from app.resolvers.context import Context
from app.resolvers.paging import Page, Request
from app.resolvers.paging import page as page_of

FEW = 100
"""Entries; a filter is through them before a thread would have begun."""


def _named(wanted: ArtifactFilter) -> str:
    """A filter's name in cursors: short however long the filter is, since every cursor of a page carries it."""
    return hashlib.sha256(repr(wanted).encode()).hexdigest()


NO_FILTER = ArtifactFilter()
EVERYTHING = _named(NO_FILTER)


async def find(context: Context, project_name: str, name: str, branch: str | None, at: str | None) -> Artifact | None:
    """One artifact by name: at a revision, else on a branch, else on the default one."""
    project = context.project(project_name)
    if project is None:
        return None
    if at is not None:
        if branch is not None:
            raise InvalidInputError.of("at", "Give either a branch or a revision; a revision may be a branch's name.")
        commit = await commits.at(context, project, at)
        return await at_commit(context, commit, name) if commit else None
    found = await (branches.default(context, project) if branch is None else branches.get(context, project, branch))
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
    listed = await context.registry.manifests.artifacts(branch.project, branch.head, branch.at.blob)
    return await _page(context, ("artifacts", branch.project.name, branch.name), listed, first, after, wanted)


async def page_of_commit(
    context: Context, commit: Commit, first: int | None, after: str | None, wanted: ArtifactFilter | None
) -> Page[Artifact]:
    """The entries as they were at a commit, by name."""
    at = await context.registry.history.manifest_at(commit)
    listed = await context.registry.manifests.artifacts(commit.project, commit.oid, at.blob)
    return await _page(context, ("artifacts at", commit.project.name, commit.oid), listed, first, after, wanted)


async def page(context: Context, first: int | None, after: str | None, wanted: ArtifactFilter | None) -> Page[Artifact]:
    """The artifacts of every project, by project, branch and name; of default branches unless a branch is asked for."""
    wanted = wanted or NO_FILTER
    found = await _search(context, wanted)
    return _page_of_hits(Request(("search", _named(wanted)), first, after, context.limits.page_size), found)


async def with_data_object_id(context: Context, wanted: str) -> Sequence[Hit]:
    """Everything on branch heads that carries a dataObjectId, by project, branch and name."""
    return await _search(context, ArtifactFilter(branch="*", data_object_id=wanted))


def page_of_data_object(
    context: Context, wanted: str, found: Sequence[Hit], first: int | None, after: str | None
) -> Page[Artifact]:
    """A page of what carries a dataObjectId."""
    return _page_of_hits(Request(("data object", wanted), first, after, context.limits.page_size), found)


async def commit_changes(
    context: Context, request: WriteRequest, changes: Sequence[ChangeRequest], pending: PendingPolicy
) -> Committed:
    """Commit changes of artifacts."""
    project, request = await _to_write(context, request)
    done = await context.registry.artifacts.commit(project, request, changes, context.caller, pending)
    context.count_uploads(done.uploads)
    return done


async def restore(context: Context, request: WriteRequest, name: str, revision: str) -> Committed:
    """Commit an entry as it was."""
    project, request = await _to_write(context, request)
    return await context.registry.artifacts.restore(project, request, name, revision, context.caller)


async def _to_write(context: Context, request: WriteRequest) -> tuple[Project, WriteRequest]:
    """The project, and the request with the branch that was judged: which one is the default may change meanwhile."""
    project = context.require(request.project, Role.WRITER, request.branch)
    if request.branch is None:
        default = await branches.default(context, project)
        if default is None:
            raise NotFoundError(Subject.BRANCH, HEAD)
        context.require(project.name, Role.WRITER, default.name)
        request = replace(request, branch=default.name)
    return project, request


async def _search(context: Context, wanted: ArtifactFilter) -> Hits:
    context.footing.on_search()
    found = await context.registry.index.search(wanted, context.sees)
    if not found.complete:
        context.footing.on_more()
    return found


async def _page(
    context: Context,
    scope: tuple[str, ...],
    listed: Listing,
    first: int | None,
    after: str | None,
    wanted: ArtifactFilter | None,
) -> Page[Artifact]:
    found, named, token = (
        (listed, EVERYTHING, listed.token)
        if wanted is None
        else (await _matching(context, listed, wanted), _named(wanted), None)
    )
    request = Request((*scope, named), first, after, context.limits.page_size)
    return page_of(request, found, lambda one: (one.name,), token)


async def _matching(context: Context, listed: Sequence[Artifact], wanted: ArtifactFilter) -> Sequence[Artifact]:
    if wanted.project is not None or wanted.branch is not None:
        raise InvalidInputError.of(
            "filter", "This list is of one commit; filter by project or branch on the query root."
        )
    look = partial(_passing, matcher(wanted), listed)
    found = look() if len(listed) <= FEW else await context.registry.offload(look)
    if wanted.object_states and asks_store(wanted.object_states):
        return await context.registry.presence.among(found, wanted.object_states)
    return found


def _passing(test: Callable[[Entry], bool], listed: Sequence[Artifact]) -> Sequence[Artifact]:
    return [one for one in listed if test(one.entry)]


def _page_of_hits(request: Request, found: Sequence[Hit]) -> Page[Artifact]:
    placed = page_of(request, found, lambda hit: (hit.artifact.project.name, hit.branch, hit.artifact.name))
    return placed.map(lambda hit: hit.artifact)


def _artifact(project: Project, commit: str, entry: Entry | None) -> Artifact | None:
    return Artifact(project, commit, entry) if entry else None
