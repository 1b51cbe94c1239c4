"""Keeps a change stream while this process is one of those that watch, for itself and for those that sleep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mongoq.core.errors import StorageRefused
from mongoq.core.events import Signpost
from mongoq.core.lifecycle import TaskState
from mongoq.storage.operations.watch import NO_STREAMS, News
from mongoq.worker.fleet.caller import Caller
from mongoq.worker.fleet.view import FleetView, Part
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Wake


class QueueStream(Protocol):
    """What the service needs of `storage.drivers.streaming.change_stream.ChangeStream`."""

    @property
    def open(self) -> bool: ...  # noqa: D102
    def watch(self, queues: Sequence[str], *, for_all: bool) -> None: ...  # noqa: D102
    def wait(self) -> News | None: ...  # noqa: D102
    def end(self) -> None: ...  # noqa: D102


class FleetWatch:
    """The service of the stream. It hands news to the caller, and wakes by `Wake.SCHEDULED` where a task was scheduled.

    Once a stream stands it wakes by `Wake.WORK` and `Wake.SCHEDULED`, and lets the caller look for the others, because
    what came before is told by no stream.
    """

    def __init__(self, runtime: Runtime, view: FleetView, stream: QueueStream, caller: Caller) -> None:
        self._runtime = runtime
        self._view = view
        self._stream = stream
        self._caller = caller
        self._possible = True
        self._for_all = False
        """Whether the stream tells of tasks of all tags and names, for others that may want them."""
        self._told = False
        """Whether others count on a stream to tell them of scheduled tasks."""

    @property
    def open(self) -> bool:
        """Whether news comes by itself."""
        return self._stream.open

    def step(self, now: float) -> float | None:
        """Wait for one piece of news, as long as this process watches and there is somebody to tell."""
        view = self._view
        if not self._possible:
            return None
        if view.part is not Part.WATCHING or self._caller.flooded:
            self.end()
            return None
        if self._stream.open and not self._suffices():
            self.end()
        if not self._stream.open and not self._begin(now):
            return None
        if not view.idle and not view.sleepers:
            return None  # woken when it is idle, or watches no more
        news = self._stream.wait()
        if news is None:
            return 0
        if news.state is TaskState.READY:
            self._caller.hear(news, self._runtime.elapsed())
        elif news.state is TaskState.SCHEDULED:
            self._runtime.wake(Wake.SCHEDULED)
        return 0

    def end(self) -> None:
        """Watch no more; scheduled tasks are to be looked for from now on. For the thread that steps."""
        self._stream.end()
        self._view.covers = ()
        if self._told:
            self._told = False
            self._runtime.wake(Wake.SCHEDULED)

    def _suffices(self) -> bool:
        """Whether the open stream tells of all that anybody waits for."""
        view = self._view
        return set(view.all_queues).issubset(view.covers) and (self._for_all or not view.others)

    def _begin(self, now: float) -> bool:
        queues = self._view.all_queues
        self._for_all = bool(self._view.others)
        try:
            self._stream.watch(queues, for_all=self._for_all)
        except StorageRefused as error:
            if error.code not in NO_STREAMS:
                raise
            self._possible = False
            return False
        self._view.covers = queues
        self._told = True
        self._runtime.wake(Wake.WORK)
        self._runtime.wake(Wake.SCHEDULED)
        self._caller.look(now)
        self._runtime.telemetry.emit(Signpost.WATCHING)
        return True
