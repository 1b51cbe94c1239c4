"""The one place that judges an attempt's outcome: for workers, for endings by hand, and for the rescue sweep.

`verdict.judge` knows the rules. This module adds what the rules depend on: the task's own policy, the server's time
and the dead-letter queue. It does no I/O.
"""

from __future__ import annotations

from mongoq.core.options import Policy
from mongoq.core.task import Task
from mongoq.core.verdict import Outcome, Verdict, judge
from mongoq.storage.context import Context
from mongoq.storage.documents import encoding


def decide(
    context: Context,
    task: Task,
    outcome: Outcome,
    worker: str,
    *,
    policy: Policy | None = None,
    cancelled: bool = False,
) -> Verdict:
    """Judge how an attempt ended, and check that a result that is kept can be stored.

    `policy` is the task's own over the queue's, for a caller that has looked it up already. `cancelled` says that
    somebody asked for the task to be cancelled. InvalidTask where a kept result does not fit into its document, or
    where new tasks stand beside something else.
    """
    options = context.options
    if policy is None:
        policy = options.policy.over(task.policy)
    now = context.clock.now()
    verdict = judge(task, outcome, policy, now, worker, cancelled=cancelled, error_queue=options.error_queue)
    if verdict.result is not None and verdict.keep:
        encoding.checked_result(verdict.result, options.max_task_bytes)
    return verdict
