from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from mongoq.core.clock import (
    GOOD_MEASUREMENT,
    MEASURE_AGAIN_AFTER,
    MEASURE_EVERY,
    SLOWEST_MEASUREMENT,
    FrozenClock,
    ServerClock,
    elapsed,
)

FAR = datetime(2040, 1, 1, tzinfo=UTC)
NEAR = timedelta(milliseconds=250)
"""How long this host may be busy between two lines of a test."""


def measured(server: datetime, took: float = 0.0) -> ServerClock:
    clock = ServerClock()
    now = elapsed()
    clock.measured(server, now - took, now)
    return clock


def test_before_the_first_measurement_the_host_s_own_clock_serves() -> None:
    clock = ServerClock()
    assert clock.wants_measuring()
    assert abs(clock.now() - datetime.now(UTC)) < NEAR


def test_a_measurement_sets_the_clock_to_the_server_s_time() -> None:
    clock = measured(FAR)
    assert not clock.wants_measuring()
    assert FAR - timedelta(milliseconds=1) <= clock.now() < FAR + NEAR


def test_the_server_is_taken_to_have_answered_halfway() -> None:
    clock = measured(FAR, took=0.8)
    assert clock.now() >= FAR + timedelta(seconds=0.399)
    assert clock.now() < FAR + timedelta(seconds=0.4) + NEAR


@pytest.mark.parametrize("answered", [0.0, 0.2, 0.45, 0.9], ids=str)
def test_whenever_the_server_answered_its_time_lies_between_the_bounds(answered: float) -> None:
    """The reply to a question of 0.9 s says nothing about when within that time the server looked at its clock."""
    clock = ServerClock()
    received = elapsed()
    clock.measured(FAR, received - 0.9, received)
    true = FAR + timedelta(seconds=0.9 - answered)  # when the reply came
    assert clock.earliest() <= true + timedelta(seconds=elapsed() - received)
    assert clock.latest() >= true
    assert timedelta(seconds=0.9) <= clock.latest() - clock.earliest() < timedelta(seconds=0.9) + NEAR
    assert clock.earliest() <= clock.now() <= clock.latest()


def test_a_measurement_that_took_long_is_repeated_soon() -> None:
    clock = ServerClock()
    then = elapsed() - MEASURE_AGAIN_AFTER - 0.1
    clock.measured(FAR, then - GOOD_MEASUREMENT / 2, then)
    assert not clock.wants_measuring()
    clock.measured(FAR, then - GOOD_MEASUREMENT * 2, then)
    assert clock.wants_measuring()


def test_a_clock_in_doubt_measures_again_and_goes_on_meanwhile() -> None:
    clock = measured(FAR)
    clock.doubt()
    assert clock.wants_measuring()
    assert clock.now() >= FAR - timedelta(milliseconds=1)
    clock.measured(FAR, elapsed(), elapsed())
    assert not clock.wants_measuring()


def test_a_slow_measurement_is_thrown_away_and_not_repeated_at_every_call() -> None:
    clock = measured(FAR)
    clock.doubt()
    clock.measured(FAR + timedelta(days=1), elapsed() - SLOWEST_MEASUREMENT - 1, elapsed())
    assert not clock.wants_measuring()
    assert clock.now() < FAR + timedelta(hours=1)


def test_while_every_measurement_was_slow_the_quickest_serves_and_another_is_wanted() -> None:
    clock = measured(FAR, took=8)
    assert clock.wants_measuring(), "it may be 4 s off"
    clock.measured(FAR + timedelta(days=1), elapsed() - 9, elapsed())
    assert clock.now() < FAR + timedelta(hours=1)
    clock.measured(FAR + timedelta(days=2), elapsed() - 2, elapsed())
    assert clock.now() > FAR + timedelta(days=2)
    assert clock.wants_measuring()
    clock.measured(FAR, elapsed(), elapsed())
    assert clock.now() < FAR + timedelta(hours=1)
    assert not clock.wants_measuring()


def test_an_old_measurement_wants_repeating() -> None:
    clock = ServerClock()
    then = elapsed() - MEASURE_EVERY - 0.1
    clock.measured(FAR, then, then)
    assert clock.wants_measuring()
    assert clock.now() >= FAR + timedelta(seconds=MEASURE_EVERY), "it goes on by itself"


@pytest.mark.parametrize("micros", [0, 1, 499, 999, 1001, 999_999])
def test_the_time_is_in_whole_milliseconds(micros: int) -> None:
    assert measured(FAR + timedelta(microseconds=micros)).now().microsecond % 1000 == 0
    assert FrozenClock(FAR + timedelta(microseconds=micros)).now().microsecond == micros // 1000 * 1000


def test_the_countdown_never_goes_back() -> None:
    readings = [elapsed() for _ in range(1000)]
    assert readings == sorted(readings)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux tells the time since boot")
def test_the_countdown_goes_on_while_the_machine_sleeps() -> None:
    assert abs(elapsed() - time.clock_gettime(time.CLOCK_BOOTTIME)) < NEAR.total_seconds()


def test_a_frozen_clock_moves_only_when_told() -> None:
    clock = FrozenClock()
    start = clock.now()
    assert clock.now() == start
    clock.advance(1.5)
    assert clock.now() == start + timedelta(seconds=1.5)
    clock.advance(-2)
    assert clock.now() == start - timedelta(seconds=0.5)


def test_a_frozen_clock_moves_by_seconds_or_by_a_duration() -> None:
    clock = FrozenClock()
    start = clock.now()
    clock.advance(1.5)
    clock.advance(timedelta(days=1))
    assert clock.now() - start == timedelta(days=1, seconds=1.5)
