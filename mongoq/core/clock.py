"""Time: the server's clock for everything stored, this host's monotonic clock for everything counted down.

The wall clock of the host is not used, so leases do not depend on it. When the server's own clock jumps, for example
at a failover, only the token on every write protects a task.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from mongoq.core.validation import Duration, whole_milliseconds

__all__ = ["Clock", "FrozenClock", "ServerClock", "elapsed"]

MEASURE_EVERY: Final = 10.0
"""Seconds between measurements. Drift is below 1 ms in that time; the reason is a server whose clock is set."""
SLOWEST_MEASUREMENT: Final = 1.0
GOOD_MEASUREMENT: Final = 0.05
MEASURE_AGAIN_AFTER: Final = 1.0
"""Seconds after which a measurement that took longer than a good one is repeated: what is due waits for its error."""
_TICK: Final = 0.001
"""The server cuts its time to the millisecond."""

# A lease runs on while the machine sleeps, so the countdown must too: CLOCK_BOOTTIME on Linux, and CLOCK_MONOTONIC on
# macOS, which counts sleep, unlike `time.monotonic`.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds on a monotonic clock that also runs while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


class Clock(Protocol):
    """The clock that operations read and drivers measure."""

    def now(self) -> datetime:
        """The server's time, UTC, in whole milliseconds: the best guess, for what is only shown."""

    def earliest(self) -> datetime:
        """The least that the server's time can be: for what must not happen early (a delayed start, a rescue)."""

    def latest(self) -> datetime:
        """The most that it can be: for what must not happen late (an expiry), and for the end of a lease or a delay."""

    def wants_measuring(self) -> bool:
        """Whether it is time to ask the server again."""

    def measured(self, server: datetime, sent: float, received: float) -> None:
        """Take the server's time, asked for at `sent` and answered by `received` (both `elapsed()`)."""

    def doubt(self) -> None:
        """Measure again before the next use: after an error another server may answer."""


class ServerClock:
    """The server's time: this host's monotonic clock plus an offset measured against the server.

    A measurement proves that the server's time lies between two bounds: what the server said, counted on from when the
    reply came, and the same from when the request was sent. `earliest` and `latest` are these bounds, `now` is the
    middle: by the middle, tasks started 0.44 s early after a measurement of 0.9 s.

    The driver measures at connect, every 10 s of use, and after any error. A measurement that took longer than 1 s
    is dropped unless none was better; then it is used, and the next use measures again. (A worker that started while
    the primary was frozen was 2 s ahead for 10 s, and took tasks whose leases had not ended.) Before the first
    measurement the host's own clock is used.
    """

    def __init__(self) -> None:
        self._offset = time.time() - elapsed()
        self._error = 0.0
        self._measured_at: float | None = None
        self._took = float("inf")
        """How long the current measurement took: twice its largest error."""
        self._stale = True

    def now(self) -> datetime:
        """The server's time, UTC, in whole milliseconds: the middle between `earliest` and `latest`."""
        # Called at every ending: rounding the float takes a quarter of the time of rounding the datetime.
        return datetime.fromtimestamp(math.floor((elapsed() + self._offset) * 1000) / 1000, UTC)

    def earliest(self) -> datetime:
        """The least that the server's time can be, in whole milliseconds."""
        return datetime.fromtimestamp(math.floor((elapsed() + self._offset - self._error) * 1000) / 1000, UTC)

    def latest(self) -> datetime:
        """The most that the server's time can be, in whole milliseconds."""
        return datetime.fromtimestamp(math.ceil((elapsed() + self._offset + self._error) * 1000) / 1000, UTC)

    def wants_measuring(self) -> bool:
        """Whether it is time to ask the server again."""
        if self._stale or self._measured_at is None:
            return True
        every = MEASURE_EVERY if self._took <= GOOD_MEASUREMENT else MEASURE_AGAIN_AFTER
        return elapsed() - self._measured_at > every

    def measured(self, server: datetime, sent: float, received: float) -> None:
        """Take the server's time, asked for at `sent` and answered by `received` (both `elapsed()`)."""
        took = received - sent
        if took <= SLOWEST_MEASUREMENT or took < self._took:
            self._offset = server.timestamp() - (sent + received) / 2
            self._error = took / 2 + _TICK
            self._took = took
        self._measured_at = received
        self._stale = self._took > SLOWEST_MEASUREMENT

    def doubt(self) -> None:
        """Measure again before the next use: after an error another server may answer."""
        self._stale = True


class FrozenClock:
    """A clock for tests that moves only by `advance`."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = whole_milliseconds(now or datetime(2030, 1, 1, tzinfo=UTC))

    def now(self) -> datetime:
        """The current instant."""
        return self._now

    earliest = latest = now

    def advance(self, by: Duration) -> None:
        """Move on by this long: seconds, or a `timedelta`."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self._now = whole_milliseconds(self._now + step)

    def wants_measuring(self) -> bool:
        """False: it never asks the server."""
        return False

    def measured(self, server: datetime, sent: float, received: float) -> None:
        """Ignore the server's time."""

    def doubt(self) -> None:
        """Do nothing."""
