"""One lane a branch: writers of a branch queue here instead of racing, and share one ref update a turn."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from app.registry import audit
from app.registry.errors import ContentionError, RegistryError
from app.registry.journal import Moved
from app.registry.manifests import Manifests
from app.registry.model import Branch, Project
from app.registry.offload import Offload
from app.registry.remotes import refusals
from app.registry.sync import Synchroniser
from app.registry.telling import Telling
from app.registry.trail import Trail, current, follow
from app.registry.writing import BranchWriter, Proposal, Turn, Written
from app.stores.errors import StoreError
from app.stores.ports import GitHost

WAITING = 256
TOGETHER = 64
IDLE_LANES = 32  # each may keep a whole manifest in memory
FINISH_SECONDS = 1.5
GATHERING_SECONDS = 0.005
LONGEST_YIELD = 0.5
"""Seconds left to other servers after a turn, while they write to the same branch."""
log = logging.getLogger("ml_registry.lanes")


@dataclass(slots=True)
class _Waiter:
    """Somebody who wants something written, for the sake of the request it is a part of."""

    branch: Branch
    proposal: Proposal
    answer: asyncio.Future[tuple[Branch, Written]]
    trail: Trail


@dataclass(slots=True)
class _Lane:
    writer: BranchWriter
    waiting: deque[_Waiter] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    guests: int = 0

    @property
    def idle(self) -> bool:
        """Whether nobody uses it or is about to."""
        return not self.waiting and not self.guests and (self.task is None or self.task.done())


class Lanes:
    """Queues proposals by branch and answers each with the branch as it is after, and what was written."""

    def __init__(
        self, git: GitHost, manifests: Manifests, sync: Synchroniser, telling: Telling, offload: Offload
    ) -> None:
        self._git = git
        self._manifests = manifests
        self._sync = sync
        self._telling = telling
        self._offload = offload
        self._lanes: dict[tuple[str, str | None, str], _Lane] = {}

    async def submit(self, branch: Branch, proposal: Proposal) -> tuple[Branch, Written]:
        """Write a proposal. Answers once the commit is durable and served. Raises RegistryError."""
        with audit.act("commit", branch.project.name, branch=branch.name) as details:
            after, written = await self._submit(branch, proposal)
            details["commit"] = written.commit if written.changed else None
            return after, written

    async def _submit(self, branch: Branch, proposal: Proposal) -> tuple[Branch, Written]:
        lane = self._lane(branch.project, branch.name)
        if len(lane.waiting) >= WAITING:
            raise ContentionError(f"{WAITING} writers are waiting for this branch already. Try again in a moment.")
        answer: asyncio.Future[tuple[Branch, Written]] = asyncio.get_running_loop().create_future()
        lane.waiting.append(_Waiter(branch, proposal, answer, current()))
        if lane.task is None or lane.task.done():
            lane.task = asyncio.create_task(self._drain(lane))
        return await answer

    @asynccontextmanager
    async def held(self, project: Project, branches: Iterable[str]) -> AsyncIterator[None]:
        """Have these lanes to oneself for the time of the block, in one's turn among those who queue there."""
        async with AsyncExitStack() as held:
            for name in sorted(set(branches)):  # in one order, so that no two wait for each other
                lane = self._lane(project, name)
                held.enter_context(_visiting(lane))
                await held.enter_async_context(lane.turn)
            yield

    @property
    def waiting(self) -> int:
        """How many proposals wait for their turn."""
        return sum(len(lane.waiting) for lane in list(self._lanes.values()))

    async def finish(self) -> None:
        """Wait until nothing is queued, for a server that stops, but not for a Git host that does not answer."""
        if tasks := [lane.task for lane in self._lanes.values() if lane.task]:
            await asyncio.wait(tasks, timeout=FINISH_SECONDS)

    def _lane(self, project: Project, branch: str) -> _Lane:
        key = (project.name, project.remote_url, branch)  # the catalogue may move a project to another repository
        lane = self._lanes.pop(key, None)
        if lane is None:
            self._drop_idle()
            with refusals():
                lane = _Lane(BranchWriter(self._git.repository(project.name), self._manifests))
        self._lanes[key] = lane  # the most recently used is last
        return lane

    def _drop_idle(self) -> None:
        idle = [key for key, lane in self._lanes.items() if lane.idle]
        for key in idle[: max(0, len(self._lanes) - IDLE_LANES)]:
            del self._lanes[key]

    async def _drain(self, lane: _Lane) -> None:
        while lane.waiting:
            began = time.monotonic()
            async with lane.turn:  # which is given in the order of asking
                together = await self._write(lane)
            if together > 1:
                await _gather(lane, together, time.monotonic() + min(time.monotonic() - began, LONGEST_YIELD))
            if lane.writer.disputed:  # whoever writes elsewhere must win, too: as long again is theirs
                await asyncio.sleep(min(time.monotonic() - began, LONGEST_YIELD))

    async def _write(self, lane: _Lane) -> int:
        """One turn; answers how many went together where that is worth waiting for, because a push costs the same."""
        taken = [lane.waiting.popleft() for _ in range(min(TOGETHER, len(lane.waiting)))]
        follow(taken[0].trail)
        try:
            turn = await self._turn(lane.writer, taken[0].branch, [waiter.proposal for waiter in taken])
            await self._serve(turn)
        except Exception as error:  # noqa: BLE001 (whatever it was, each of the callers is told)
            for waiter in taken:
                if not waiter.answer.done():
                    waiter.answer.set_exception(error)
            return 0
        for waiter, outcome in reversed(list(zip(taken, turn.outcomes, strict=True))):
            if outcome is None:
                lane.waiting.appendleft(waiter)
            else:
                _answer(waiter.answer, turn.branch, outcome)
        if turn.previous not in (None, turn.branch.head):
            branch = turn.branch
            move = Moved(branch.project.name, branch.name, turn.previous, branch.head)
            self._telling.tell_soon(move, elsewhere=branch.project.remote_url is not None)
        return len(taken) if turn.branch.project.remote_url else 0

    async def _turn(self, writer: BranchWriter, branch: Branch, proposals: Sequence[Proposal]) -> Turn:
        offload = self._offload.abroad if branch.project.remote_url else self._offload
        return await offload(writer.turn, branch, proposals)

    async def _serve(self, turn: Turn) -> None:
        if turn.previous is None or turn.previous == turn.branch.head:
            return
        with _logged(turn.branch, "served"):
            await self._sync.wrote(turn.previous, turn.branch)


async def _gather(lane: _Lane, count: int, deadline: float) -> None:
    """Those who were answered together come back together: wait for them, or each second turn is nearly empty."""
    while len(lane.waiting) < count and time.monotonic() < deadline:  # noqa: ASYNC110 (of many arrivals the last counts)
        await asyncio.sleep(GATHERING_SECONDS)


@contextmanager
def _visiting(lane: _Lane) -> Iterator[None]:
    """Keep a lane from being given up while somebody waits for it."""
    lane.guests += 1
    try:
        yield
    finally:
        lane.guests -= 1


@contextmanager
def _logged(branch: Branch, done: str) -> Iterator[None]:
    """The commits are in Git, so their writers hear so whatever fails after; the next look at Git makes it good."""
    try:
        yield
    except Exception as error:  # those who wait in the lane must have their turn too
        unexpected = not isinstance(error, StoreError)
        log.warning("what was written to %s is not %s yet: %s", branch.project.name, done, error, exc_info=unexpected)


def _answer(answer: asyncio.Future[tuple[Branch, Written]], branch: Branch, outcome: Written | RegistryError) -> None:
    if answer.done():
        return
    if isinstance(outcome, RegistryError):
        answer.set_exception(outcome)
    else:
        answer.set_result((branch, outcome))
