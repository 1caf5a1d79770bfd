"""How often a caller may do something, and what is remembered of callers."""

import pytest

from app.registry.access.rates import Rate
from app.registry.errors import RateLimitedError


def made(most_callers: int = 100) -> Rate:
    return Rate("mutations", per_second=10, at_once=5, callers=most_callers)


def refused_for(rate: Rate, who: str, now: float, count: int = 1) -> float:
    """Seconds until it is taken; 0 if it is."""
    try:
        rate.take(who, now, count)
    except RateLimitedError as error:
        return error.retry_after
    return 0


def test_as_many_as_go_at_once_are_taken_and_no_more() -> None:
    rate = made()
    assert [refused_for(rate, "ada", 100.0) for _ in range(7)] == [0, 0, 0, 0, 0, 0.1, 0.1]


def test_what_is_refused_says_when_it_will_be_taken_and_then_it_is() -> None:
    rate = made()
    rate.take("ada", 100.0, 5)
    wait = refused_for(rate, "ada", 100.0, 3)
    assert wait == pytest.approx(0.3)
    assert refused_for(rate, "ada", 100.0 + wait - 0.01, 3) > 0
    assert refused_for(rate, "ada", 100.0 + wait, 3) == 0


def test_a_pause_earns_no_more_than_goes_at_once() -> None:
    rate = made()
    rate.take("ada", 100.0)
    assert [refused_for(rate, "ada", 9999.0) for _ in range(6)].count(0) == 5


def test_one_caller_takes_nothing_from_another() -> None:
    rate = made()
    rate.take("ada", 100.0, 5)
    assert refused_for(rate, "ada", 100.0) > 0
    assert refused_for(rate, "grace", 100.0) == 0


def test_more_than_goes_at_once_takes_a_full_bucket_and_is_paid_for_after() -> None:
    rate = made()
    rate.take("ada", 100.0, 20)
    assert refused_for(rate, "ada", 101.0) == pytest.approx(0.6)
    assert refused_for(rate, "ada", 101.6) == 0


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    rate = made()
    rate.take("ada", 100.0)
    assert [refused_for(rate, "ada", 50.0) for _ in range(5)].count(0) == 4


def test_callers_who_came_longest_ago_are_forgotten() -> None:
    rate = made(most_callers=2)
    for who in ("ada", "grace", "ada", "mary"):
        rate.take(who, 100.0, 2)
    assert len(rate) == 2
    assert refused_for(rate, "ada", 100.0, 2) > 0
    assert refused_for(rate, "grace", 100.0, 5) == 0  # as if she had never come


def test_the_refusal_says_how_much_is_allowed_and_what_to_do() -> None:
    rate = made()
    rate.take("ada", 100.0, 5)
    with pytest.raises(RateLimitedError, match=r"10 mutations a second\. Go on in 0\.1 s"):
        rate.take("ada", 100.0)
