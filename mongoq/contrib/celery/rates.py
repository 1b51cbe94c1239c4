"""`rate_limit` of a task: a limit of mongoq's, of the task's own.

Celery counts in each worker, so a fleet of ten starts ten times as many; a limit counts in the whole fleet. A worker
makes the limit when it starts, with the numbers of its code; a producer that comes first makes it with its first call.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

from mongoq import ConfigurationError, Fault, NewTask, Queue
from mongoq.contrib.celery.registered import functions
from mongoq.core.validation import shortened
from mongoq.limiting.given import Numbers, checked_limit
from mongoq.limiting.limit import PRIORITY, Limit

__all__ = ["limit_of_rate", "make_limits", "with_own"]

PER: Final = {"s": 1, "m": 60, "h": 3_600}
RATE: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(?:/([smh]))?")
ALLOWED: Final = "a number of starts in a second, or '10/s', '100/m' or '1000/h'; None or 0: any number"
LONGEST_NAME: Final = 64

MADE: Final[WeakKeyDictionary[Queue, set[str]]] = WeakKeyDictionary()
"""The limits that a queue is known to have, so that it is asked once."""


def limit_of_rate(task: str, rate: Any) -> Limit | None:
    """The limit of a `rate_limit`; None where any number may start. ConfigurationError names what cannot be read."""
    text = str(rate or 0) if isinstance(rate, int | float | None) and not isinstance(rate, bool) else rate
    found = RATE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ConfigurationError([Fault(f"@shared_task of {task}: rate_limit", shortened(rate), ALLOWED)])
    starts = float(found[1])
    if not starts:
        return None
    return checked_limit(_name(task), Numbers(rate=starts, per=PER[found[2] or "s"]), None, PRIORITY)


def _name(task: str) -> str:
    """The name of a task's own limit: dots are dashes; others are told apart by a digest."""
    name = "celery-" + re.sub(r"[^A-Za-z0-9_]", "-", task)
    if len(name) <= LONGEST_NAME and re.fullmatch(r"[A-Za-z0-9_.]+", task):
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(task.encode()).hexdigest()[:8]}"


def with_own(limits: Any, own: Limit | None) -> Any:
    """The limits that are given for a task or a call, and its own."""
    if own is None:
        return limits
    if isinstance(limits, dict):
        return {own.name: 1, **limits}
    return [own.name, *([limits] if isinstance(limits, str) else limits or ())]


def make_limits(queue: Queue, tasks: Iterable[NewTask]) -> None:
    """Make the limits of these calls that are not there, once for each queue."""
    made = MADE.setdefault(queue, set())
    lacking = {name for task in tasks for name in task.limits if name not in made} & functions.limits().keys()
    if not lacking:
        return
    for name in lacking - {limit.name for limit in queue.limits()}:
        limit = functions.limits()[name]
        queue.limit(name, rate=limit.rate, per=limit.per, burst=limit.burst)
    made |= lacking
