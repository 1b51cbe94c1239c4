"""The tasks behind `map` and `starmap`, under Celery's own names.

An error in one run is that of the whole call, which is not retried; the results before it are lost, as in Celery.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mongoq.contrib.celery.mapping import MAP, STARMAP
from mongoq.contrib.celery.shared import shared_task
from mongoq.contrib.celery.signatures import Signature

__all__ = ["run_map", "run_starmap"]


@shared_task(name=MAP)
def run_map(task: str, it: Sequence[Any], args: Sequence[Any] = (), kwargs: Any = None) -> list[Any]:
    """Run a task with each value; its results."""
    own = Signature(task, args, kwargs)
    return [own(value) for value in it]


@shared_task(name=STARMAP)
def run_starmap(task: str, it: Sequence[Any], args: Sequence[Any] = (), kwargs: Any = None) -> list[Any]:
    """Run a task with each of these arguments; its results."""
    own = Signature(task, args, kwargs)
    return [own(*values) for values in it]
