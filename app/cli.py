"""`ml-registry`: the command line."""

import re
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from app import __version__
from app.remote.commands import remote
from app.remote.watch import watching

COMMIT = re.compile(r"[0-9a-f]{7,40}\Z")
cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
cli.add_typer(remote)
cli.add_typer(watching)
token = typer.Typer(no_args_is_help=True)
cli.add_typer(token, name="token", help="API tokens, kept as hashes in access.yml of the catalogue.")


def main() -> None:
    """Run the command line."""
    cli()


@cli.callback()
def about() -> None:
    """The ML Registry: Git-first, served as GraphQL."""


@cli.command()
def version() -> None:
    """Say which version this is."""
    typer.echo(__version__)


@cli.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from app.schema.build import print_schema  # noqa: PLC0415  the server is large, and few commands need it

    sys.stdout.write(print_schema())


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    *,
    demo: Annotated[bool, typer.Option(help="Make a demo project on the first start.")] = True,
) -> None:
    """Run the server."""
    from app import serving  # noqa: PLC0415  the server is large, and few commands need it

    serving.run({"host": host, "port": port, "data_dir": data_dir}, with_demo=demo)


def _commit(text: str) -> str:
    if not COMMIT.match(text):
        raise typer.BadParameter("A commit is named by its id, or by 7 of its digits or more.")
    return text


@cli.command(epilog="Ends with 0; 1 when no event names COMMIT; 2 for wrong use; 3 when it cannot be sent.")
def replay(
    project: Annotated[str, typer.Option(help="The project's name.")],
    since: Annotated[
        str, typer.Option(metavar="COMMIT", help="Its events and all after; 7 digits or more.", callback=_commit)
    ],
    branch: Annotated[str | None, typer.Option("--branch", "-b", help="Only of this branch.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the server keeps everything.")] = None,
) -> None:
    """Send events of a project to the queue again, under the ids they had.

    It reads the data directory beside the servers that run on it, and takes the queue from REGISTRY_QUEUE_URL. A FIFO
    queue drops what it was sent before within five minutes: wait so long, or use another queue.
    """
    from app import replaying  # noqa: PLC0415  the server is large, and few commands need it
    from app.registry.replay import Wanted  # noqa: PLC0415  the same

    replaying.run({"data_dir": data_dir}, Wanted(project, since, branch))


CATALOGUE_EXITS = (
    "Ends with 0; 1 when there is no such token, or one already; 2 for wrong use; 3 when the catalogue cannot be used; "
    "4 when its access.yml is broken, which is then left as it is."
)
DAYS = re.compile(r"([1-9][0-9]{0,2})d\Z")
MOST_DAYS = 366
EVERYWHERE = "*"
DataDir = Annotated[Path | None, typer.Option(help="Where the server keeps everything.")]


def _lifetime(text: str) -> str:
    match = DAYS.match(text)
    if match is None or int(match.group(1)) > MOST_DAYS:
        raise typer.BadParameter(f"Write a number of days, {MOST_DAYS} at most: 90d.")
    return text


@token.command(epilog=CATALOGUE_EXITS)
def create(
    name: Annotated[str, typer.Argument(help="What it is called: letters, digits, '_', '.' and '-'.")],
    role: Annotated[Literal["reader", "writer", "maintainer", "admin"], typer.Option(help="What it lets do.")],
    project: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only in these projects; repeatable; in all otherwise.")
    ] = None,
    expires: Annotated[str, typer.Option(metavar="DAYS", help="For how long.", callback=_lifetime)] = "90d",
    author: Annotated[str | None, typer.Option(metavar="'NAME <ADDRESS>'", help="Who its commits are by.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a token, and print it this once.

    Its hash is committed to the catalogue, in the data directory beside the servers that run on it or at
    REGISTRY_CATALOG_URL. Without --author, commits made with it are by its name.
    """
    from app import tokens  # noqa: PLC0415  the server is large, and few commands need it

    scope = tokens.scope_of(role, project or [EVERYWHERE], int(expires.removesuffix("d")), author)
    tokens.create({"data_dir": data_dir}, name, scope)


@token.command(name="list", epilog=CATALOGUE_EXITS)
def list_tokens(data_dir: DataDir = None) -> None:
    """Show every token: what it may do, until when, and who its commits are by."""
    from app import tokens  # noqa: PLC0415  the server is large, and few commands need it

    tokens.show({"data_dir": data_dir})


@token.command(epilog=CATALOGUE_EXITS)
def revoke(name: Annotated[str, typer.Argument(help="Which one.")], data_dir: DataDir = None) -> None:
    """Take a token out of the catalogue, by a commit."""
    from app import tokens  # noqa: PLC0415  the server is large, and few commands need it

    tokens.revoke({"data_dir": data_dir}, name)


if __name__ == "__main__":
    main()
