"""What a server calls degraded, and when it says that it cannot serve."""

from contextlib import suppress

from app.registry.access.access import MISSING
from app.registry.health import STALE_SECONDS, Examination
from app.registry.model import Project, SyncState, SyncStatus
from app.registry.registry import Registry
from app.stores.errors import CacheUnavailableError, CommitNotFoundError
from app.stores.timings import Timings
from tests.support.domain import ADA


async def test_a_server_that_followed_git_a_moment_ago_is_ready(registry: Registry) -> None:
    await registry.follow()
    health = Examination(registry, Timings()).health()
    assert (dict(health.degraded), health.failed) == ({}, None)


async def test_a_server_that_has_not_seen_git_for_long_cannot_serve(registry: Registry) -> None:
    await registry.follow()
    late = Examination(registry, Timings(), lambda: registry.followed_at + STALE_SECONDS + 1)
    assert late.health().failed == f"No look at Git was a success for {STALE_SECONDS + 1:.0f} s."


async def test_a_store_is_degraded_from_a_failure_to_the_next_answer(registry: Registry) -> None:
    timings = Timings()
    examination = Examination(registry, timings)
    for failed in (True, False, True):
        with suppress(CacheUnavailableError), timings.of("cache", "read"):
            if failed:
                raise CacheUnavailableError("away")
        assert list(examination.health().degraded) == (["cache"] if failed else [])
    assert timings.failed == {("cache", "read"): 2}


def test_that_something_is_not_there_is_no_failure() -> None:
    timings = Timings()
    with suppress(CommitNotFoundError), timings.of("git", "read"):
        raise CommitNotFoundError("none")
    assert (timings.failed, timings.failing) == ({}, set())


async def test_a_policy_that_is_not_in_force_and_a_project_that_cannot_be_read_are_said_without_names(
    registry: Registry,
) -> None:
    await registry.create_project(Project("search/ranker"), "main", ADA)
    registry.access.problem = "line 3: no"
    registry.sync._status["search/ranker"] = SyncStatus(SyncState.FAILING, None, "gone")  # noqa: SLF001 - as a look does
    degraded = Examination(registry, Timings()).health().degraded
    assert list(degraded) == ["access", "projects"]
    assert "search" not in str(degraded)


async def test_where_nobody_has_a_token_yet_the_way_to_the_first_is_said(registry: Registry) -> None:
    registry.access.problem = MISSING
    assert "token create" in Examination(registry, Timings()).health().degraded["access"]
