"""The lineages of projects: read from Git once, kept in the cache for every process, and never in anybody's way.

What is known already is answered at once. What has to be read first is read in threads of its own, one reader a
project and four in all, so that nobody waits for it who does not ask for a history that has to be read, too.
"""

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, TypeVar

from app.registry.lineage import Lineage, Reading, UnreadError
from app.registry.manifests import Manifests
from app.registry.model import Project
from app.registry.offload import Offload
from app.registry.stored_lineage import from_bytes, to_bytes
from app.stores.errors import CacheUnavailableError, StoreError
from app.stores.ports import Cache, GitHost

T = TypeVar("T")
Key = tuple[str, str]
READERS = 4
MOST_FACTS = 2_000_000
"""Commits, and names of entries that differ, in all lineages in memory together: about 300 MB."""
WORTH_STORING = 64
"""Facts that are not stored yet, and would be read again after a restart."""
log = logging.getLogger("ml_registry.lineages")


class Lineages:
    """Answers questions about histories."""

    def __init__(self, git: GitHost, cache: Cache, manifests: Manifests, offload: Offload) -> None:
        self._git = git
        self._cache = cache
        self._manifests = manifests
        self._offload = offload
        self._readers = Offload(READERS)
        self._kept: OrderedDict[Key, Lineage] = OrderedDict()
        self._locks: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._stored: dict[Key, int] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def ask(self, project: Project, head: str, question: Callable[[Reading], T]) -> T:
        """What a blocking `question` answers on the history up to `head`; it may be asked twice.

        Raises CommitNotFoundError, RepositoryCorruptError, and what the question raises.
        """
        key = (project.name, project.manifest_path)
        lineage = self._kept.get(key)
        if lineage and head in lineage.graph:
            self._kept.move_to_end(key)
            with suppress(UnreadError):
                return await self._offload(question, Reading(lineage, self._manifests, None, self._go_on))
        reading = self._keep(asyncio.create_task(self._ask_git(key, project, head, question)))
        return await asyncio.shield(reading)  # whoever leaves must not let the next one in before this one is done

    async def _ask_git(self, key: Key, project: Project, head: str, question: Callable[[Reading], T]) -> T:
        async with self._locks[key]:
            lineage = self._kept[key] = self._kept.get(key) or await self._recall(key)
            answer = await self._readers(self._read, project, head, lineage, question)
        self._forget_some()
        self._store_soon(key, lineage)
        return answer

    def _keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        """Hold on to a task until it is done; what it raises is its asker's, who may have left."""
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        """Let every reader stop where it is."""
        self._closed = True
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._readers.close()

    def _read(self, project: Project, head: str, lineage: Lineage, question: Callable[[Reading], T]) -> T:
        repository, graph = self._git.repository(project.name), lineage.graph
        if head not in graph:
            growth = graph.growth()
            with closing(repository.trace(project.manifest_path, head, graph, graph.tips)) as parts:
                for part in parts:
                    self._go_on()
                    growth.take(part)
            graph.add(growth)
        return question(Reading(lineage, self._manifests, repository, self._go_on))

    def _go_on(self) -> None:
        """Called between two reads. Raises StoreError when the server stops."""
        if self._closed:
            raise StoreError("The server stops.")

    async def _recall(self, key: Key) -> Lineage:
        """What the cache has of a lineage; a new one where it has nothing."""
        name = _name(key)
        try:
            data = (await self._cache.derived([name])).get(name)
            lineage = await self._readers(from_bytes, data) if data else Lineage()
        except CacheUnavailableError:
            return Lineage()
        except ValueError as error:
            log.warning("the cached history of %s is damaged (%s); reading Git instead", key[0], error)
            return Lineage()
        self._stored[key] = lineage.size
        return lineage

    def _forget_some(self) -> None:
        """Let go of the lineages that were not asked for longest, while all together are too large."""
        total = sum(lineage.weight for lineage in self._kept.values())
        while total > MOST_FACTS and len(self._kept) > 1:
            key, lineage = self._kept.popitem(last=False)
            self._stored.pop(key, None)
            total -= lineage.weight

    def _store_soon(self, key: Key, lineage: Lineage) -> None:
        """Put a lineage into the cache, behind the answer, once it has grown enough."""
        stored = self._stored.get(key, 0)
        if lineage.size - stored >= max(WORTH_STORING, stored // 50):
            self._stored[key] = lineage.size
            self._keep(asyncio.create_task(self._store(key, lineage)))

    async def _store(self, key: Key, lineage: Lineage) -> None:
        async with self._locks[key]:
            data = await self._readers(to_bytes, lineage)
        try:
            await self._cache.put_derived({_name(key): data})
        except CacheUnavailableError as error:
            self._stored.pop(key, None)
            log.warning("the history of %s is not cached: %s", key[0], error)


def _name(key: Key) -> str:
    """The name of a lineage in the cache."""
    return f"lineage:{key[0]}:{key[1]}"
