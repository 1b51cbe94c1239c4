"""`beat_schedule`, as schedules of mongoq's: a worker writes them when it starts, and there is no beat."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta, tzinfo
from typing import Any, Final

from mongoq import ConfigurationError, Fault
from mongoq.contrib.celery.registered import functions
from mongoq.contrib.celery.schedules import FIELDS, expression_of
from mongoq.contrib.celery.signatures import Signature
from mongoq.core.validation import did_you_mean, shortened
from mongoq.scheduling.given import Given

__all__ = ["schedule_beat"]

ENTRY: Final = ("task", "schedule", "args", "kwargs", "options", "relative")
WHEN: Final = "a number of seconds, a timedelta or a crontab"
FRESH: Final = (
    "possible here: leave it out. With overlap='skip' a tick is left out while the task of the last has not finished"
)


def schedule_beat(
    entries: Mapping[str, Mapping[str, Any]], *, tz: str | tzinfo = "UTC", overlap: str = "queue"
) -> list[str]:
    """Make schedules of a `beat_schedule`, and return their names; workers of a queue with the tasks write them.

    As with `@queue.cron`, an edit or a pause of a schedule lasts until its entry changes. Call it when the modules of
    the tasks have been imported, once.

    Args:
        entries: as Celery has them: `{"sweep": {"task": "shop.tasks.sweep", "schedule": crontab(hour=3, minute=0)}}`.
            A `crontab` may be Celery's own.
        tz: the time zone of all crontabs; Celery's setting `timezone`.
        overlap: `"queue"` as Celery does, or `"skip"` ticks while the task of the last has not finished.

    Raises ConfigurationError where an entry cannot be kept; it lists all of them, and then none is.
    """
    faults: list[Fault] = []
    made: list[Given] = []
    for name, entry in entries.items():
        try:
            made.append(_given(name, entry, tz, overlap))
        except ConfigurationError as error:
            faults += [Fault(f"beat_schedule {name!r}: {one.field}", one.value, one.allowed) for one in error.faults]
    if faults:
        raise ConfigurationError(faults)
    for given in made:
        functions.declare(given)
    return [given.name for given in made]


def _given(name: str, entry: Mapping[str, Any], tz: str | tzinfo, overlap: str) -> Given:
    faults = [
        Fault(key, shortened(value), f"one of {', '.join(ENTRY)}{did_you_mean(key, ENTRY)}")
        for key, value in entry.items()
        if key not in ENTRY
    ]
    options = dict(entry.get("options") or {})
    if options.pop("expires", None) is not None:
        faults.append(Fault("options expires", shortened(entry["options"]["expires"]), FRESH))
    task = entry.get("task")
    if task not in functions.by_name():
        meant = did_you_mean(str(task), [*functions.by_name()])
        allowed = f"the name of a shared task of this process, whose module has been imported{meant}"
        faults.append(Fault("task", shortened(task), allowed))
    if faults:
        raise ConfigurationError(faults)
    call = Signature(str(task), entry.get("args"), entry.get("kwargs"), options).new_task()
    timing = _timing(entry.get("schedule"), tz)
    given = Given(re.sub(r"[^A-Za-z0-9_.:/-]+", "-", name), task=call, overlap=overlap, **timing).checked()
    given.complete()
    return given


def _timing(when: Any, tz: str | tzinfo) -> dict[str, Any]:
    """The time of an entry, as `queue.schedule` takes it."""
    if all(hasattr(when, name) for name in FIELDS):
        return {"cron": expression_of(when), "tz": tz}
    every = getattr(when, "run_every", when)
    if isinstance(every, bool) or not isinstance(every, int | float | timedelta):
        raise ConfigurationError([Fault("schedule", shortened(when), WHEN)])
    return {"every": every}
