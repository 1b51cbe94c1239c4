"""Sentry: one event for each task that has failed for good.

    sentry_sdk.init(dsn=...)
    report(queue)

An event has the error's type and message, its traceback as files, lines and functions, and the task's key, queue, name
and attempt. It has no local variables and none of the task's arguments. Attempts that are retried are no events. A
task that is given up because its workers were lost one after the other is one event of the worker that found it.
Events are made in the thread of the queue's listeners, so a slow Sentry holds up no task.

Needs sentry-sdk 2 or later.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from mongoq import AsyncQueue, Queue
from mongoq.core.host.extras import needs
from mongoq.core.lifecycle import TaskState
from mongoq.events import TaskEnded

with needs("sentry-sdk>=2"):
    import sentry_sdk
    from sentry_sdk.integrations.logging import ignore_logger

__all__ = ["report"]

FRAME: Final = re.compile(r'^ *(?:\| )?  File "(?P<file>.*)", line (?P<line>\d+), in (?P<function>.*)$', re.MULTILINE)
LIBRARIES: Final = ("/site-packages/", "/dist-packages/", "/lib/python")


def report(queue: Queue | AsyncQueue) -> Callable[[], None]:
    """Report each task of this queue's workers that fails for good; call the returned function to end that.

    The log lines of `mongoq.worker` make no events, since one of them reports the same failure.
    """
    ignore_logger("mongoq.worker")
    return queue.on(TaskEnded, _ended)


def _ended(event: TaskEnded) -> None:
    if event.state is TaskState.FAILED and event.error is not None:
        sentry_sdk.capture_event(_made(event))


def _made(event: TaskEnded) -> Any:
    task, error = event.task, event.error
    assert error is not None
    raised: dict[str, Any] = {
        "type": error.type, "value": error.message, "mechanism": {"type": "mongoq", "handled": True},
    }  # fmt: skip
    if frames := _frames(error.traceback):
        raised["stacktrace"] = {"frames": frames}
    about = {"key": task.key, "queue": task.queue, "name": task.name, "attempt": error.attempt}
    return {
        "level": "error",
        "logger": "mongoq",
        "transaction": task.name or task.queue,
        "exception": {"values": [raised]},
        "tags": {"mongoq.queue": task.queue, "mongoq.name": task.name or ""},
        "contexts": {"mongoq": {**about, "failure": None if event.failure is None else str(event.failure)}},
    }


def _frames(traceback: str) -> list[dict[str, Any]]:
    """The frames of a traceback that was kept as text, the outermost first."""
    return [
        {
            "filename": found["file"],
            "abs_path": found["file"],
            "lineno": int(found["line"]),
            "function": found["function"],
            "in_app": not any(part in found["file"] for part in LIBRARIES),
        }
        for found in FRAME.finditer(traceback)
    ]
