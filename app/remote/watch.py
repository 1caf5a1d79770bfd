"""The command that follows a server: `watch`."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from app.remote import reading, views
from app.remote.asking import EXITS, LOCAL, Server, Token, asking
from app.remote.bookmark import Bookmark
from app.remote.following import follow
from app.remote.screen import Screen, json_line, note
from app.remote.shapes import EventKind, Happening, ObjectState

COMMAND_FAILED = 4
INTERRUPTED = 130
"""What a shell says of a program that was ended with Ctrl-C."""
watching = typer.Typer()
Handler = Callable[[Happening], None]

Project = Annotated[str | None, typer.Option(help="Only of this project; a glob will do: 'search/*'.")]
Branch = Annotated[str | None, typer.Option("--branch", "-b", help="Only on this branch; a glob will do.")]
Artifact = Annotated[str | None, typer.Option(help="Only of this artifact; a glob will do.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only of artifacts of this type; repeatable.")]
Kinds = Annotated[
    list[EventKind] | None,
    typer.Option("--kind", metavar="KIND", case_sensitive=False, help="Only of this kind; repeatable."),
]
ObjectStates = Annotated[
    list[ObjectState] | None,
    typer.Option("--object-state", metavar="STATE", case_sensitive=False, help="Only with bytes so; repeatable."),
]
Since = Annotated[str | None, typer.Option(metavar="CURSOR", help="Begin just after this event.")]
CursorFile = Annotated[Path | None, typer.Option(help="Keep the cursor of the last event here, and begin after it.")]
Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, help="End after so many events.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")]
Command = Annotated[
    str | None,
    typer.Option("--exec", metavar="CMD", help="Run this for each event, with its JSON on standard input."),
]


@watching.command(epilog=f"{EXITS[:-1]}; 4 when CMD fails; 130 after Ctrl-C.")
def watch(  # noqa: PLR0913  one for each option
    project: Project = None,
    branch: Branch = None,
    artifact: Artifact = None,
    types: Types = None,
    kinds: Kinds = None,
    object_states: ObjectStates = None,
    *,
    since: Since = None,
    cursor_file: CursorFile = None,
    limit: Limit = None,
    as_json: AsJson = False,
    command: Command = None,
    server: Server = LOCAL,
    token: Token = None,
) -> None:
    """Show what happens, as it happens.

    Begins now, or after a cursor. A lost connection is made again, and nothing is missed or told twice.
    """
    if as_json and command is not None:
        raise typer.BadParameter("CMD gets the JSON, and what is printed is its own.", param_hint="--json")
    given = {"project": project, "branch": branch, "artifact": artifact}
    listed = {"type": types or None, "kind": kinds or None, "objectState": object_states or None}
    wanted = {name: value for name, value in (given | listed).items() if value is not None}
    handle = _runs(command) if command is not None else _prints_json if as_json else _shows(Screen())
    bookmark = Bookmark(since, cursor_file)
    with _resumable(bookmark), asking(server, token) as client:
        if bookmark.cursor is None and (cursor := reading.event_cursor(client)):
            bookmark.move(cursor)
        with closing(follow(client, wanted, bookmark.cursor)) as events:
            for event in islice(events, limit):
                bookmark.honoured = True
                handle(event)
                bookmark.move(event.cursor)


@contextmanager
def _resumable(bookmark: Bookmark) -> Iterator[None]:
    """Whatever ends a block before its time, the cursor to resume from is said."""
    try:
        yield
    except (KeyboardInterrupt, typer.Exit, typer.BadParameter) as ending:
        if bookmark.honoured:
            note(f"Resume with --since {bookmark.cursor}")
        if isinstance(ending, KeyboardInterrupt):
            raise typer.Exit(INTERRUPTED) from ending
        raise


def _shows(screen: Screen) -> Handler:
    """For people: a line."""

    def handle(event: Happening) -> None:
        views.event(screen, event.node)
        sys.stdout.flush()

    return handle


def _prints_json(event: Happening) -> None:
    """For programs: a line of JSON."""
    sys.stdout.write(f"{json_line(event)}\n")
    sys.stdout.flush()


def _runs(command: str) -> Handler:
    """For pipelines: a command of the user's shell. When it fails the program ends: what comes next may build on it."""

    def handle(event: Happening) -> None:
        status = _run(command, f"{json_line(event)}\n".encode())
        if status:
            note(f"The command failed with status {status}, at the event {event.node.id}.")
            raise typer.Exit(COMMAND_FAILED)

    return handle


def _run(command: str, given: bytes) -> int:
    """The status of a command that has this on its standard input. It ends when this program is interrupted."""
    with subprocess.Popen(command, shell=True, stdin=subprocess.PIPE) as process:  # noqa: S602  the user's own
        try:
            process.communicate(given)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        return process.returncode
