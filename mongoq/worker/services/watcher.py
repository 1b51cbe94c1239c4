"""Finds new work for whoever is idle: a sweeper, a change stream while nothing is found, and a poll below both.

The stream is a hint, never more: without it, on a standalone server or after any error, the poll finds everything. The
claimers that wait by hand share a watcher for each set of queues; a worker's is that of `worker/fleet`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Protocol

from mongoq.core.errors import StorageRefused
from mongoq.core.events import Signpost
from mongoq.core.lifecycle import TaskState
from mongoq.storage.operations.watch import NO_STREAMS, News
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.loop import Health, Loop
from mongoq.worker.services.sweeper import Sweeper
from mongoq.worker.stages import Wake

SPREAD: Final = 0.001
"""Seconds by which a process that lost a race for a task delays its next try; twice as long after each loss."""
LONGEST_SPREAD: Final = 0.03
LINGER: Final = 1.0
"""Seconds for which a stream outlives the idleness it was opened for: opening costs more than a quiet second."""
FIRST_POLL: Final = 0.02
LONGEST_POLL: Final = 1.0
LONGEST_POLL_WATCHED: Final = 5.0
"""While a stream is open, polls are only there for what it misses: this is the most that a missed event costs."""


class Stream(Protocol):
    """What a watcher needs of `storage.drivers.streaming.change_stream.ChangeStream`."""

    @property
    def open(self) -> bool: ...  # noqa: D102
    def begin(self) -> None: ...  # noqa: D102
    def wait(self) -> News | None: ...  # noqa: D102
    def end(self) -> None: ...  # noqa: D102


class Poll:
    """The pause between two claims that find nothing: it doubles, with jitter."""

    def __init__(self) -> None:
        self._pause = FIRST_POLL

    def reset(self) -> None:
        """Begin with short pauses again: something was found."""
        self._pause = FIRST_POLL

    def skip(self, pause: float) -> None:
        """Leave out shorter pauses than this."""
        self._pause = max(self._pause, pause / 2)

    def next(self, longest: float) -> float:
        """Seconds until the next claim."""
        self._pause = min(longest, self._pause * 2)
        return self._pause * random.uniform(0.9, 1.1)  # noqa: S311 -- no secret


class StreamWatch:
    """The service that waits for news of work while the process is idle, so that an idle worker starts in milliseconds.

    It wakes by `Wake.NEWS` where a task has come, `Wake.SCHEDULED` where one was scheduled, and by both `Wake.WORK`
    and `Wake.SCHEDULED` once a stream stands, because what came before that is found by one more look.
    """

    def __init__(self, runtime: Runtime, stream: Stream) -> None:
        self._runtime = runtime
        self.stream = stream
        self._idle = False
        self._busy_since: float | None = None
        self._possible = True
        self._racing = False
        self._spread = 0.0
        self._news_due = False
        self._told = False
        """Whether others count on a stream to tell them of scheduled tasks."""

    def idle(self, *, idle: bool) -> bool:
        """Note whether the last claim found nothing; whether the service has to be woken for it."""
        self.raced(won=not idle)
        became_idle = idle and not self._idle
        if self._idle and not idle:
            self._busy_since = None
        self._idle = idle
        return became_idle

    def raced(self, *, won: bool) -> None:
        """Note how the last piece of news was followed up.

        Of an idle fleet the process that won the last race answers at once, and those that lost it wait a little:
        they find nothing any more, which is cheap, and there is no fight. The winner's place is taken when it is busy.
        """
        if self._racing:
            self._racing = False
            self._spread = self._spread / 4 if won else min(LONGEST_SPREAD, max(SPREAD, self._spread * 2))

    def step(self, now: float) -> float | None:
        """Wait for one piece of news, as long as the process is idle."""
        if self._news_due:
            return self._tell_news()
        if not self._possible:
            return None
        if not self._idle:
            return self._linger(now)
        if not self.stream.open and not self._begin():
            return None
        self._told = True
        news = self.stream.wait()
        state = None if news is None else news.state
        if state is TaskState.READY:
            self._idle = False
            self._busy_since = None
            self._news_due = True
            if self._spread >= SPREAD:
                return self._spread * random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
            return self._tell_news()
        if state is TaskState.SCHEDULED:
            self._runtime.wake(Wake.SCHEDULED)
        return 0

    def end(self) -> None:
        """Watch no more; scheduled tasks are to be looked for from now on. For the thread that steps."""
        self.stream.end()
        if self._told:
            self._told = False
            self._runtime.wake(Wake.SCHEDULED)

    def _tell_news(self) -> float:
        self._news_due = False
        self._racing = True
        self._runtime.wake(Wake.NEWS)
        return 0

    def _linger(self, now: float) -> float | None:
        """Close the stream when the process has been busy for a while."""
        if not self.stream.open:
            if self._told:
                self.end()
            return None
        if self._busy_since is None:
            self._busy_since = now
        left = self._busy_since + LINGER - now
        if left > 0:
            return left
        self.end()
        return None

    def _begin(self) -> bool:
        try:
            self.stream.begin()
        except StorageRefused as error:
            if error.code not in NO_STREAMS:
                raise
            self._possible = False
            return False
        self._runtime.wake(Wake.WORK)
        self._runtime.wake(Wake.SCHEDULED)
        self._runtime.telemetry.emit(Signpost.WATCHING)
        return True


class WorkWatcher:
    """A sweeper, a stream and a poll, in two loops of their own.

    It wakes by `runtime.wake`, which hands `Wake.SCHEDULED` back to `look_ahead`. `resting` says that nobody waits for
    work: then nothing is swept until `wake`.
    """

    def __init__(
        self,
        runtime: Runtime,
        stream: Stream,
        health: Health,
        closed: Callable[[], None],
        *,
        prefix: str = "",
        resting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._runtime = runtime
        self._resting = resting
        self.poll = Poll()
        self._watch = StreamWatch(runtime, stream)
        self._sweeper = Sweeper(runtime, watched=lambda: stream.open)
        clock = runtime.elapsed
        self.loops = {
            "sweeper": Loop(f"{prefix}sweeper", self._sweep, health, closed, clock=clock),
            # Its stream may stand on a client that others go on to use.
            "watcher": Loop(f"{prefix}watcher", self._watch.step, health, closed, last=self._watch.end, clock=clock),
        }

    @property
    def longest_poll(self) -> float:
        """The longest pause between two claims: longer where an open stream tells of work."""
        return LONGEST_POLL_WATCHED if self._watch.stream.open else LONGEST_POLL

    def start(self) -> None:
        """Begin."""
        for loop in self.loops.values():
            loop.start()

    def stop(self) -> None:
        """Step no more; a look at the stream that is under way ends by itself."""
        for loop in self.loops.values():
            loop.stop()

    def wake(self) -> None:
        """Sweep again: there is somebody who waits for work."""
        self.loops["sweeper"].wake()

    def look_ahead(self, *, schedules: bool = False) -> None:
        """Look for scheduled tasks now, and at schedules: what was just written may be due sooner than the others."""
        self._sweeper.look_ahead(schedules=schedules)
        self.loops["sweeper"].wake()

    def idle(self, idle: bool) -> None:
        """Note whether the last claim found nothing."""
        if self._watch.idle(idle=idle):
            self.loops["watcher"].wake()

    def raced(self, *, won: bool) -> None:
        """Note how the last piece of news was followed up."""
        self._watch.raced(won=won)

    def _sweep(self, now: float) -> float | None:
        return None if self._resting() else self._sweeper.step(now)
