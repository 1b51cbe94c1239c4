"""The queue of the environment: for programs that need one queue and do not want to hand it around."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any

from mongoq.core.tasks.new_task import NewTask
from mongoq.functions.decorator import TaskDecorator
from mongoq.functions.definition import Definition
from mongoq.functions.registry import Registry
from mongoq.queue import Queue

__all__ = ["default_queue", "task"]


class _Default:
    """The queue, once somebody has asked for it, and the functions that are bound to it."""

    def __init__(self) -> None:
        self.functions = Registry(self)
        self._made: Queue | None = None
        self._process = 0
        self._making = threading.Lock()

    @property
    def queue(self) -> Queue:
        """The queue; a new one where the last was closed, or belongs to the process that this one was forked from."""
        with self._making:
            made = self._made
            if made is None or made._base.closed or self._process != os.getpid():  # noqa: SLF001 -- our own
                made = Queue()
                made._base.functions.include(self.functions)  # noqa: SLF001 -- as above
                atexit.register(made.close)
                self._made, self._process = made, os.getpid()
            return made

    def __call__(self, definition: Definition, task: NewTask) -> Any:
        """Enqueue a call before the queue was asked for: it is made now, and takes the calls to come itself."""
        return self.queue._base.functions.bound_to(definition)(definition, task)  # noqa: SLF001 -- as above


_DEFAULT = _Default()

task = TaskDecorator(_DEFAULT.functions)


def default_queue() -> Queue:
    """The queue that MONGOQ_URI and MONGOQ_NAMESPACE name: made at the first call, closed when the process ends.

    It is one object for the whole process, and runs the functions of `@mongoq.task`. Closed by hand, the next call
    makes another.

    Raises:
        ConfigurationError: MONGOQ_URI is not set, or names no server.
    """
    return _DEFAULT.queue
