"""What docs/scheduling.md presumes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mongoq import Attempt, NewTask, Queue, Tasks
from mongoq.testing import FrozenClock, memory_queue, run_due

queue = Queue(namespace="scheduling")
tasks = Tasks()


@queue.task
def report(what: str) -> None:
    """Report."""


@tasks.cron("0 6 * * *", name="morning")
def morning() -> None:
    """Be sent every morning."""


def check() -> None:
    assert {"nightly", "cleanup"} <= {schedule.name for schedule in queue.schedules()}
    globals()["test_the_digest_is_sent_every_morning"]()
