"""The cache inside one process: exact, and gone with it. For tests, and where no server can be started."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence


class MemoryCache:
    """A Cache in plain dictionaries; it never fails."""

    def __init__(self) -> None:
        self._ticket = 0
        self._pointers: dict[str, dict[str, tuple[int, bytes | None]]] = {}
        self._versions: defaultdict[str, int] = defaultdict(int)
        self._derived: dict[str, bytes] = {}
        self._leases: dict[str, tuple[str, float]] = {}
        self._listening: set[asyncio.Event] = set()

    async def ticket(self) -> int:
        """See Cache."""
        self._ticket += 1
        return self._ticket

    async def begun(self) -> int:
        """See Cache. Nothing is ever lost."""
        return 0

    async def move(
        self, project: str, ticket: int, pointers: Mapping[str, bytes | None], held: Mapping[str, bytes] | None = None
    ) -> bool:
        """See Cache. A forgotten pointer keeps its ticket, so that an earlier one cannot bring it back."""
        stored = self._pointers.setdefault(project, {})
        if any(stored.get(field, (0, None))[1] != value for field, value in (held or {}).items()):
            return False
        self._versions[project] += 1
        for field, value in pointers.items():
            if field not in stored or stored[field][0] <= ticket:
                stored[field] = (ticket, value)
        return True

    async def pointers(self, project: str) -> Mapping[str, bytes]:
        """See Cache."""
        stored = self._pointers.get(project, {})
        return {field: value for field, (_, value) in stored.items() if value is not None}

    async def pointers_of(self, projects: Sequence[str]) -> Sequence[Mapping[str, bytes]]:
        """See Cache."""
        return [await self.pointers(project) for project in projects]

    async def pointer(self, project: str, field: str) -> bytes | None:
        """See Cache."""
        _, value = self._pointers.get(project, {}).get(field, (0, None))
        return value

    def version(self, project: str) -> int | None:
        """See Cache. It is always known."""
        return self._versions[project]

    async def derived(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """See Cache."""
        return {name: self._derived[name] for name in names if name in self._derived}

    async def put_derived(self, values: Mapping[str, bytes]) -> None:
        """See Cache."""
        self._derived.update(values)

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """See Cache."""
        now = time.monotonic()
        held_by, until = self._leases.get(name, (holder, now))
        if held_by != holder and now < until:
            return False
        self._leases[name] = (holder, now + seconds)
        return True

    async def wake(self) -> None:
        """See Cache. Everybody in the process hears it."""
        for woken in self._listening:
            woken.set()

    async def wakes(self) -> AsyncGenerator[None, None]:
        """See Cache."""
        woken = asyncio.Event()
        self._listening.add(woken)
        try:
            while True:
                woken.clear()
                yield
                await woken.wait()
        finally:
            self._listening.discard(woken)

    async def close(self) -> None:
        """Nothing is held open."""
