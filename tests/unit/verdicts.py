"""What the tests of verdicts share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from mongoq.core.clock import FrozenClock
from mongoq.core.judging.backoff import Linear
from mongoq.core.judging.policy import Policy
from mongoq.core.judging.verdict import Outcome, Raised, Verdict, judge
from mongoq.core.tasks.task import Task

NOW = FrozenClock().now()
KEEP_COMPLETED = timedelta(minutes=1)
KEEP_FAILED = timedelta(minutes=2)
POLICY = Policy(backoff=Linear(10), keep_completed=KEEP_COMPLETED, keep_failed=KEEP_FAILED)
Make = Callable[..., Task]


def verdict_of(task: Task, ending: Outcome, *, cancelled: bool = False, max_retries: int | None = None) -> Verdict:
    policy = POLICY.over({"max_retries": max_retries})
    return judge(task, ending, policy, NOW, "here:1:x", cancelled=cancelled)


def raised(error: BaseException, cause: BaseException | None = None) -> Raised:
    """What a handler's `raise error from cause` leaves behind, traceback included."""
    try:
        raise error from cause
    except BaseException as caught:  # noqa: BLE001 -- whatever it is
        return Raised(caught)
