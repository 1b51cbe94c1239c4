"""Run a `tasks.py` that was written for Celery: import from `mongoq.contrib.celery` in place of `celery`.

    from mongoq.contrib.celery import shared_task

    @shared_task(bind=True, autoretry_for=(ConnectionError,), retry_backoff=True, max_retries=5)
    def fetch(self, url): ...

    queue = Queue(namespace="shop")
    queue.include(mongoq.contrib.celery.tasks)

A call is a task with the tags `args` and `kwargs`; a canvas is a graph of them by `after=`: a link that ends releases
the next, and gives it its result. Each option of Celery means what it does there, or has no effect because mongoq does
so anyway, or raises an error that names it: `options` has the tables, which docs/from/celery.md shows.

`options` translates, `shared` makes tasks, `running` runs them, `signatures` and `canvas` build graphs, `results` looks
at them. `rates` makes limits of rate limits, `beat` schedules of a `beat_schedule`, `mapping` calls with many values.
"""

from mongoq.contrib.celery import builtin  # noqa: F401 -- its tasks run `map` and `starmap`
from mongoq.contrib.celery.beat import schedule_beat
from mongoq.contrib.celery.canvas import chain, chord, group
from mongoq.contrib.celery.errors import (
    Ignore,
    MaxRetriesExceededError,
    Reject,
    Retry,
    SoftTimeLimitExceeded,
)
from mongoq.contrib.celery.mapping import chunks, xmap, xstarmap
from mongoq.contrib.celery.registered import tasks
from mongoq.contrib.celery.results import AsyncResult, GroupResult
from mongoq.contrib.celery.schedules import crontab
from mongoq.contrib.celery.shared import CeleryTask, shared_task
from mongoq.contrib.celery.signatures import Signature, signature

__all__ = [
    "AsyncResult",
    "CeleryTask",
    "GroupResult",
    "Ignore",
    "MaxRetriesExceededError",
    "Reject",
    "Retry",
    "Signature",
    "SoftTimeLimitExceeded",
    "chain",
    "chord",
    "chunks",
    "crontab",
    "group",
    "schedule_beat",
    "shared_task",
    "signature",
    "tasks",
    "xmap",
    "xstarmap",
]
