"""What is to be enqueued of a schedule that is due, and when it is due next: pure, so that it can be tried on paper."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mongoq.scheduling.timing import Timing

LATEST: Final = "latest"
NONE: Final = "none"
ALL: Final = "all"
CATCH_UP: Final = (LATEST, NONE, ALL)
ON_TIME: Final = timedelta(minutes=1)
"""A tick that is enqueued no later than this was not missed: with `catch_up="none"` it is enqueued."""
AT_ONCE: Final = 100
"""So many missed ticks of one schedule are enqueued at a time, and the rest right after them."""


class Due(NamedTuple):
    """What a look at a schedule that is due brings."""

    ticks: Sequence[datetime]
    """The ticks that are to be enqueued, in order."""
    next_at: datetime | None
    """The tick that follows; None where there is none any more."""


def due(timing: Timing, next_at: datetime, catch_up: str | timedelta, now: datetime) -> Due:
    """The ticks from `next_at` to `now` that are to be enqueued by the rule for missed ones."""
    if isinstance(catch_up, timedelta) or catch_up == ALL:
        return _each(timing, next_at, catch_up, now)
    following = timing.after(next_at)
    latest = next_at
    if following is not None and following <= now:  # several at once
        latest = timing.latest(following, now) or following
        following = timing.after(now)
    missed = catch_up == NONE and now - latest > ON_TIME
    return Due([] if missed else [latest], following)


def _each(timing: Timing, next_at: datetime, catch_up: str | timedelta, now: datetime) -> Due:
    since = max(next_at, now - catch_up) if isinstance(catch_up, timedelta) else next_at
    ticks = list(timing.within(since, now, AT_ONCE))
    return Due(ticks, timing.after(ticks[-1] if ticks else now))


def key_of(name: str, tick: datetime) -> str:
    """The key of the task of a tick: `cron:nightly:20260329T010000Z`."""
    fraction = f".{tick.microsecond // 1000:03}" if tick.microsecond else ""
    return f"cron:{name}:{tick:%Y%m%dT%H%M%S}{fraction}Z"


def spread(name: str, tick: datetime, jitter: timedelta) -> timedelta:
    """How much later than its tick a task is due: from zero to `jitter`, the same in whichever process."""
    if not jitter:
        return jitter
    drawn = int.from_bytes(hashlib.sha256(key_of(name, tick).encode()).digest()[:8], "big")
    return timedelta(milliseconds=int(jitter / timedelta(milliseconds=1) * (drawn / 2**64)))
