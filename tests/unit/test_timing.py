"""Ticks of schedules, beside a day walked through minute by minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from mongoq.scheduling import timing
from mongoq.scheduling.due import ALL, LATEST, NONE, due, key_of, spread
from mongoq.scheduling.timing import EPOCH, Timing

MINUTE: Final = timedelta(minutes=1)
CHANGES: Final = [
    ("Europe/Zurich", date(2026, 3, 29), -1),
    ("Europe/Zurich", date(2026, 10, 25), 1),
    ("America/New_York", date(2026, 3, 8), -1),
    ("America/New_York", date(2026, 11, 1), 1),
    ("Australia/Lord_Howe", date(2026, 10, 4), -0.5),
    ("Australia/Lord_Howe", date(2026, 4, 5), 0.5),
]
"""Zones and days on which the clocks change, and by how many hours the day is longer."""


def day_of(zone: str, day: date) -> tuple[datetime, datetime]:
    """The first and the last instant of a day there."""
    start = datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)
    return start, end - timedelta(seconds=1)


def minutes_of(zone: str, day: date) -> Iterator[tuple[datetime, datetime]]:
    """Every minute that passes on a day there, as an instant and on its clocks."""
    now, end = day_of(zone, day)
    while now <= end:
        yield now, now.astimezone(ZoneInfo(zone))
        now += MINUTE


def ticks(cron: str, zone: str, day: date) -> list[datetime]:
    start, end = day_of(zone, day)
    return list(Timing(timing.normal(cron), zone).within(start, end))


@pytest.mark.parametrize("zone, day, longer", CHANGES)
def test_a_day_on_which_the_clocks_change_has_its_length(zone: str, day: date, longer: float) -> None:
    assert len(list(minutes_of(zone, day))) == (24 + longer) * 60


@pytest.mark.parametrize("zone, day, longer", CHANGES)
@pytest.mark.parametrize("step", [1, 5, 15, 30])
def test_what_repeats_within_the_hour_ticks_as_real_time_passes(zone: str, day: date, longer: float, step: int) -> None:
    expected = [instant for instant, clock in minutes_of(zone, day) if clock.minute % step == 0]
    assert ticks(f"*/{step} * * * *", zone, day) == expected


@pytest.mark.parametrize("zone, day, longer", CHANGES)
def test_what_repeats_within_certain_hours_is_left_out_in_the_gap_and_comes_in_both_hours(
    zone: str, day: date, longer: float
) -> None:
    expected = [instant for instant, clock in minutes_of(zone, day) if clock.minute % 10 == 0 and clock.hour in (1, 2)]
    assert ticks("*/10 1,2 * * *", zone, day) == expected


@pytest.mark.parametrize("zone, day, longer", CHANGES)
@pytest.mark.parametrize("hour", range(24))
@pytest.mark.parametrize("minute", [0, 15, 45])
def test_a_time_of_the_day_ticks_once_on_each_day(zone: str, day: date, longer: float, hour: int, minute: int) -> None:
    shown = [instant for instant, clock in minutes_of(zone, day) if (clock.hour, clock.minute) >= (hour, minute)]
    # Where the clocks skip it, that is the end of the gap; where it comes twice, the first of both.
    assert ticks(f"{minute} {hour} * * *", zone, day) == [shown[0]]


@pytest.mark.parametrize("zone, day, longer", CHANGES)
def test_the_tick_after_a_tick_is_never_the_same_nor_before_it(zone: str, day: date, longer: float) -> None:
    for cron in ("30 1,2 * * *", "*/20 2 * * *", "15 30 2 * * *", "*/30 * * * * *", "0 2-3 * * *"):
        when = Timing(cron, zone)
        start, end = day_of(zone, day)
        walked, now = [], start - timedelta(milliseconds=1)
        while (following := when.after(now)) is not None and following <= end:
            assert following > now
            walked.append(following)
            now = following
        assert walked == list(when.within(start, end)), cron


@pytest.mark.parametrize("zone, day, longer", CHANGES)
def test_the_latest_tick_is_the_last_one_of_all(zone: str, day: date, longer: float) -> None:
    for cron in ("30 2 * * *", "*/20 2 * * *", "*/7 * * * *", "0 0 1 * *"):
        when = Timing(cron, zone)
        start, end = day_of(zone, day)
        since = start - timedelta(days=40)
        every = list(when.within(since, end))
        for until in (start, start + timedelta(hours=2, minutes=10), start + timedelta(hours=3), end):
            assert when.latest(since, until) == max(tick for tick in every if tick <= until), (cron, until)


def test_a_sixth_field_in_front_gives_seconds() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert list(islice(Timing("*/20 * * * * *").ticks(start), 3)) == [
        start + timedelta(seconds=n) for n in (20, 40, 60)
    ]
    assert Timing("30 0 3 * * *").after(start) == start.replace(hour=3, second=30)


def test_one_number_of_seconds_has_the_rules_of_the_five_other_fields() -> None:
    day = date(2026, 3, 29)
    assert ticks("15 30 2 * * *", "Europe/Zurich", day) == [datetime(2026, 3, 29, 1, 0, 15, tzinfo=UTC)]
    assert len(ticks("15 30 2 * * *", "Europe/Zurich", date(2026, 10, 25))) == 1


@pytest.mark.parametrize("nickname, expression", timing.NICKNAMES.items())
def test_nicknames_stand_for_expressions(nickname: str, expression: str) -> None:
    assert timing.normal(nickname.upper()) == expression
    timing.check(expression)


def test_an_interval_is_counted_from_its_anchor() -> None:
    anchor = datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC)
    when = Timing(every=timedelta(minutes=10), anchor=anchor)
    assert when.after(anchor) == anchor + timedelta(minutes=10)
    assert when.after(anchor + timedelta(minutes=25)) == anchor + timedelta(minutes=30)
    assert when.latest(anchor, anchor + timedelta(minutes=25)) == anchor + timedelta(minutes=20)
    assert when.latest(anchor + timedelta(minutes=21), anchor + timedelta(minutes=25)) is None


@pytest.mark.parametrize("wrong", ["", "* * * *", "61 * * * *", "0 0 30 2 *", "@reboot", "* * * * mon#6", "x * * * *"])
def test_what_is_no_expression_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        timing.check(timing.normal(wrong))


NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOURLY: Final = Timing("0 * * * *")


@pytest.mark.parametrize(
    "catch_up, late, enqueued",
    [
        (LATEST, timedelta(0), [0]),
        (LATEST, timedelta(hours=5, minutes=3), [5]),
        (NONE, timedelta(seconds=30), [0]),
        (NONE, timedelta(minutes=3), []),
        (NONE, timedelta(hours=5, seconds=3), [5]),
        (ALL, timedelta(hours=5, minutes=3), [0, 1, 2, 3, 4, 5]),
        (timedelta(hours=2), timedelta(hours=5, minutes=3), [4, 5]),
        (timedelta(minutes=2), timedelta(hours=5, minutes=3), []),
    ],
)
def test_missed_ticks_are_caught_up_as_the_schedule_says(
    catch_up: str | timedelta, late: timedelta, enqueued: list[int]
) -> None:
    plan = due(HOURLY, NOON, catch_up, NOON + late)
    assert plan.ticks == [NOON + timedelta(hours=hours) for hours in enqueued]
    assert plan.next_at == NOON + timedelta(hours=late // timedelta(hours=1) + 1)


def test_many_missed_ticks_are_caught_up_in_parts() -> None:
    every_second = Timing("* * * * * *")
    now = NOON + timedelta(seconds=250)
    seen: list[datetime] = []
    next_at: datetime | None = NOON
    while next_at is not None and next_at <= now:
        ticks, next_at = due(every_second, next_at, ALL, now)
        seen += ticks
    assert seen == [NOON + timedelta(seconds=second) for second in range(251)]


def test_the_latest_of_a_year_of_seconds_is_found_at_once() -> None:
    now = NOON + timedelta(days=365)
    assert due(Timing("* * * * * *"), NOON, LATEST, now).ticks == [now]
    assert due(Timing("30 4 29 2 *"), EPOCH, LATEST, now).ticks == [datetime(2024, 2, 29, 4, 30, tzinfo=UTC)]


def test_the_key_of_a_tick_is_its_instant() -> None:
    assert key_of("nightly", NOON) == "cron:nightly:20260101T120000Z"
    assert key_of("nightly", NOON + timedelta(milliseconds=7)) == "cron:nightly:20260101T120000.007Z"


def test_the_jitter_of_a_tick_is_the_same_everywhere_and_spreads() -> None:
    jitter = timedelta(minutes=10)
    drawn = [spread("nightly", NOON + timedelta(days=day), jitter) for day in range(100)]
    assert drawn == [spread("nightly", NOON + timedelta(days=day), jitter) for day in range(100)]
    assert min(drawn) < timedelta(minutes=2) < timedelta(minutes=8) < max(drawn) < jitter
    assert spread("nightly", NOON, timedelta(0)) == timedelta(0)
