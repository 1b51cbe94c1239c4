"""The shared tasks of the process, as `@shared_task` presumes them, and the queue that runs them."""

from __future__ import annotations

import sys
from typing import Any, Final

from mongoq import ConfigurationError, Fault, Queue, Tasks

__all__ = ["current_queue", "functions", "tasks"]

tasks: Final = Tasks()
"""All that `@shared_task` makes: `queue.include(tasks)`."""
functions: Final = tasks._registry  # noqa: SLF001 -- its functions are made here, not by its decorator


class _Calls:
    """What the error names where no queue has included the tasks."""

    name = "mongoq.contrib.celery.tasks"


def current_queue() -> Queue:
    """The queue that calls go to: in a project of Django's that of its default backend, where none includes the tasks.

    ConfigurationError where there is none, or one that is awaited.
    """
    django = sys.modules.get("mongoq.contrib.django")
    if django is not None and not functions.bound:
        django.get_queue().include(tasks)
    bound: Any = functions.bound_to(_Calls)  # type: ignore[arg-type] # of a definition it asks for the name alone
    queue = bound.queue
    if not isinstance(queue, Queue):
        allowed = "a Queue: what Celery's tasks call blocks"
        raise ConfigurationError([Fault("queue", repr(queue), allowed)])
    return queue
