"""A task of mongoq as Django shows it."""

from __future__ import annotations

import re
from typing import Any, Final

from django.utils.module_loading import import_string

from mongoq import Task, TaskError, TaskState
from mongoq.contrib.django import compat

__all__ = ["result_of", "task_of"]

STATUS: Final = {
    TaskState.PARKED: "READY",
    TaskState.SCHEDULED: "READY",
    TaskState.READY: "READY",
    TaskState.RUNNING: "RUNNING",
    TaskState.COMPLETED: "SUCCESSFUL",
    TaskState.FAILED: "FAILED",
    TaskState.EXPIRED: "FAILED",
    TaskState.CANCELLED: "FAILED",
}


def result_of(backend: Any, found: Task, task: Any = None) -> Any:
    """The TaskResult of a task as it stands; ImportError, AttributeError, TypeError or ValueError where it is none."""
    if found.name is None or not isinstance(found.payload, dict) or found.payload.keys() != {"args", "kwargs"}:
        raise ValueError(f"{found.key!r} is no call of a task of Django's")
    status = compat.base.TaskResultStatus[STATUS[found.state]]
    result = compat.base.TaskResult(
        task=task_of(found.name) if task is None else task,
        id=found.key,
        status=status,
        enqueued_at=found.created_at,
        started_at=found.started_at,
        last_attempted_at=found.started_at,
        finished_at=found.finished_at,
        args=found.payload["args"],
        kwargs=found.payload["kwargs"],
        backend=backend.alias,
        errors=[_error(error) for error in found.errors],
        worker_ids=_workers(found),
    )
    if found.state is TaskState.COMPLETED:
        object.__setattr__(result, "_return_value", found.result)
    return result


def task_of(path: str) -> Any:
    """The task of Django's that is defined there."""
    task = import_string(path)
    if not isinstance(task, compat.base.Task):
        raise TypeError(f"{path} is no task of Django's")
    return task


def _workers(found: Task) -> list[str]:
    """Who has run it, as far as is known: attempts that failed, the last ten of them, and the last one."""
    workers = [error.worker for error in found.errors]
    if found.state in (TaskState.RUNNING, TaskState.COMPLETED) and found.worker is not None:
        workers.append(found.worker)
    return workers


def _error(error: TaskError) -> Any:
    return compat.base.TaskError(exception_class_path=class_path(error), traceback=error.traceback)


def class_path(error: TaskError) -> str:
    """The path of an exception's class: the last line of the traceback that names it has its module, if any."""
    found = re.findall(rf"^((?:\w+\.)*{re.escape(error.type)})(?::|$)", error.traceback, re.MULTILINE)
    path: str = found[-1] if found else error.type
    return path if "." in path else f"builtins.{path}"
