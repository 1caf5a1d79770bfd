"""The commands that read from a server: `ls`, `show`, `log` and `diff`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from app.remote import reading, views
from app.remote.asking import EXITS, LOCAL, Server, Token, asking
from app.remote.client import Client, read_json
from app.remote.queries import Place
from app.remote.screen import Screen, note, write_json
from app.remote.shapes import Page, Shape

LOGGED = 20
DIFFERS = 1
S = TypeVar("S", bound=Shape | Sequence[Shape])
remote = typer.Typer()

Project = Annotated[str, typer.Argument(help="The project's name.")]
Artifact = Annotated[str, typer.Argument(help="The artifact's name.")]
Branch = Annotated[str | None, typer.Option("--branch", "-b", help="The branch; the default one when left out.")]
At = Annotated[str | None, typer.Option("--at", help="A revision instead: main, a tag, a full commit id, main~1.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the plain data as one JSON document.")]


@remote.command(epilog=EXITS)
def ls(  # noqa: PLR0913  one for each option
    project: Annotated[str | None, typer.Argument(help="A project; all projects when left out.")] = None,
    branch: Branch = None,
    at: At = None,
    *,
    branches: Annotated[bool, typer.Option("--branches", help="List the project's branches.")] = False,
    name: Annotated[str | None, typer.Option(help="Only artifacts of this name; a glob will do: 'search/*'.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--type", help="Only artifacts of this type; repeatable.")] = None,
    label: Annotated[str | None, typer.Option(metavar="KEY[=VALUE]", help="Only artifacts with this label.")] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH=VALUE", help="Only artifacts whose metadata has this JSON or text; repeatable."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Only artifacts with this in name or description.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many; all otherwise.")] = None,
    as_json: AsJson = False,
    server: Server = LOCAL,
    token: Token = None,
) -> None:
    """List projects, a project's artifacts, or its branches."""
    wanted = _filter(name, kind, label, meta, text)
    narrowed = wanted is not None or branch is not None or at is not None
    if project is None and (narrowed or branches):
        raise typer.BadParameter("Name a project to look into.", param_hint="PROJECT")
    if branches and narrowed:
        raise typer.BadParameter("It lists every branch; leave the other conditions out.", param_hint="--branches")
    with asking(server, token) as client:
        if project is None:
            _show(reading.projects(client, limit).nodes, views.projects, as_json=as_json)
        elif branches:
            _show(reading.branches(client, project, limit).nodes, views.branches, as_json=as_json)
        else:
            place = _place(project, branch, at)
            found = reading.artifacts(client, place, wanted, limit).nodes
            _tell_of_problems(client, place)
            _show(found, views.artifacts, as_json=as_json)


@remote.command(epilog=EXITS)
def show(
    project: Project,
    artifact: Artifact,
    branch: Branch = None,
    at: At = None,
    *,
    as_json: AsJson = False,
    server: Server = LOCAL,
    token: Token = None,
) -> None:
    """Show everything about an artifact."""
    place = _place(project, branch, at)
    with asking(server, token) as client:
        found = reading.artifact(client, place, artifact)
        _show(found, views.artifact, as_json=as_json)


@remote.command(epilog=EXITS)
def log(  # noqa: PLR0913  one for each option
    project: Project,
    artifact: Annotated[str | None, typer.Argument(help="An artifact; the whole branch when left out.")] = None,
    branch: Branch = None,
    at: At = None,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = LOGGED,
    changes: Annotated[bool, typer.Option("--changes", "-p", help="Show what each commit did.")] = False,
    as_json: AsJson = False,
    server: Server = LOCAL,
    token: Token = None,
) -> None:
    """Show who changed what, when and why, newest first.

    A branch has the commits that changed its manifest; with --at, a commit and all its first parents are listed. An
    artifact has the changes of its values; one that was deleted has them at a revision from before: --at main~1.
    """
    place = _place(project, branch, at)
    with asking(server, token) as client:
        if artifact is not None:
            done = reading.artifact_history(client, place, artifact, limit)
            _show(done.nodes, views.committed_changes, as_json=as_json)
            _tell_of_more(done)
            return
        read = reading.history if at is None else reading.ancestry
        found = read(client, place, limit, changes=changes)
        _show(found.nodes, views.commits_with_changes if changes else views.commits, as_json=as_json)
        _tell_of_more(found)


@remote.command(epilog=EXITS)
def diff(  # noqa: PLR0913  one for each option
    project: Project,
    base: Annotated[str, typer.Argument(help="The revision to compare from.")],
    head: Annotated[str, typer.Argument(help="The revision to compare to.")],
    artifact: Annotated[str | None, typer.Argument(help="An artifact; all of them when left out.")] = None,
    *,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 when something differs.")] = False,
    as_json: AsJson = False,
    server: Server = LOCAL,
    token: Token = None,
) -> None:
    """Show what differs between two revisions, artifact by artifact and value by value."""
    with asking(server, token) as client:
        found = reading.comparison(client, project, base, head, artifact)
    _show(found, views.comparison, as_json=as_json)
    if not found.changes.nodes:
        note("Nothing differs.")
    elif exit_code:
        raise typer.Exit(DIFFERS)


def _place(project: str, branch: str | None, at: str | None) -> Place:
    if branch is not None and at is not None:
        raise typer.BadParameter("Name a branch or a revision, not both.", param_hint="--at")
    return Place(project, branch, at)


def _filter(
    name: str | None, kinds: list[str] | None, label: str | None, meta: list[str] | None, text: str | None
) -> dict[str, Any] | None:
    """The options as an ArtifactFilter; None when there are none."""
    wanted: dict[str, Any] = {"name": name, "type": kinds or None, "text": text}
    if label is not None:
        key, given, value = label.partition("=")
        wanted["label"] = {"key": key, "value": value if given else None}
    if meta:
        wanted["metadata"] = [_condition(one) for one in meta]
    return {key: value for key, value in wanted.items() if value is not None} or None


def _condition(text: str) -> dict[str, Any]:
    """`config.type=tsv` as a MetadataFilter: what reads as JSON is the JSON value, everything else is text."""
    path, given, value = text.partition("=")
    if not given:
        raise typer.BadParameter("Write a path and a value: config.type=tsv.", param_hint="--meta")
    try:
        return {"path": path, "eq": read_json(value)}
    except (ValueError, RecursionError):
        return {"path": path, "eq": value}


def _show(found: S, view: Callable[[Screen, S], None], *, as_json: bool) -> None:
    """An answer, as JSON or as people read it; of an empty list, that it is one."""
    if as_json:
        write_json(found)
    elif found:
        view(Screen(), found)
    else:
        note("There are none.")


def _tell_of_problems(client: Client, place: Place) -> None:
    """A branch whose manifest has problems does not show all that its file says."""
    if place.at is not None:
        return
    manifest = reading.manifest(client, place)
    if manifest.state == "BROKEN":
        note(f"The manifest of {place} is broken; this is the last good one.")
    for problem in manifest.problems:
        line = f"line {problem.line}: " if problem.line else ""
        note(f"{line}{problem.message}")


def _tell_of_more(page: Page[Any]) -> None:
    if page.page_info.has_next_page:
        note(f"These are the newest {len(page.nodes)}; ask for more with --limit.")
