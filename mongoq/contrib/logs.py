"""Log lines that name their task: `task_key`, `task_name`, `task_queue` and `task_attempt` of each record.

`mongoq worker` does it by itself. An application that runs workers of its own calls `name_tasks(queue)` once its log
handlers are there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mongoq import AsyncQueue, Queue
from mongoq.core.host.log_context import TaskInRecords, note

__all__ = ["name_tasks"]


def name_tasks(queue: Queue | AsyncQueue, handlers: Iterable[logging.Handler] | None = None) -> None:
    """Let each line that a handler of this queue logs name its task, as attributes of the record.

    Args:
        queue: the queue, before it runs. Lines of a batch handler, which is at many tasks, name none.
        handlers: the log handlers whose records are to name it. Default: those of the root logger.
    """
    queue._base.hooks.begin = note  # noqa: SLF001 -- no verb of a user's
    for handler in logging.root.handlers if handlers is None else handlers:
        if not any(isinstance(known, TaskInRecords) for known in handler.filters):
            handler.addFilter(TaskInRecords())
