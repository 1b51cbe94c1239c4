from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoq.core.errors import ConfigurationError
from mongoq.core.judging.backoff import (
    KINDS,
    Backoff,
    Constant,
    Exponential,
    Ladder,
    Linear,
    as_spec,
    delay_of,
    from_spec,
)
from mongoq.core.validation import LONGEST

LIMIT = LONGEST.total_seconds()


def seconds(backoff: Backoff | Callable[[int], Any], attempts: range) -> list[float]:
    return [delay_of(backoff, attempt).total_seconds() for attempt in attempts]


def test_linear_waits_once_twice_thrice_its_step() -> None:
    assert seconds(Linear(timedelta(seconds=10)), range(1, 5)) == [10, 20, 30, 40]


def test_linear_stops_growing_at_its_maximum() -> None:
    assert seconds(Linear(10, max=25), range(1, 5)) == [10, 20, 25, 25]


def test_exponential_multiplies_by_its_factor_up_to_its_maximum() -> None:
    assert seconds(Exponential(1, factor=3, max=20, jitter=False), range(1, 6)) == [1, 3, 9, 20, 20]


def test_exponential_waits_half_an_hour_at_most_by_default() -> None:
    assert Exponential(1, jitter=False).delay(100) == timedelta(minutes=30)


def test_jitter_takes_up_to_half_away_and_differs() -> None:
    waits = [Exponential(100, max=1000).delay(2).total_seconds() for _ in range(500)]
    assert all(100 <= wait <= 200 for wait in waits)
    assert max(waits) - min(waits) > 50


def test_constant_waits_the_same_each_time() -> None:
    assert seconds(Constant(7), range(1, 4)) == [7, 7, 7]


def test_a_ladder_stays_on_its_last_step() -> None:
    assert seconds(Ladder([1, timedelta(seconds=5), 60]), range(1, 6)) == [1, 5, 60, 60, 60]


def test_a_callable_gets_the_attempt_and_may_return_either_kind_of_duration() -> None:
    assert seconds(lambda attempt: attempt**2, range(1, 4)) == [1, 4, 9]
    assert seconds(lambda attempt: timedelta(minutes=attempt), range(1, 3)) == [60, 120]


@pytest.mark.parametrize("returned, waited", [(-5, 0), (float("inf"), LIMIT), (float("nan"), 0), (1e300, LIMIT)])
def test_a_callable_out_of_bounds_is_brought_back_into_them(returned: float, waited: float) -> None:
    assert seconds(lambda _: returned, range(1, 2)) == [waited]


def test_a_backoff_is_the_same_value_whichever_way_its_durations_were_written() -> None:
    assert Linear(10) == Linear(timedelta(seconds=10))
    assert Ladder([1, 2]) == Ladder((timedelta(seconds=1), 2.0))
    assert len({Exponential(1), Exponential(1.0), Exponential(timedelta(seconds=1))}) == 1


@pytest.mark.parametrize(
    "make, field",
    [
        (lambda: Linear(-1), "backoff.step"),
        (lambda: Linear(float("nan")), "backoff.step"),
        (lambda: Linear(1, max="long"), "backoff.max"),  # type: ignore[arg-type]
        (lambda: Exponential(None), "backoff.base"),  # type: ignore[arg-type]
        (lambda: Exponential(1, factor=0.5), "backoff.factor"),
        (lambda: Exponential(1, factor=True), "backoff.factor"),
        (lambda: Exponential(1, factor=float("nan")), "backoff.factor"),
        (lambda: Exponential(1, factor=10**400), "backoff.factor"),
        (lambda: Exponential(1, jitter=0.5), "backoff.jitter"),  # type: ignore[arg-type]
        (lambda: Constant(True), "backoff.wait"),
        (lambda: Constant(10**400), "backoff.wait"),
        (lambda: Ladder([]), "backoff.steps"),
        (lambda: Ladder("123"), "backoff.steps"),  # type: ignore[arg-type]
        (lambda: Ladder([1] * 101), "backoff.steps"),
        (lambda: Ladder(5), "backoff.steps"),  # type: ignore[arg-type]
        (lambda: Ladder([1, -1]), "backoff.steps[1]"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(make: Callable[[], Backoff], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert [fault.field for fault in caught.value.faults] == [field]


def test_all_that_is_wrong_with_a_backoff_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Exponential(-1, factor=0, max=-1, jitter="yes")  # type: ignore[arg-type]
    assert [fault.field for fault in caught.value.faults] == [
        "backoff.base",
        "backoff.max",
        "backoff.factor",
        "backoff.jitter",
    ]


durations = st.one_of(
    st.timedeltas(min_value=timedelta(0), max_value=LONGEST),
    st.integers(0, int(LIMIT)),
    st.floats(0, LIMIT),
)
maxima = st.one_of(st.timedeltas(min_value=timedelta(milliseconds=1), max_value=LONGEST), st.integers(1, int(LIMIT)))
backoffs: st.SearchStrategy[Backoff] = st.one_of(
    st.builds(Linear, durations, maxima),
    st.builds(Exponential, durations, st.floats(1, 1000) | st.integers(1, 1000), maxima, st.booleans()),
    st.builds(Constant, durations),
    st.builds(Ladder, st.lists(durations, min_size=1, max_size=20)),
)


@settings(deadline=None, max_examples=100, derandomize=True, database=None)
@given(backoffs)
def test_a_backoff_survives_its_spec(backoff: Backoff) -> None:
    spec = as_spec(backoff)
    assert from_spec(spec) == backoff
    assert KINDS[spec["kind"]] is type(backoff)
    plain = [inner for value in spec.values() for inner in (value if isinstance(value, list) else [value])]
    assert all(isinstance(value, str | int | float) for value in plain), "BSON carries no timedelta"


@settings(deadline=None, max_examples=100, derandomize=True, database=None)
@given(backoffs, st.integers(1, 2**63))
def test_no_attempt_is_too_high_for_a_backoff(backoff: Backoff, attempt: int) -> None:
    assert timedelta(0) <= backoff.delay(attempt) <= LONGEST


@pytest.mark.parametrize(
    "spec", [{}, {"kind": "cubic"}, {"kind": "linear"}, {"kind": "linear", "step": -1}, {"kind": "constant", "w": 1}]
)
def test_a_spec_that_nobody_wrote_is_an_error_that_its_reader_expects(spec: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        from_spec(spec)
