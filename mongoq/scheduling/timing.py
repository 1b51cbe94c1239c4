"""Which instants are ticks: a cron expression in a time zone, or an interval from an anchor.

Expressions are read by cronsim, which follows Debian's cron. Around a change of the clocks:

- times of the day (`30 2 * * *`) tick once on each day: at the end of the gap where the clocks skip the time, and at
  its first occurrence where it comes twice;
- what repeats within the hour or the day (minute or hour begins with `*`) ticks as real time passes: never in the gap,
  and in both of the hours that look alike.

A sixth field in front gives seconds. With one number in it the rules are those of the other five; a list or a step of
seconds ticks as real time passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_BACK: Final = tuple(timedelta(minutes=n) for n in (2, 120, 48 * 60, 40 * 1440, 400 * 1440))
"""How far back to look for the latest tick, in turn: each holds few ticks where the one before holds none."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a schedule ticks."""

    cron: str | None = None
    tz: str = "UTC"
    every: timedelta | None = None
    anchor: datetime = EPOCH
    """The ticks of an interval are this instant plus whole multiples of `every`."""

    def after(self, instant: datetime) -> datetime | None:
        """The first tick after an instant; None where there is none within 50 years."""
        return next(self.ticks(instant), None)

    def ticks(self, after: datetime) -> Iterator[datetime]:
        """All ticks after an instant, in UTC, in order."""
        if self.every is None:
            return _cron_ticks(self.cron or "", zone_of(self.tz), after)
        return _interval_ticks(self.anchor, self.every, after)

    def latest(self, since: datetime, until: datetime) -> datetime | None:
        """The last tick from `since` to `until`, both included; None where there is none."""
        if self.every is not None:
            tick = self.anchor + (until - self.anchor) // self.every * self.every
            return tick if tick >= since else None
        for back in (*(one for one in _BACK if until - one > since), until - since + SECOND):
            last = None
            for last in self.within(max(since, until - back), until):  # noqa: B007 -- the last one is wanted
                pass
            if last is not None:
                return last
        return None

    def within(self, since: datetime, until: datetime, most: int | None = None) -> Iterator[datetime]:
        """The ticks from `since` to `until`, both included; the first `most` of them."""
        for tick in islice(self.ticks(since - timedelta(milliseconds=1)), most):
            if tick > until:
                return
            yield tick


def zone_of(name: str) -> tzinfo:
    """The time zone of this name; ValueError or LookupError where the host knows none."""
    return UTC if name == "UTC" else ZoneInfo(name)


def normal(expression: str) -> str:
    """An expression with single spaces, and what a nickname stands for."""
    text = " ".join(expression.split())
    return NICKNAMES.get(text.lower(), text)


def check(expression: str) -> None:
    """ValueError where a normal expression is none, or never ticks."""
    if next(_cron_ticks(expression, UTC, EPOCH), None) is None:
        raise ValueError("it never ticks")


def _cron_ticks(expression: str, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 -- only who has schedules needs it

    first, _, rest = expression.partition(" ")
    offset = timedelta(0)
    if expression.count(" ") == 5 and first.isdigit():  # the other five have the rules for times of the day
        expression, offset = rest, timedelta(seconds=int(first))
    try:
        simulated = CronSim(expression, (after - offset).astimezone(zone))
    except CronSimError as error:
        raise ValueError(str(error)) from error
    last = after
    for local in simulated:
        tick = local.astimezone(UTC) + offset
        if tick > last:  # where an hour comes twice, the first of them is past in the second
            last = tick
            yield tick


def _interval_ticks(anchor: datetime, every: timedelta, after: datetime) -> Iterator[datetime]:
    tick = anchor + ((after - anchor) // every + 1) * every
    while True:
        yield tick
        tick += every
