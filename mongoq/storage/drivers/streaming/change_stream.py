"""A change stream as its reader holds it: open, wait, end. `storage/operations/watch.py` says when to use one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mongoq.core.errors import StorageError
from mongoq.storage.context import Context
from mongoq.storage.control import Next
from mongoq.storage.operations import watch
from mongoq.storage.operations.watch import AWAIT, News, Pipeline, new_work, news_of

Run = Callable[[Any], Any]


class ChangeStream:
    """A change stream of what `pipeline` lets through. For one thread; `run` runs its operations.

    Never in a session that the application has bound: a stream in a transaction makes the server abort that.
    """

    def __init__(self, run: Run, context: Context, pipeline: Pipeline, *, await_seconds: float = AWAIT) -> None:
        self._run = run
        self._context = context
        self._pipeline = pipeline
        self._await = await_seconds
        self._stream: Any = None

    @property
    def open(self) -> bool:
        """Whether a stream stands."""
        return self._stream is not None

    def begin(self) -> None:
        """Open a stream that starts now. StorageRefused with one of `NO_STREAMS` where there can be none."""
        self._stream = self._run(watch.open_stream(self._context, self._pipeline, self._await))

    def next(self) -> dict[str, Any] | None:
        """Wait for a change; None where none came in time."""
        try:
            event = self._run(watch.next_change(self._stream, self._await))
        except StorageError:
            self.end()
            raise
        if event == Next.ENDED:
            self.end()
            return None
        change: dict[str, Any] | None = event
        return change

    def wait(self) -> News | None:
        """Wait for a task to appear; None where none came, or where a task has gone."""
        return news_of(self.next())

    def end(self) -> None:
        """Close the stream, if one stands."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                self._run(watch.close_stream(stream))
            except StorageError:
                return  # it is gone already, and its cursor ends by itself


class QueueStream(ChangeStream):
    """A change stream of new work, whose queues are named each time that it is opened."""

    def __init__(self, run: Run, context: Context, where: Mapping[str, Any], names: Sequence[str]) -> None:
        super().__init__(run, context, [])
        self._where = where
        self._names = names

    def watch(self, queues: Sequence[str], *, for_all: bool) -> None:
        """Open a stream of the new work in these queues; without `for_all`, only of the tags and names asked for."""
        self._pipeline = new_work(queues) if for_all else new_work(queues, self._where, self._names)
        self.begin()
