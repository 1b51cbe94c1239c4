"""Run Django's tasks: with connections of their own, and with Django's signals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.apps import apps
from django.db import close_old_connections, reset_queries
from django.utils.module_loading import autodiscover_modules

from mongoq import Queue, Task, TaskNotCompleted
from mongoq.contrib.django import compat
from mongoq.contrib.django.backend import DEFINED
from mongoq.contrib.django.results import result_of, task_of
from mongoq.core.judging.ended import error_of
from mongoq.events import TaskEnded
from mongoq.functions.definition import Definition
from mongoq.functions.function import TaskFunction
from mongoq.functions.registry import Registry

__all__ = ["hooked", "include_shared", "include_tasks"]


class _Inner(TaskFunction[..., Any, Any]):
    """mongoq's task function for a task of Django's; a child process sets Django up and finds it by its path."""

    alias: str

    def __reduce__(self) -> Any:
        return _found, (self.alias, self.name)


def include_tasks(alias: str, queue: Queue) -> list[str]:
    """Let a queue run the tasks of all applications' `tasks` modules, and others that are defined; their paths."""
    autodiscover_modules("tasks")
    functions = queue._base.functions  # noqa: SLF001 -- they are made here, not by its decorator
    known = functions.by_name()
    paths = sorted(DEFINED.get(alias, ()))
    for path in paths:
        if path not in known:
            functions.add(_made(alias, path, functions))
    return paths


def include_shared(alias: str, queue: Queue) -> list[Any]:
    """Let the queue of the default backend run the `@shared_task`s of `mongoq.contrib.celery`, where there are any."""
    shim = sys.modules.get("mongoq.contrib.celery")
    if alias != "default" or shim is None:
        return []
    queue.include(shim.tasks)
    return list(shim.tasks._registry)  # noqa: SLF001 -- of our own


def hooked(alias: str, queue: Queue) -> Queue:
    """The queue, whose workers close connections around each task and tell of the ends of Django's tasks."""
    queue.middleware(fresh_connections)
    queue.on(TaskEnded, lambda event: _tell(alias, event))
    return queue


def fresh_connections(task: Task) -> Iterator[None]:  # noqa: ARG001 -- a middleware
    """Close connections that are unusable or older than CONN_MAX_AGE, before and after each task."""
    with _fresh():
        yield


@contextmanager
def _fresh() -> Iterator[None]:
    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def _made(alias: str, path: str, functions: Registry) -> _Inner:
    task = task_of(path)
    options = {"queue": task.queue_name}
    inner = _Inner(Definition(_handler(alias, task), options, name=path), functions)
    inner.alias = alias
    return inner


def _found(alias: str, path: str) -> _Inner:
    """What `_Inner` is pickled as."""
    if not apps.ready:
        django.setup()
    return _made(alias, path, Registry())


def _handler(alias: str, task: Any) -> Callable[[Task], Any]:
    def run(mine: Task) -> Any:
        backend = compat.task_backends()[alias]
        with _fresh():
            result = result_of(backend, mine, task)
            compat.signal("task_started").send(type(backend), task_result=result)
            context = [compat.base.TaskContext(task_result=result)] if task.takes_context else []
            return compat.base.normalize_json(task.call(*context, *result.args, **result.kwargs))

    return run


def _tell(alias: str, event: TaskEnded) -> None:
    """Send Django's signal of the end, with its error as the one that is handled: its receivers log that."""
    if event.task.name not in DEFINED.get(alias, ()):
        return
    backend, whole = compat.task_backends()[alias], event.whole()
    with _fresh():
        result = result_of(backend, whole)
        try:
            error = error_of(whole)
            if error is not None:
                raise error
        except TaskNotCompleted:
            compat.signal("task_finished").send(type(backend), task_result=result)
        else:
            compat.signal("task_finished").send(type(backend), task_result=result)
