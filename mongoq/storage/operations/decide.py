"""The one place that judges an attempt's outcome: for workers, for endings by hand, and for the rescue sweep.

`verdict.judge` knows the rules. This module adds what the rules depend on: the task's own policy, the server's time
and the error queue. It does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from mongoq.core.judging.policy import Policy
from mongoq.core.judging.verdict import Outcome, Verdict, judge
from mongoq.core.lifecycle import Event
from mongoq.core.tasks.progress import Unwritten
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Update
from mongoq.storage.context import Context
from mongoq.storage.documents import encoding, flow, progress, updates


class Ended(NamedTuple):
    """A claimed task and the verdict to write."""

    task: Task
    verdict: Verdict
    late: bool = False
    """Whether the lease was over by the holder's own countdown before the ending was sent for the first time."""
    unwritten: Unwritten | None = None
    """What its handler has said of its progress and is not stored yet."""
    unique: bool = False
    """Whether it has a `unique` value, by which somebody may have asked for one more run."""
    awaited: bool = False
    """Whether it had children when it was read; it may have got some since."""
    batch: str | None = None
    """The batch that it is a member of."""
    frees: Sequence[str] = ()
    """The groups of limits in which its end makes room."""
    starts: Sequence[Mapping[str, Any]] = ()
    """The starts of rate limits that it has got and not used."""

    @property
    def kept(self) -> bool:
        """Whether it is kept until those who wait for it have been told."""
        return self.awaited or self.batch is not None

    @property
    def deletes(self) -> bool:
        """Whether its ending is a deletion."""
        return self.verdict.deletes and not self.kept

    @property
    def token(self) -> str:
        """The token of the claim; never empty, so that a task that was not claimed matches nothing."""
        return self.task.token or "-"

    @property
    def marks(self) -> tuple[str, str]:
        """The values of `last_token` that prove acceptance: this ending's mark, or that of a cancel before it."""
        return updates.mark(self.token, self.verdict.event), updates.mark(self.token, Event.CANCEL)


def ended_update(ending: Ended, now: datetime) -> Update:
    """The update of an ending, with what its handler has said last."""
    task, verdict = ending.task, ending.verdict
    # To read more than the key of a task is to decode it.
    queue, attempts = (task.queue, task.attempts) if verdict.event is Event.MOVE else ("", 0)
    update = updates.ended(verdict, ending.token, now, queue=queue, attempts=attempts)
    if ending.kept and verdict.keep is not None:
        update = flow.kept(update, now, verdict.keep)
    if ending.unwritten is not None:
        update["$set"] |= progress.written(ending.unwritten, task.attempts, now)
    return update


def by_hand(context: Context, task: Task, verdict: Verdict, *, late: bool = False) -> Ended:
    """The ending of a task that was claimed by hand, with what was said of it while it was kept alive."""
    unwritten = None if task.attempt is None else task.attempt.unwritten
    known = context.gate.limits
    frees = [known[name].group(task.tags) for name in task.limits if name in known and known[name].concurrency]
    return Ended(task, verdict, late, unwritten, task.unique is not None, task.children, task.batch, frees)


def decide(
    context: Context,
    task: Task,
    outcome: Outcome,
    worker: str,
    *,
    policy: Policy | None = None,
    cancelled: bool = False,
) -> Verdict:
    """Do as `judged`, and raise InvalidTask also when a result to be kept does not fit into its document."""
    verdict = judged(context, task, outcome, worker, policy=policy, cancelled=cancelled)
    check_result(context, verdict)
    return verdict


def judged(
    context: Context,
    task: Task,
    outcome: Outcome,
    worker: str,
    *,
    policy: Policy | None = None,
    cancelled: bool = False,
) -> Verdict:
    """Judge how an attempt ended.

    `policy` is the queue's policy with the task's own values applied; give it if you have looked it up already.
    `cancelled` says that a cancel was requested. Raises InvalidTask when new tasks are returned together with something
    else.
    """
    options = context.options
    if policy is None:
        policy = options.policy_of(task.name, task.policy)
    now = context.clock.latest()
    verdict = judge(task, outcome, policy, now, worker, cancelled=cancelled, error_queue=options.error_queue)
    if verdict.run_at == now:
        # Without a delay it is due at once, and no sweep waits for the error of the clock.
        verdict = replace(verdict, run_at=context.clock.earliest())
    return verdict


def check_result(context: Context, verdict: Verdict) -> None:
    """Raise InvalidTask when a result to be kept does not fit into its document."""
    if verdict.result is not None and verdict.keep:
        encoding.checked_result(verdict.result, context.options.max_task_bytes)
