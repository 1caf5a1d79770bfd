"""When what lies elsewhere is looked at again."""

import pytest

from app.registry.model import Project
from app.registry.remotes import EARLY, Schedule

PROJECT = Project("p", remote_url="https://git.example.org/p.git")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("app.registry.remotes.time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("seconds", [1.0, 30.0, 3600.0])
def test_where_there_is_more_to_do_the_next_look_is_soon_however_seldom_it_is_else(
    clock: list[float], seconds: float
) -> None:
    for _ in range(50):
        schedule = Schedule(seconds)
        assert schedule.due(PROJECT, early=False)
        assert not schedule.due(PROJECT, early=True)
        clock[0] += min(EARLY, 0.79 * seconds) - 0.01
        assert not schedule.due(PROJECT, early=True)
        clock[0] += 0.5
        assert schedule.due(PROJECT, early=True)


def test_otherwise_it_is_about_as_far_away_as_it_is_said_to_be(clock: list[float]) -> None:
    schedule = Schedule(30.0)
    assert schedule.due(PROJECT, early=False)
    clock[0] += 23.9
    assert not schedule.due(PROJECT, early=False)
    clock[0] += 12.2
    assert schedule.due(PROJECT, early=False)


def test_what_happens_in_a_repository_is_soon_looked_at_by_every_project_that_lies_there(clock: list[float]) -> None:
    schedule, twin = Schedule(30.0), Project("twin", remote_url=PROJECT.remote_url)
    other = Project("other", remote_url="https://git.example.org/other.git")
    for project in (PROJECT, twin, other):
        assert schedule.due(project, early=False)
    clock[0] += 1.0
    schedule.soon(PROJECT)
    assert [schedule.due(project, early=False) for project in (PROJECT, twin, other)] == [True, True, False]
    assert [schedule.due(project, early=False) for project in (PROJECT, twin, other)] == [False, False, False]
