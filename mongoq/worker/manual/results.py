"""Waiting for the ends of tasks: one change stream and one look for all who wait through one queue object.

Whoever waits registers the task's key and is notified when the stream tells of its end. Where no stream stands (none
was opened yet, a standalone server) the looks find it: one find for up to 1,000 keys, after 20 ms, then at pauses that
double up to a second. Beside a stream they are the floor, every 5 s. A thousand who wait cost two threads, which
sleep while nobody waits.

The looker reads what has ended, 100 tasks in one find, and hands each waiter its task. If each read its own, an event
loop with 1,000 waiters would stand still for 0.2 s when all their tasks end at once: that is 1,000 finds.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.errors import StorageRefused, TaskNotFound
from mongoq.core.events import Telemetry
from mongoq.core.host.waiter import Waiter
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.control import Wait
from mongoq.storage.documents import fields, filters
from mongoq.storage.drivers.streaming.change_stream import ChangeStream
from mongoq.storage.operations import queries
from mongoq.storage.operations.watch import NO_STREAMS, endings
from mongoq.worker.runtime import Run
from mongoq.worker.services.loop import Health, Loop

FIRST_LOOK: Final = 0.02
LONGEST_LOOK: Final = 1.0
LONGEST_LOOK_WATCHED: Final = 5.0
"""Seconds between two looks at all that is waited for."""
LINGER: Final = 1.0
"""Seconds for which the stream outlives the last who waits: opening costs more than a quiet second."""
AWAIT: Final = 1.0
"""Seconds that one look at the stream takes where nothing comes, and so its end at most."""
BATCH: Final = 1_000
"""Keys in one look."""
READ: Final = 100
"""Tasks read at once, whose waiters are then notified together: on an event loop, some 3 ms of work."""


class Awaiting(Waiter):
    """One who waits for the end of a task, and the task, once it has been read."""

    __slots__ = ("task",)

    def __init__(self) -> None:
        super().__init__()
        self.task: Task | None = None


class Results:
    """Who waits for the end of which task."""

    def __init__(self, context: Context, stream_run: Run, run: Run, *, telemetry: Telemetry) -> None:
        self._context = context
        self._run = run
        self._stream = ChangeStream(stream_run, context, endings(), await_seconds=AWAIT)
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Awaiting]] = {}
        self._ended: dict[str, None] = {}
        """The keys whose tasks are to be read, in order."""
        self._look_at = 0.0
        self._closed = False
        self._possible = True
        self._pause = FIRST_LOOK
        self._deserted_at = 0.0
        health = Health(telemetry)
        self._looker = Loop("results-look", self._look, health, self.close)
        self._watcher = Loop("results-watch", self._watch, health, self.close, last=self._stream.end)
        self._started = False

    def finished(self, key: str, read: Callable[[], Op[Task]], deadline: float) -> Op[Task | None]:
        """The task once it has finished; None where it has not by the deadline, on `elapsed()`."""
        with self._registered(key) as waiter:
            while True:
                waiter.rearm()
                task = waiter.task or (yield from _read(key, read))
                if task.finished:
                    return task
                left = deadline - elapsed()
                if left <= 0:
                    return None
                yield Wait(waiter, None if left == float("inf") else left)

    def close(self) -> None:
        """Let everybody look once more, which tells them why."""
        self._closed = True
        for loop in (self._looker, self._watcher):
            loop.stop()
        with self._lock:
            waiting = [waiter for waiters in self._waiting.values() for waiter in waiters]
        for waiter in waiting:
            waiter.notify()

    @contextmanager
    def _registered(self, key: str) -> Iterator[Awaiting]:
        waiter = Awaiting()
        with self._lock:
            self._waiting.setdefault(key, []).append(waiter)
            self._pause = FIRST_LOOK
            if not self._started:
                self._started = True
                self._looker.start()
                self._watcher.start()
        if not self._stream.open:
            self._look_now()
            self._watcher.wake()
        try:
            yield waiter
        finally:
            with self._lock:
                left = self._waiting[key]
                left.remove(waiter)
                if not left:
                    del self._waiting[key]
                self._deserted_at = elapsed()

    def _look_now(self) -> None:
        self._look_at = 0.0
        self._looker.wake()

    # The two services.

    def _look(self, now: float) -> float | None:
        """Read what has ended, or find the ends that no stream has told of; the seconds until the next look."""
        if self._ended:
            self._deliver()
            return 0.0
        if not self._waiting:
            return None
        if now < self._look_at:
            return self._look_at - now
        with self._lock:
            keys = list(self._waiting)
            pause = LONGEST_LOOK_WATCHED if self._stream.open else self._pause
            self._pause = min(LONGEST_LOOK, self._pause * 2)
            self._look_at = now + pause
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            live = set(self._run(queries.unfinished(self._context, some)))
            self._note([key for key in some if key not in live])
        return 0.0 if self._ended else pause

    def _note(self, keys: list[str]) -> None:
        with self._lock:
            self._ended |= {key: None for key in keys if key in self._waiting}

    def _deliver(self) -> None:
        """Read some of the tasks that have ended and notify who waits for them, who look for themselves otherwise."""
        with self._lock:
            keys = list(itertools.islice(self._ended, READ))
        where = filters.by_keys(keys)
        read = self._run(queries.tasks(self._context, where, claimant=None, limit=0))
        found = {task.key: task for task in read}
        with self._lock:
            told = [(key, [*self._waiting.get(key, ())]) for key in keys]
            for key in keys:
                del self._ended[key]
        for key, waiters in told:
            for place, waiter in enumerate(waiters):
                waiter.task = found.get(key) if place == 0 else None  # two do not share one object
                waiter.notify()

    def _watch(self, now: float) -> float | None:
        """Wait for one end, as long as somebody waits."""
        if not self._possible:
            return None
        if not self._waiting:
            if now - self._deserted_at > LINGER:
                self._stream.end()
                return None
            return LINGER
        if not self._stream.open:
            try:
                self._stream.begin()
            except StorageRefused as error:
                if error.code not in NO_STREAMS:
                    raise
                self._possible = False
                return None
            # What ended between the first look of who waits and the opening is found by one more look.
            self._look_now()
        change: dict[str, Any] | None = self._stream.next()
        if change is not None:
            self._note([change["documentKey"][fields.KEY]])
            if self._ended:
                self._looker.wake()
        return 0.0


def _read(key: str, read: Callable[[], Op[Task]]) -> Op[Task]:
    """The task; TaskNotFound says why it may have gone."""
    try:
        return (yield from read())
    except TaskNotFound:
        why = "it was deleted, or completed under keep_completed=0, which deletes it too"
        raise TaskNotFound(f"the task {key!r} has gone: {why}") from None
