"""Publishers as server processes have them, a queue that behaves as queues do, and what must come of it."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from app.registry.journal import Journal
from app.registry.model import Project
from app.registry.publishing import BRANCH, Publisher
from app.registry.registry import Registry
from app.registry.telling import Derivation
from app.stores.cache.memory import MemoryCache
from app.stores.errors import CacheUnavailableError, QueueUnavailableError
from app.stores.git.memory import MemoryGit, MemoryRepository
from app.stores.ports import Cache, Message
from tests.support.domain import ADA, force, push

PROJECTS = ("a", "b/c")


class MoodyQueue:
    """A queue that says no now and then: to one message, to all, or after it has taken them."""

    def __init__(self, moods: float = 0, seed: int = 0) -> None:
        self.accepted: list[Message] = []
        self.asked: list[list[str]] = []
        self.away = False
        self.before_each: Callable[[], None] = lambda: None
        self._moods = moods
        self._dice = random.Random(seed)  # noqa: S311 - the same moods every time

    async def send(self, messages: Sequence[Message]) -> frozenset[str]:
        self.before_each()
        self.asked.append([one.id for one in messages])
        assert len(messages) == len({one.group for one in messages}), "two of a group in one batch"
        await asyncio.sleep(0)
        if self.away or self._dice.random() < self._moods / 4:
            raise QueueUnavailableError("away")
        taken = [one for one in messages if self._dice.random() >= self._moods]
        self.accepted += taken
        await asyncio.sleep(0)
        if not taken or self._dice.random() < self._moods / 4:
            raise QueueUnavailableError("the answer was lost")
        return frozenset(one.id for one in taken)

    async def close(self) -> None:
        """Nothing is held open."""

    def delivered(self) -> dict[str, list[str]]:
        """By group, the ids in the order in which they were first accepted."""
        found: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for one in self.accepted:
            found[one.group].setdefault(one.id)
        return {group: list(ids) for group, ids in found.items()}


class NoCache(MemoryCache):
    """A cache that is not there when somebody wants to be elected."""

    async def lease(self, *_: object) -> bool:
        raise CacheUnavailableError("away")


class Post:
    """A registry of two projects, and the queue its events go to."""

    def __init__(self, registry: Registry, queue: MoodyQueue) -> None:
        self.registry = registry
        self.queue = queue
        stores = registry._stores  # noqa: SLF001 - what other processes share with this one
        assert isinstance(stores.git, MemoryGit)
        self.git = stores.git
        self.cache = stores.cache
        self.catalogue = self.git.repository("catalog")

    @classmethod
    async def of(cls, registry: Registry, moods: float = 0, seed: int = 0) -> "Post":
        """A new one."""
        for name in PROJECTS:
            await registry.create_project(Project(name), "main", ADA)
        return cls(registry, MoodyQueue(moods, seed))

    def publisher(self, cache: Cache | None = None) -> Publisher:
        """Another process's, or this one's after a restart."""
        registry = self.registry
        derivation = Derivation(self.git, registry.manifests, registry.catalogue)
        journal = Journal(self.catalogue, self.git)
        return Publisher(journal, derivation, self.catalogue, self.queue, cache or self.cache, registry.offload)

    def repository(self, name: str = "a") -> MemoryRepository:
        return self.git.repository(name)

    async def push(self, text: str, name: str = "a", branch: str = "main") -> str:
        """A commit by hand that the registry has seen."""
        oid = push(self.repository(name), {"artifacts.yml": text.encode()}, branch)
        await self.registry.follow()
        return oid

    async def anything(self, dice: random.Random) -> None:
        """Whatever a person does to a branch."""
        repository = self.repository(dice.choice(PROJECTS))
        branch = dice.choice(["main", "x"])
        head, main = repository.head(branch), repository.head("main") or ""
        what = dice.choice(["push", "push", "push", "delete", "force"])
        if head is None:
            repository.create_branch(branch, main)
        elif what == "push" or branch == "main":
            for _ in range(dice.randrange(1, 4)):
                text = "".join(f"{name}: {{n: {dice.random()}}}\n" for name in "pqr" if dice.random() < 0.7)
                push(repository, {"artifacts.yml": text.encode()}, branch)
        elif what == "delete":
            repository.delete_branch(branch, head)
        else:
            force(repository, branch, main)
        await self.registry.follow()

    async def told(self) -> list[Message]:
        """The messages there are to send, in the order of the journal."""
        from app.registry.envelope import message_of  # noqa: PLC0415 - as it is by now: a fault may have changed it

        pages = [
            await self.registry.telling.page(project, None, 100_000)
            for project in self.registry.catalogue.projects.values()
        ]
        return [message_of(one.event) for page in pages for one in page]

    async def everything_arrived(self) -> None:
        """What was delivered is what there was to tell: all of it, in the order of each branch, word for word.

        A branch that is put back to where it was tells so under the id it told it by then.
        """
        told: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for one in await self.told():
            told[one.group][one.id].add(one.body)
        assert self.queue.delivered() == {group: list(bodies) for group, bodies in told.items()}
        for one in self.queue.accepted:
            assert one.body in told[one.group][one.id]

    def position(self) -> int:
        """How many records are said to be published."""
        head, count = self.catalogue.head(BRANCH), 0
        while head:
            head, count = next(iter(self.catalogue.commit(head).parents), None), count + 1
        return count


async def drain(publisher: Publisher) -> None:
    """Let it send until nothing is left, whatever the queue says on the way."""
    while True:
        try:
            if not await publisher.step():
                return
        except QueueUnavailableError:
            continue
