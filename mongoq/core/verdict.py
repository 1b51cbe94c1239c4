"""What becomes of a task when an attempt ends: decided here, as a value, before anything is written.

`judge` is pure. The worker engine judges the endings of its handlers, the rescue sweep those of workers that
vanished, by the same rules:

- the attempt is charged at the claim; what should not count is refunded here;
- a task whose charged attempts exceed `max_retries` ends as failed;
- a lost lease is refunded as long as the task was one of many, because a process that dies takes all it holds
  with it, most of it never started. The search for the culprit narrows: after the first loss a task is a
  *suspect*, of which a process holds 16 at most; after the second one it is the only suspect its process holds,
  and pays for the leases it loses from then on. Five in a row end it even where retries are unlimited: a
  poisonous task must not take a fleet down for ever. (One at a time from the first loss on would be simpler, but
  the 600 tasks that one killed worker held then took 20 s instead of one.)
"""

from __future__ import annotations

import functools
import logging
import traceback
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.backoff import delay_of
from mongoq.core.errors import ConfigurationError, Fault, InvalidTask
from mongoq.core.lifecycle import Event
from mongoq.core.modification import Modification
from mongoq.core.new_task import NewTask
from mongoq.core.options import DEFAULTS, ErrorQueue, Policy
from mongoq.core.signals import Cancel, Fail, Interrupted, Interruption, Move, Retry, Signal, Snooze, strongest
from mongoq.core.task import Task, TaskError
from mongoq.core.validation import shortened

__all__ = ["Described", "Ending", "Lost", "Outcome", "Raised", "Released", "Returned", "Verdict", "describe", "judge"]

log = logging.getLogger("mongoq.core.verdict")

MOST_LOST_LEASES: Final = 5
LOST_AMONG_MANY: Final = 2
MOST_POISON_WEIGHT: Final = 16
"""The poison weight that a process may hold at once."""
LONGEST_MESSAGE: Final = 2_000
LONGEST_TRACEBACK: Final = 8_000


class Described(Exception):
    """An error told by another process: the exception itself may not survive the way, what it said does."""

    def __init__(self, kind: str, message: str, frames: str) -> None:
        super().__init__(kind, message, frames)
        self.kind = kind
        self.message = message
        self.frames = frames


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class Raised:
    """The handler raised."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Released:
    """The worker gives the task back, finished or not started."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease ran out: the worker vanished, or was cut off."""


Outcome = Returned | Raised | Released | Lost
"""How an attempt ended, before anything is decided."""
Ending = Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to write at the end of an attempt."""

    event: Event
    run_at: datetime | None = None
    """When to run again, where it runs again later."""
    error: TaskError | None = None
    """Why the attempt did not complete; it counts as a retry where there is one."""
    result: Any = None
    keep: timedelta | None = None
    """How long the finished task is kept; None where it is not finished."""
    charged: bool = True
    lease_lost: bool = False
    """Whether a lease was lost, once more."""
    queue: str | None = None
    """Where to, for a move."""
    note: str | None = None
    modification: Modification | None = None
    """The atomic change to make together with the ending."""

    @property
    def deletes(self) -> bool:
        """Whether the task is deleted on completion."""
        return self.event is Event.COMPLETE and not self.keep


def poison_weight(lost_leases: int) -> int:
    """What a task that lost so many leases in a row weighs; a process holds at most `MOST_POISON_WEIGHT`."""
    if lost_leases == 0:
        return 0
    return 1 if lost_leases < LOST_AMONG_MANY else MOST_POISON_WEIGHT


def judge(
    task: Task,
    outcome: Outcome,
    policy: Policy,
    now: datetime,
    worker: str,
    *,
    cancelled: bool = False,
    error_queue: ErrorQueue | None = None,
) -> Verdict:
    """Decide about `task`, whose attempt had this outcome; `cancelled` says that somebody asked it to be cancelled.

    With an `error_queue` a task does not end as failed but goes there, once: what fails there has failed.
    """
    verdict = _judged(task, outcome, policy, now, worker, cancelled=cancelled)
    if verdict.event is not Event.FAIL or error_queue is None:
        return verdict
    try:
        there = Move(error_queue(task.queue)).queue
        came_by_it = task.moved_from is not None and error_queue(task.moved_from) == task.queue
    except ConfigurationError as error:
        log.warning("the error queue of %s cannot be: %s; task %s stays, as failed", task.queue, error, task.key)
        return verdict
    except Exception:
        log.exception("the error queue of %s is not known: task %s stays, as failed", task.queue, task.key)
        return verdict
    return verdict if came_by_it else replace(verdict, event=Event.MOVE, queue=there, keep=None)


def _judged(task: Task, outcome: Outcome, policy: Policy, now: datetime, worker: str, *, cancelled: bool) -> Verdict:
    if isinstance(outcome, Returned):
        if outcome.value is None:
            return _completed(policy.keep_completed)
        follow_up = follow_up_of(outcome.value)
        result = outcome.value if follow_up is None else None
        return Verdict(Event.COMPLETE, result=result, keep=policy.keep_completed, modification=follow_up)
    error = strongest(outcome.error) if isinstance(outcome, Raised) else None
    if cancelled or isinstance(error, Cancel):
        return Verdict(Event.CANCEL, keep=policy.keep_failed, note=_reason(error))
    if isinstance(error, Fail):
        why = _described(error, task, now, worker)
        return Verdict(Event.FAIL, error=why, keep=policy.keep_failed, note=_reason(error))
    if isinstance(error, Move):
        described = _described(error, task, now, worker) if error.__cause__ else None
        return Verdict(Event.MOVE, queue=error.queue, note=_reason(error), error=described)
    if task.expires_at is not None and task.expires_at <= now:
        described = _described(error, task, now, worker) if error else None
        return Verdict(Event.EXPIRE, error=described, keep=policy.keep_failed)
    if isinstance(error, Snooze):
        return Verdict(Event.SNOOZE, run_at=now + error.delay, charged=False, note=_reason(error))
    if isinstance(outcome, Lost):
        return _judge_lost(task, policy, now)
    if error is None or (isinstance(error, Interrupted) and error.reason is not Interruption.DEADLINE):
        return Verdict(Event.RELEASE, charged=False)
    return _judge_failure(task, error, policy, now, worker)


def follow_up_of(value: Any) -> Modification | None:
    """What a handler's value asks for beside the completion: a Modification, or one or several new tasks.

    InvalidTask where the tasks are no Modification, or stand beside something else.
    """
    if isinstance(value, Modification):
        return value
    items = [value] if isinstance(value, NewTask) else value
    if not (isinstance(items, list | tuple) and any(isinstance(item, NewTask | Modification) for item in items)):
        return None
    if not all(isinstance(item, NewTask) for item in items):
        allowed = "a result, a NewTask, a list of NewTasks and nothing else, or a Modification"
        raise InvalidTask([Fault("result", shortened(value), allowed)])
    return Modification(insert=items)


@functools.lru_cache(maxsize=64)
def _completed(keep: timedelta) -> Verdict:
    # The verdict of nearly all attempts: made once, it costs each of them 0.1 µs instead of 1.3.
    return Verdict(Event.COMPLETE, keep=keep)


def _judge_failure(task: Task, error: BaseException, policy: Policy, now: datetime, worker: str) -> Verdict:
    described = _described(error, task, now, worker)
    if _exhausted(task, policy):
        return Verdict(Event.FAIL, error=described, keep=policy.keep_failed, note=_reason(error))
    delay = error.delay if isinstance(error, Retry) else None
    run_at = now + (_wait(task, policy) if delay is None else delay)
    return Verdict(Event.RETRY, error=described, run_at=run_at, note=_reason(error))


def _judge_lost(task: Task, policy: Policy, now: datetime) -> Verdict:
    if task.lost_leases < LOST_AMONG_MANY:
        return Verdict(Event.RESCUE, charged=False, lease_lost=True)
    message = f"the worker {task.worker} vanished, or could not renew its lease ({task.lost_leases + 1} times in a row)"
    error = TaskError("WorkerLost", message, "", now, task.attempts, task.worker or "")
    if _exhausted(task, policy) or task.lost_leases + 1 >= MOST_LOST_LEASES:
        return Verdict(Event.FAIL, error=error, keep=policy.keep_failed, lease_lost=True)
    return Verdict(Event.RESCUE, error=error, run_at=now + _wait(task, policy), lease_lost=True)


def _wait(task: Task, policy: Policy) -> timedelta:
    try:
        return delay_of(policy.backoff, task.charged)
    except Exception:
        log.exception("the backoff of task %s failed; the default serves", task.key)
        return delay_of(DEFAULTS.backoff, task.charged)


def _exhausted(task: Task, policy: Policy) -> bool:
    return policy.max_retries is not None and task.charged > policy.max_retries


def _reason(error: BaseException | None) -> str | None:
    return _message(error.reason) or None if isinstance(error, Signal) else None


def describe(error: BaseException) -> Described:
    """The error in words: what a signal was raised from, cut to size, in text that BSON can carry."""
    if isinstance(error, Signal) and error.__cause__:
        error = error.__cause__
    if isinstance(error, Described):
        return error
    frames = "" if isinstance(error, Signal) else _traceback(error)
    return Described(type(error).__name__, _message(error), _clean(frames[-LONGEST_TRACEBACK:]))


def _described(error: BaseException, task: Task, now: datetime, worker: str) -> TaskError:
    told = describe(error)
    return TaskError(told.kind, told.message, told.frames, now, task.attempts, worker)


def _message(value: object) -> str:
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 -- a user's own __str__ may raise anything
        text = "(its text could not be made)"
    return _clean(text[:LONGEST_MESSAGE])


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 -- as above: formatting calls the error's own methods
        return ""


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "�")
