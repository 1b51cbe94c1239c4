"""Time: the server's for what is stored, this host's monotonic one for what is counted down.

A host's wall clock is never asked, so leases do not depend on it. What a clock cannot absorb (a new primary
whose own clock jumped) only the token on every write protects.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from mongoq.core.validation import whole_milliseconds

__all__ = ["Clock", "FrozenClock", "ServerClock", "elapsed"]

MEASURE_EVERY: Final = 10.0
"""Clocks drift apart by less than a millisecond in so many seconds; what counts is a server's clock that is set."""
SLOWEST_MEASUREMENT: Final = 1.0

# A lease goes on while the machine sleeps, so must the countdown. Linux has CLOCK_BOOTTIME for that; on macOS
# CLOCK_MONOTONIC counts sleep too, which `time.monotonic` does not.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds on a clock that never goes back and goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


class Clock(Protocol):
    """What operations ask for the time, and drivers keep right."""

    def now(self) -> datetime:
        """The server's time, UTC, in whole milliseconds."""

    def wants_measuring(self) -> bool:
        """Whether it is time to ask the server again."""

    def measured(self, server: datetime, sent: float, received: float) -> None:
        """Take the server's time, asked for at `sent` and answered by `received` (both `elapsed()`)."""

    def doubt(self) -> None:
        """Measure again before the next use: after an error another server may answer."""


class ServerClock:
    """The server's time: this host's monotonic clock plus an offset measured against the server.

    The driver measures at connect, every 10 s while it is used, and after any error. A measurement that took
    longer than 1 s is thrown away, unless there is no better one: then it serves, but the next use measures again.
    (A worker started while the primary was frozen was 2 s ahead for 10 s, and took tasks from others before their
    leases had ended.) Until the first one, the host's own clock serves.
    """

    def __init__(self) -> None:
        self._offset = time.time() - elapsed()
        self._measured_at: float | None = None
        self._took = float("inf")
        """How long the measurement that serves took: twice its largest error."""
        self._stale = True

    def now(self) -> datetime:
        """The server's time, UTC, in whole milliseconds."""
        # Asked for at every ending; cutting the seconds costs a quarter of cutting the datetime.
        return datetime.fromtimestamp(math.floor((elapsed() + self._offset) * 1000) / 1000, UTC)

    def wants_measuring(self) -> bool:
        """Whether it is time to ask the server again."""
        return self._stale or self._measured_at is None or elapsed() - self._measured_at > MEASURE_EVERY

    def measured(self, server: datetime, sent: float, received: float) -> None:
        """Take the server's time, asked for at `sent` and answered by `received` (both `elapsed()`)."""
        took = received - sent
        if took <= SLOWEST_MEASUREMENT or took < self._took:
            self._offset = server.timestamp() - (sent + received) / 2
            self._took = took
        self._measured_at = received
        self._stale = self._took > SLOWEST_MEASUREMENT

    def doubt(self) -> None:
        """Measure again before the next use: after an error another server may answer."""
        self._stale = True


class FrozenClock:
    """A clock for tests: it moves only when told."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = whole_milliseconds(now or datetime(2030, 1, 1, tzinfo=UTC))

    def now(self) -> datetime:
        """The instant it stands at."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds."""
        self._now = whole_milliseconds(self._now + timedelta(seconds=seconds))

    def wants_measuring(self) -> bool:
        """Whether it is time to ask the server: never."""
        return False

    def measured(self, server: datetime, sent: float, received: float) -> None:
        """Leave the server's time aside."""

    def doubt(self) -> None:
        """Go on standing still."""
