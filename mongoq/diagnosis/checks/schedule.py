"""Checks of the schedules."""

from __future__ import annotations

from collections.abc import Iterator

from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Schedules
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import span


@check(
    "schedule.late", Level.FAULT, "a schedule whose tick has been due for 90 s",
    effect="What it enqueues does not run; catch_up decides what of it is made up for.",
    advice="Start a worker, of whatever queue: any worker of the namespace enqueues what schedules say.",
    command="mongoq workers",
)  # fmt: skip
def late(schedules: Schedules) -> Iterator[Found]:
    """Late schedules."""
    for one in schedules.schedules:
        due = one.late(schedules.at)
        if due is not None:
            yield Found(one.name, f"The schedule {one.name} is late: its tick has been due for {span(due)}")


@check(
    "schedule.refused", Level.FAULT, "a schedule whose last tick could not be enqueued",
    effect="What it enqueues does not run.",
    advice="Mend its task, and define it anew.",
)  # fmt: skip
def refused(schedules: Schedules) -> Iterator[Found]:
    """Schedules that cannot enqueue."""
    for one in schedules.schedules:
        if one.reason and not one.paused and one.late(schedules.at) is None:
            problem = f"The schedule {one.name} cannot enqueue: {one.reason}"
            yield Found(one.name, problem, "mongoq schedules")
