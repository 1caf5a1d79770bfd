"""Waiting for what a cache knows of moves."""

import asyncio

from app.stores.ports import Cache

NOTICED = 0.1
"""Seconds after which a move through another cache has been noticed."""


async def known(cache: Cache, project: str, seconds: float = 5) -> int:
    """The version of a project, once it is known."""
    async with asyncio.timeout(seconds):
        while (version := cache.version(project)) is None:  # noqa: ASYNC110 - nothing tells when it is
            await asyncio.sleep(0.001)
    return version


async def settled(cache: Cache, project: str) -> int:
    """The version of a project once everything that moved before was heard."""
    await known(cache, project)
    return await noticed(cache, project)


async def noticed(cache: Cache, project: str) -> int:
    """The version of a project once whatever has just moved is noticed."""
    await asyncio.sleep(NOTICED)
    return await known(cache, project)
