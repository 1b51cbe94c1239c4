"""Which task a handler is at, for the lines that it logs.

Each handler runs in a context of its own, so it is noted there once, before the handler starts: it holds in coroutines,
and in threads that get the handler's context. A filter of log handlers writes it into the records.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from mongoq.core.tasks.task import Task

__all__ = ["TaskInRecords", "facts", "note"]

_current: Final[ContextVar[Task | None]] = ContextVar("mongoq-task", default=None)


def note(task: Task) -> None:
    """Note the task of the handler that starts in this context."""
    _current.set(task)


def facts() -> Mapping[str, Any]:
    """What records of this moment are told of their task; nothing outside of a handler."""
    task = _current.get()
    if task is None:
        return {}
    return {"task_key": task.key, "task_name": task.name, "task_queue": task.queue, "task_attempt": task.attempts}


class TaskInRecords(logging.Filter):
    """Writes the task into each record; what a line brings by `extra=` stays."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        for name, value in facts().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True
