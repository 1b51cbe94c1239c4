"""The backend: it enqueues what Django's tasks are called with, and reads what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Unpack

from django.core import checks

from mongoq import ConfigurationError, MongoqError, NewTask, TaskNotFound
from mongoq.contrib.django import compat
from mongoq.contrib.django.queues import get_queue, get_session
from mongoq.contrib.django.results import result_of
from mongoq.contrib.joining import make_ready
from mongoq.functions.options import TaskOptions, checked_names

__all__ = ["MongoqBackend", "MongoqTask", "options"]

DEFINED: Final[dict[str, set[str]]] = {}
"""The paths of the tasks that this process has seen, by the alias of their backend: a worker runs these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoqTask(compat.base.Task):  # type: ignore[misc] # Django brings no types
    """A task of this backend; `@options(...)` above `@task` gives it options."""

    mongoq: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Options of `Queue.new` for its calls."""


def options(**given: Unpack[TaskOptions]) -> Callable[[Any], Any]:
    """Give a task options of `Queue.new`: `@options(max_retries=5, deadline=30)` above `@task`.

    A call may have its own: `options(unique="order-7")(fulfil).enqueue(7)`. A task of another backend, as in tests,
    stays as it is. Raises InvalidTask where an option is not acceptable.
    """
    checked_names(given, "options()")

    def gave(task: Any) -> Any:
        return replace(task, mongoq={**task.mongoq, **given}) if isinstance(task, MongoqTask) else task

    return gave


class MongoqBackend(compat.backends.BaseTaskBackend):  # type: ignore[misc] # as above
    """A backend of `django.tasks` on MongoDB. Its OPTIONS are those of `Queue`, with `uri` or `database`."""

    task_class = MongoqTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True
    is_mongoq = True

    def validate_task(self, task: Any) -> None:
        """Raise InvalidTask where a task cannot be run by this backend, or mongoq does not take its options."""
        super().validate_task(task)
        try:
            NewTask(name=task.module_path, queue=task.queue_name, **getattr(task, "mongoq", {}))
        except (MongoqError, TypeError) as error:
            raise _invalid(error) from error
        DEFINED.setdefault(self.alias, set()).add(task.module_path)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Enqueue a call: inside `django_mongodb_backend.transaction.atomic()` of the queue's database with its commit.

        Raises InvalidTask where the arguments cannot be stored; nothing was written.
        """
        self.validate_task(task)
        json = compat.base.normalize_json
        payload = {"args": json(list(args)), "kwargs": json(dict(kwargs))}
        try:
            new = NewTask(
                name=task.module_path, queue=task.queue_name, priority=task.priority, run_at=task.run_after,
                payload=payload, **getattr(task, "mongoq", {}),
            )  # fmt: skip
        except MongoqError as error:
            raise _invalid(error) from error
        queue, session = get_queue(self.alias), get_session(self.alias)
        if session is not None:
            make_ready(queue)
        made = queue.new(new, session=session)
        result = result_of(self, made, task)
        compat.signal("task_enqueued").send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """The result of a call; TaskResultDoesNotExist where there is none, or it is no task of Django's."""
        gone = compat.exceptions.TaskResultDoesNotExist
        try:
            found = get_queue(self.alias).get(result_id)
        except TaskNotFound:
            raise gone(result_id) from None
        try:
            return result_of(self, found)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise gone(result_id) from error

    def check(self, **_: Any) -> Iterable[checks.CheckMessage]:
        """What `manage.py check` says of the settings."""
        try:
            get_queue(self.alias)
        except (ConfigurationError, TypeError) as error:
            return [checks.Error(f"TASKS[{self.alias!r}]: {error}", id="mongoq.E001")]
        return []


def _invalid(error: Exception) -> Exception:
    kind = getattr(compat.exceptions, "InvalidTask", None) or compat.exceptions.InvalidTaskError
    made: Exception = kind(str(error))
    return made
