"""Adds up what the attempts of this process do, by minute, queue and name, until the sums are written.

The start of a handler costs an append; the rest is added up by the thread that writes endings, a group at a time:
about 1 µs per task (Python 3.11), of the 20 that a task without work costs.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from mongoq.core.clock import Clock, elapsed
from mongoq.core.events import Signpost, Telemetry
from mongoq.core.lifecycle import Event
from mongoq.history.sums import FINAL, LOST, OUTCOMES, Sums
from mongoq.worker.stages import Completion

if TYPE_CHECKING:
    from mongoq.worker.attempt import LiveAttempt

MOST_KINDS: Final = 20_000
"""So many sums are held; what else passes meanwhile is added up together, as of no queue."""
Kind = tuple[int, str, str | None]
"""A minute since 1970, a queue, and a name."""
_RELEASE: Final = Event.RELEASE.value
EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- what claims of many read has no zone
AWARE_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOMES: Final = frozenset(OUTCOMES)


class Told(NamedTuple):
    """What exporters of metrics get, beside the sums."""

    attempts: dict[tuple[str, str | None], Counter[int]]
    """By queue and name: how many tasks ended after so many attempts."""
    ticks: list[LiveAttempt]
    """Attempts that are the first of a schedule's task."""


class Tally:
    """The sums of this process that are not written yet. Any thread may call it.

    Where somebody listens for sums, it tells what was added since it last did, at each `take` and `tell`.
    """

    def __init__(self, telemetry: Telemetry | None = None) -> None:
        self._lock = threading.Lock()
        self._started: deque[LiveAttempt] = deque()
        self._sums: dict[Kind, Sums] = {}
        self._back: dict[Kind, Sums] = {}
        """Sums that were told already, and are not written."""
        self.telemetry = Telemetry() if telemetry is None else telemetry
        self._told = Told({}, [])
        self.started = self._started.append
        """Note that the handler of an attempt has started."""

    def ended(self, endings: Iterable[Completion], lost: Collection[LiveAttempt], clock: Clock) -> None:
        """Note endings that were written, or refused because the lease was lost."""
        with self._lock:
            minute = self._add_started(clock)
            ended: dict[tuple[str, str | None, str], list[LiveAttempt]] = {}
            last, some = None, []
            for attempt, verdict in endings:
                outcome: str = LOST if lost and attempt in lost else verdict.event._value_  # `value` takes a call
                if outcome not in _OUTCOMES or (outcome == _RELEASE and not attempt.started_at):
                    continue  # it was claimed ahead and is given back: no attempt of anything
                claimed = attempt.claimed
                if last != (last := (claimed.queue, claimed.name, outcome)):
                    some = ended.setdefault(last, [])
                some.append(attempt)
            for (queue, name, outcome), some in ended.items():
                self._of(minute, queue, name).ended(outcome, [attempt.ran for attempt in some])
                if self.telemetry.counted and outcome in FINAL:
                    of = self._told.attempts.setdefault((queue, name), Counter())
                    of.update(attempt.claimed.attempts for attempt in some)

    def lost(self, attempt: LiveAttempt, clock: Clock) -> None:
        """Note that the lease of an attempt is over."""
        with self._lock:
            claimed = attempt.claimed
            self._of(self._add_started(clock), claimed.queue, claimed.name).ended(LOST, [None])

    def take(self, clock: Clock) -> dict[Kind, Sums]:
        """Take out all sums, to be written."""
        self.tell(clock)
        with self._lock:
            taken, self._back = self._back, {}
            return taken

    def tell(self, clock: Clock) -> None:
        """Let who listens for sums have what was added up since the last time."""
        with self._lock:
            self._add_started(clock)
            fresh, self._sums = self._sums, {}
            told, self._told = self._told, Told({}, [])
            for (minute, queue, name), one in fresh.items():
                self._of(minute, queue, name, self._back).add(one)
        if fresh and self.telemetry.counted:
            self.telemetry.emit(Signpost.SUMMED, sums=fresh, counts=told.attempts, ticks=told.ticks)

    def give_back(self, sums: dict[Kind, Sums]) -> None:
        """Put sums back that could not be written."""
        with self._lock:
            for (minute, queue, name), one in sums.items():
                self._of(minute, queue, name, self._back).add(one)

    def _add_started(self, clock: Clock) -> int:
        """Add those that started; the minute that it is."""
        now = clock.now().timestamp()
        zero, minute = now - elapsed(), int(now // 60)
        started = [self._started.popleft() for _ in range(len(self._started))]
        waits: dict[Kind, list[float]] = {}
        last, some = None, []
        for attempt in started:
            claimed = attempt.claimed
            due, at = claimed.due, zero + attempt.started_at
            begun = minute if at >= minute * 60 else int(at // 60)
            if last != (last := (begun, claimed.queue, claimed.name)):
                some = waits.setdefault(last, [])
            # By a difference of instants: `timestamp` of one took 1.2 µs, this takes 0.2.
            some.append(at - (due - (EPOCH if due.tzinfo is None else AWARE_EPOCH)).total_seconds())
        for (begun, queue, name), some in waits.items():
            self._of(begun, queue, name).started(some)
        if self.telemetry.counted:
            ticks = [attempt for attempt in started if attempt.key.startswith("cron:")]
            self._told.ticks.extend(attempt for attempt in ticks if attempt.claimed.attempts == 1)
        return minute

    def _of(self, minute: int, queue: str, name: str | None, among: dict[Kind, Sums] | None = None) -> Sums:
        kind, known = (minute, queue, name), self._sums if among is None else among
        sums = known.get(kind)
        if sums is None:
            if len(known) >= MOST_KINDS:
                kind = (minute, "", None)
            sums = known.setdefault(kind, Sums())
        return sums
