"""What people push over Git's own protocol: checked apart from everybody, then landed in the lanes of its branches.

A push is received and checked before it waits for anybody, so a slow client holds up nobody; and it is served and told
of before its client hears that it was taken.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from app.registry import audit, names
from app.registry.errors import ForbiddenError
from app.registry.lanes import Lanes
from app.registry.manifest import Problem
from app.registry.manifests import Manifests
from app.registry.model import Project
from app.registry.offload import Offload
from app.registry.sync import Synchroniser
from app.stores.errors import (
    CommitNotFoundError,
    PackRefusedError,
    RefConflictError,
    RefMovedError,
    RepositoryBusyError,
    StoreError,
)
from app.stores.serving import GitService, Incoming, RefUpdate

BRANCHES = "refs/heads/"
TAGS = "refs/tags/"
AT_ONCE = 2
SHOWN = 20
"""Problems of one manifest that a terminal is told of."""
DECLINED = "the manifest has problems"
log = logging.getLogger("ml_registry.pushes")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a push: why its pack was not taken, why which refs were not moved, and what else there is to say.

    A ref without a reason was moved, and is served.
    """

    refused: Mapping[str, str]
    pack: str | None = None
    remarks: tuple[str, ...] = ()


class Pushes:
    """Takes pushes to hosted projects. With `strict`, a manifest that has problems is not taken."""

    def __init__(
        self,
        service: GitService,
        lanes: Lanes,
        sync: Synchroniser,
        manifests: Manifests,
        offload: Offload,
        *,
        strict: bool,
    ) -> None:
        self._service = service
        self._lanes = lanes
        self._sync = sync
        self._manifests = manifests
        self._offload = offload
        self._strict = strict
        self._room = asyncio.Semaphore(AT_ONCE)
        self._landing: set[asyncio.Task[Verdict]] = set()

    async def push(
        self, project: Project, updates: Sequence[RefUpdate], pack: BinaryIO, protected: Mapping[str, str]
    ) -> Verdict:
        """Do what a push asks for; the rest of `pack` has its objects. Whoever asked may leave, it is finished still.

        `protected` are the refs that whoever asked may not move, and why.
        Raises StoreError when the repository cannot be read or written.
        """
        task = asyncio.create_task(self._audited(project, updates, pack, protected))
        self._landing.add(task)
        task.add_done_callback(self._landing.discard)
        return await asyncio.shield(task)

    @property
    def landing(self) -> int:
        """How many pushes are being checked, or wait for it."""
        return len(self._landing)

    async def finish(self) -> None:
        """Wait for what is landing, for a server that stops."""
        await asyncio.gather(*self._landing, return_exceptions=True)

    async def _audited(
        self, project: Project, updates: Sequence[RefUpdate], pack: BinaryIO, protected: Mapping[str, str]
    ) -> Verdict:
        verdict = None
        try:
            verdict = await self._push(project, updates, pack, protected)
        finally:
            for one in updates:
                outcome = _outcome(one, verdict, protected)
                audit.said("push", outcome, project=project.name, ref=one.name, before=one.old, commit=one.new)
        return verdict

    async def _push(
        self, project: Project, updates: Sequence[RefUpdate], pack: BinaryIO, protected: Mapping[str, str]
    ) -> Verdict:
        default, _ = await self._offload(self._service.refs, project.name)
        async with self._room:
            with ExitStack() as held:
                try:
                    opened = self._service.incoming(project.name, updates, pack)
                    incoming = await self._offload(held.enter_context, opened)
                except PackRefusedError as error:
                    return _unpacked_nothing(updates, str(error))
                except RepositoryBusyError as error:
                    return _unpacked_nothing(updates, _reason(error))
                try:
                    refused = await self._offload(_refusals, updates, default, incoming)
                    return await self._land(project, updates, {**refused, **protected}, incoming)
                finally:
                    await self._offload(held.close)

    async def _land(
        self, project: Project, updates: Sequence[RefUpdate], refused: Mapping[str, str], incoming: Incoming
    ) -> Verdict:
        wanted = [update for update in updates if update.name not in refused]
        found = await self._offload(self._problems, project, wanted, incoming)
        if found and self._strict:
            remarks = (*found, "Nothing was changed. Mend the manifest, amend the commit, then push again.")
            return Verdict({**dict.fromkeys([update.name for update in wanted], DECLINED), **refused}, None, remarks)
        async with self._lanes.held(project, [branch_of(update) for update in wanted if branch_of(update)]):
            outcomes = await self._offload(incoming.land, wanted)
            await self._serve(project)
        failed = {name: _reason(error) for name, error in outcomes.items() if error}
        return Verdict({**refused, **failed}, None, tuple(f"warning: {line}" for line in found))

    def _problems(self, project: Project, updates: Sequence[RefUpdate], incoming: Incoming) -> list[str]:
        """Blocking. What is wrong with the manifests at the heads a push makes, for a terminal."""
        lines: list[str] = []
        for update in updates:
            if update.new is None or not (branch := branch_of(update)):
                continue
            problems = self._manifests.problems(incoming.repository, project.manifest_path, update.new)
            if problems:
                lines += [f"{branch} has a manifest with problems:", *_shown(project.manifest_path, problems)]
        return lines

    async def _serve(self, project: Project) -> None:
        """What was pushed is in Git, so whoever pushed hears so whatever fails here; the next look makes it good."""
        try:
            await self._sync.sync(project)
        except StoreError as error:
            log.warning("what was pushed to %s is not served yet: %s", project.name, error)


def _outcome(update: RefUpdate, verdict: Verdict | None, protected: Mapping[str, str]) -> str:
    """What the audit says became of one ref."""
    if verdict is None:
        return audit.FAILED
    if verdict.pack is None and update.name not in verdict.refused:
        return audit.DONE
    return ForbiddenError.code if update.name in protected else "REFUSED"


def _unpacked_nothing(updates: Sequence[RefUpdate], reason: str) -> Verdict:
    return Verdict(dict.fromkeys([update.name for update in updates], "nothing was unpacked"), reason)


def _refusals(updates: Sequence[RefUpdate], default: str, incoming: Incoming) -> dict[str, str]:
    """Blocking. Which refs are not to be moved whatever else happens, and why."""
    reasons = {update.name: _refusal(update, default, incoming) for update in updates}
    return {name: reason for name, reason in reasons.items() if reason}


def _refusal(update: RefUpdate, default: str, incoming: Incoming) -> str | None:
    branch = branch_of(update)
    if not branch and not update.name.startswith(TAGS):
        return "only branches and tags are kept here"
    if problem := names.problem_with_branch(branch or update.name.removeprefix(TAGS)):
        return problem
    if update.new is None:
        return "this is the default branch, which a project always has" if branch == default else None
    if branch:
        try:
            incoming.repository.commit(update.new)
        except CommitNotFoundError:
            return "a branch holds commits alone"
    return None


def branch_of(update: RefUpdate) -> str:
    """The branch an update is about, or nothing."""
    return update.name.removeprefix(BRANCHES) if update.name.startswith(BRANCHES) else ""


def _reason(error: StoreError) -> str:
    """Why a ref did not move, in the words Git has for it where it has some."""
    if isinstance(error, RefMovedError):
        return "fetch first: somebody else has moved it meanwhile"
    if isinstance(error, RefConflictError):
        return "there is no room for it beside another of nearly the same name"
    return "others are writing to it all the time; push again"


def _shown(path: str, problems: Sequence[Problem]) -> Iterator[str]:
    for problem in problems[:SHOWN]:
        place = "".join(f":{number}" for number in (problem.line, problem.column) if number is not None)
        message = "".join(character if character.isprintable() else " " for character in problem.message)
        yield f"{path}{place}: {message}"
    if len(problems) > SHOWN:
        yield f"… and {len(problems) - SHOWN} more"
