"""What the commands read: whole lists, their pages followed, and the nearest names where nothing is there."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import ValidationError

from app.remote import queries
from app.remote.client import Client, RemoteError
from app.remote.queries import Place
from app.remote.shapes import (
    Artifact,
    Branch,
    Change,
    CommittedChange,
    Comparison,
    Happening,
    LoggedCommit,
    Manifest,
    Page,
    PageInfo,
    Project,
    Registry,
    Shape,
    WholeArtifact,
)

PAGE_SIZE = 100
"""Elements asked for at once: the largest page a registry gives."""
_DELETED = " If it was deleted, name a revision that had it: --at main~1."
T = TypeVar("T")
S = TypeVar("S", bound=Shape)


class NotThereError(RemoteError):
    """What the user names is not there; the message offers the names that are nearest to it."""

    def __init__(self, what: str, name: str, names: Iterable[str], hint: str = "") -> None:
        near = difflib.get_close_matches(name, list(names), n=3)
        nearest = f" Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"There is no {what}.{nearest}{hint}")


def projects(client: Client, limit: int | None = None) -> Page[Project]:
    """The projects, by name."""

    def turn(first: int, after: str | None) -> Page[Project]:
        data = client.ask(queries.PROJECTS, first=first, after=after)
        return _read(client, Page[Project], data, "projects")

    return _whole(turn, limit)


def branches(client: Client, project: str, limit: int | None = None) -> Page[Branch]:
    """The branches of a project, by name. Raises NotThereError."""

    def turn(first: int, after: str | None) -> Page[Branch]:
        data = client.ask(queries.BRANCHES, project=project, first=first, after=after)
        return _read(client, Page[Branch], _project(client, data, project), "branches")

    return _whole(turn, limit)


def artifacts(
    client: Client, place: Place, wanted: dict[str, Any] | None = None, limit: int | None = None
) -> Page[Artifact]:
    """The artifacts at a place, by name; `wanted` is an ArtifactFilter. Raises NotThereError."""
    document = place.document(queries.ARTIFACTS, "$first: Int!", "$after: String", "$filter: ArtifactFilter")

    def turn(first: int, after: str | None) -> Page[Artifact]:
        found = _at(client, place, document, first=first, after=after, filter=wanted)
        return _read(client, Page[Artifact], found, "artifacts")

    return _whole(turn, limit)


def manifest(client: Client, place: Place) -> Manifest:
    """How the manifest of a branch stands. Raises NotThereError."""
    return _read(client, Manifest, _at(client, place, place.document(queries.MANIFEST)), "manifest")


def artifact(client: Client, place: Place, name: str) -> WholeArtifact:
    """One artifact. Raises NotThereError."""
    data = client.ask(queries.WHOLE_ARTIFACT, **place.variables, name=name)
    return _read(client, WholeArtifact, _artifact(client, data, place, name))


def artifact_history(client: Client, place: Place, name: str, limit: int) -> Page[CommittedChange]:
    """What was done to an artifact that is there, newest first. Raises NotThereError."""

    def turn(first: int, after: str | None) -> Page[CommittedChange]:
        data = client.ask(queries.ARTIFACT_HISTORY, **place.variables, name=name, first=first, after=after)
        return _read(client, Page[CommittedChange], _artifact(client, data, place, name), "history")

    return _whole(turn, limit)


def history(client: Client, place: Place, limit: int, *, changes: bool) -> Page[LoggedCommit]:
    """The commits that changed a branch's manifest, newest first, and what each did if asked. Raises NotThereError."""
    document = place.document(queries.HISTORY, "$first: Int!", "$after: String", "$changes: Boolean!")

    def turn(first: int, after: str | None) -> Page[LoggedCommit]:
        found = _at(client, place, document, first=first, after=after, changes=changes)
        return _read(client, Page[LoggedCommit], found, "history")

    page = _whole(turn, limit)
    return page.model_copy(update={"nodes": tuple(_complete(client, place.project, commit) for commit in page.nodes)})


def ancestry(client: Client, place: Place, limit: int, *, changes: bool) -> Page[LoggedCommit]:
    """The commit at a revision and its first parents, whatever they changed. Raises NotThereError."""

    def turn(_: int, after: str | None) -> Page[LoggedCommit]:
        here = Place(place.project, at=after or place.at)
        found = _at(client, here, here.document(queries.LOGGED_COMMIT, "$changes: Boolean!"), changes=changes)
        commit = _complete(client, place.project, _read(client, LoggedCommit, found))
        parent = next(iter(commit.parents), None)
        return Page(nodes=(commit,), page_info=PageInfo(has_next_page=parent is not None, end_cursor=parent))

    return _whole(turn, limit)


def comparison(client: Client, project: str, base: str, head: str, artifact_name: str | None = None) -> Comparison:
    """What differs between two revisions, or of one artifact between them. Raises NotThereError."""
    found: list[Comparison] = []

    def turn(first: int, after: str | None) -> Page[Change]:
        sides = {"base": found[0].base.oid, "head": found[0].head.oid} if found else {"base": base, "head": head}
        data = client.ask(queries.COMPARISON, project=project, **sides, first=first, after=after)
        answer = _project(client, data, project)
        for side, revision in sides.items():
            if answer.get(side) is None:
                raise _no_place(client, Place(project, at=revision))
        found.append(_read(client, Comparison, answer, "comparison"))
        return found[-1].changes

    changes = _whole(turn)
    whole = found[0].model_copy(update={"changes": changes})
    return whole if artifact_name is None else _of_artifact(client, project, whole, artifact_name)


def event_cursor(client: Client) -> str | None:
    """Where events stand now; None before the first."""
    return _read(client, Registry, client.ask(queries.EVENT_CURSOR), "registry").event_cursor


@contextmanager
def events(client: Client, wanted: dict[str, Any], after: str | None) -> Iterator[Iterator[Happening]]:
    """Events as they happen, from just after a cursor or from now on; `wanted` is an EventFilter.

    Raises as Client.subscribe does.
    """
    with client.subscribe(queries.EVENTS, filter=wanted, after=after) as results:
        yield (_read(client, Happening, data, "events") for data in results)


def _of_artifact(client: Client, project: str, compared: Comparison, name: str) -> Comparison:
    """What differs of one artifact. Raises NotThereError when neither commit has it."""
    nodes = tuple(one for one in compared.changes.nodes if one.name == name)
    if not nodes:  # then both commits have it, or neither
        names = [one.name for one in artifacts(client, Place(project, at=compared.head.oid)).nodes]
        if name not in names:
            raise NotThereError(f"artifact {name} in {project} at either revision", name, names)
    return compared.model_copy(update={"changes": compared.changes.model_copy(update={"nodes": nodes})})


def _complete(client: Client, project: str, commit: LoggedCommit) -> LoggedCommit:
    """The commit with all its changes, where the first page of them was not all."""
    if commit.changes is None or not commit.changes.page_info.has_next_page:
        return commit
    here = Place(project, at=commit.oid)
    document = here.document(queries.COMMIT_CHANGES, "$first: Int!", "$after: String")

    def turn(first: int, after: str | None) -> Page[Change]:
        return _read(client, Page[Change], _at(client, here, document, first=first, after=after), "changes")

    return commit.model_copy(update={"changes": _whole(turn)})


def _whole(turn: Callable[[int, str | None], Page[T]], limit: int | None = None) -> Page[T]:
    """The pages of a list as one, up to a limit; its page info is that of the last."""
    nodes: list[T] = []
    after = None
    while True:
        page = turn(PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - len(nodes)), after)
        nodes += page.nodes
        after = page.page_info.end_cursor
        if not page.page_info.has_next_page or after is None or (limit is not None and len(nodes) >= limit):
            return page.model_copy(update={"nodes": tuple(nodes)})


def _at(client: Client, place: Place, document: str, **variables: Any) -> dict[str, Any]:
    """What a document of a place answers about it. Raises NotThereError."""
    answer = _project(client, client.ask(document, **place.variables, **variables), place.project)
    if answer.get("place") is None:
        raise _no_place(client, place)
    return _object(client, answer["place"])


def _project(client: Client, data: dict[str, Any], name: str) -> dict[str, Any]:
    """What an answer says about the project it was asked for. Raises NotThereError."""
    if data.get("project") is None:
        raise NotThereError(f"project {name}", name, (one.name for one in projects(client).nodes))
    return _object(client, data["project"])


def _artifact(client: Client, data: dict[str, Any], place: Place, name: str) -> dict[str, Any]:
    """What an answer says about the artifact it was asked for. Raises NotThereError."""
    if data.get("artifact") is None:
        names = (one.name for one in artifacts(client, place).nodes)
        raise NotThereError(f"artifact {name} in {place}", name, names, _DELETED)
    return _object(client, data["artifact"])


def _no_place(client: Client, place: Place) -> NotThereError:
    names = [one.name for one in branches(client, place.project).nodes]
    if place.at is not None:
        return NotThereError(f"revision {place.at} in {place.project}", place.at, names)
    if place.branch is not None:
        return NotThereError(f"branch {place.branch} in {place.project}", place.branch, names)
    return NotThereError(f"default branch in {place.project}; name another with --branch", "", names)


def _object(client: Client, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise client.not_a_registry("it answers in a shape of its own")
    return value


def _read(client: Client, shape: type[S], holder: dict[str, Any], member: str | None = None) -> S:
    """An answer, or a member of it, in its shape. Raises NoServerError when it has another."""
    try:
        return shape.model_validate(holder if member is None else holder.get(member))
    except ValidationError as error:
        raise client.not_a_registry("it answers in a shape of its own") from error
