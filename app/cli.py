"""`ml-registry`: the command line."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app import __version__
from app.remote.commands import remote
from app.remote.watch import watching

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
cli.add_typer(remote)
cli.add_typer(watching)


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


if __name__ == "__main__":
    main()
