"""What of a server does not work as it should, and whether it can serve all the same."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.registry.access.access import MISSING
from app.registry.model import SyncState
from app.registry.registry import Registry
from app.stores.timings import Timings

STALE_SECONDS = 60.0
"""After so long without a look at Git nobody knows whether what is served is true."""
BEHIND_SECONDS = 60.0
"""Events may wait so long for the queue."""
STORES = {
    "cache": "The cache does not answer. Everything is read from Git, which is slower.",
    "objects": "The object store did not answer when it was asked last. No bytes can be sent, fetched or checked.",
}


@dataclass(frozen=True, slots=True)
class Health:
    """`degraded` says what is wrong, by part and for operators: no names of projects. An unable server has `failed`."""

    degraded: Mapping[str, str]
    failed: str | None = None


class Examination:
    """Looks at a registry. It asks nobody: what is known of the stores is what they said last."""

    def __init__(self, registry: Registry, timings: Timings, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._timings = timings
        self._clock = clock

    def health(self) -> Health:
        """How it is now."""
        registry = self._registry
        found = {part: message for part, message in STORES.items() if part in self._timings.failing}
        if registry.unreachable:
            found["catalogue"] = "The catalogue's Git host does not answer. What is here of it is served."
        elif registry.catalogue.broken:
            found["catalogue"] = "projects.yml is broken. The last good one is served; repair it with git."
        if registry.access.problem == MISSING:
            found["access"] = MISSING
        elif registry.access.problem:
            found["access"] = "access.yml is not in force; the policy before is. Repair it with git."
        if any(self._failing(remote=True)):
            found["remotes"] = "Some Git hosts do not answer. What is here of their projects is served."
        if any(self._failing(remote=False)):
            found["projects"] = "Some hosted repositories cannot be read. What was read before is served."
        if registry.publisher and registry.publisher.waits(self._clock()) > BEHIND_SECONDS:
            found["queue"] = "Events wait for the queue. None is lost."
        age = self._clock() - registry.followed_at
        if age > STALE_SECONDS:
            return Health(found, f"No look at Git was a success for {age:.0f} s.")
        return Health(found)

    def _failing(self, *, remote: bool) -> list[bool]:
        sync = self._registry.sync
        projects = list(self._registry.catalogue.projects.values())
        there = (one for one in projects if (one.remote_url is not None) == remote)
        return [True for one in there if sync.status(one).state is SyncState.FAILING]
