"""Events sent again by hand, from a registry whose servers may be running."""

import asyncio
from collections.abc import Mapping
from typing import Any

import typer

from app.main import places_of
from app.registry.catalogue import LIMITS, Catalogue
from app.registry.journal import Journal
from app.registry.manifests import Manifests
from app.registry.offload import Offload
from app.registry.replay import Wanted, replay
from app.registry.telling import Derivation
from app.serving import read_settings
from app.stores.connect import Places, look_into, queue_at
from app.stores.errors import StoreError

NOT_THERE = 1
WRONG_USE = 2
FAILED = 3


def run(options: Mapping[str, Any], wanted: Wanted) -> None:
    """Send what is wanted to the queue the settings name, and say how much. Raises typer.Exit, the reason said."""
    settings = read_settings(options)
    if settings.queue_url is None:
        raise _stop(WRONG_USE, "There is no queue to send to. Set REGISTRY_QUEUE_URL as it is set for the server.")
    try:
        sent = asyncio.run(_replay(places_of(settings), settings.queue_url, wanted))
    except StoreError as error:
        raise _stop(FAILED, str(error)) from error
    if not sent:
        where = f"{wanted.project} {wanted.branch or ''}".strip()
        hint = f"`ml-registry log {wanted.project}` lists the commits that changed artifacts"
        raise _stop(NOT_THERE, f"No event of {where} names the commit {wanted.since}; {hint}.")
    typer.echo(f"Sent {sent} {'event' if sent == 1 else 'events'} again.")


async def _replay(places: Places, queue_url: str, wanted: Wanted) -> int:
    git, repository, cache = look_into(places)
    offload, queue = Offload(), queue_at(queue_url)
    try:
        catalogue = Catalogue(repository, git, Manifests(git, cache, offload, LIMITS), offload, hosting=True)
        derivation = Derivation(git, Manifests(git, cache, offload), catalogue)
        return await replay(Journal(repository, git), derivation, queue, offload, wanted)
    finally:
        await queue.close()
        offload.close()


def _stop(status: int, message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(status)
