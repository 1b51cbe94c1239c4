"""From the end of a handler to the verdict on its task, whatever the handler raised or returned."""

from __future__ import annotations

import logging
from dataclasses import replace

from mongoq.core.errors import DependencyError, InvalidTask, MongoqError
from mongoq.core.signals import Fail, Interruption
from mongoq.core.task import Task
from mongoq.core.verdict import Ending, Raised, Returned, Verdict, follow_up_of, judge
from mongoq.storage.documents import encoding
from mongoq.storage.documents.updates import state_after
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.runtime import Runtime

log = logging.getLogger("mongoq.worker")


def verdict_of(attempt: LiveAttempt, ending: Ending, shared: Runtime) -> Verdict:
    """Judge an ending. One that cannot be judged (a user's exception may be anything) counts as a failure."""
    try:
        return _judged(attempt, ending, shared)
    except Exception as error:
        log.exception("the ending of task %s could not be judged: it counts as failed", attempt.key)
        return _judged(attempt, Raised(error), shared)


def verdict_of_refused(
    attempt: LiveAttempt, verdict: Verdict, error: MongoqError, shared: Runtime, *, ignore: bool
) -> Verdict:
    """What becomes of a task whose ending was refused together with what came with it: a modification, a result."""
    task = attempt.task
    log.warning("task %s of %s: its ending was refused with what came with it: %s", task.key, task.queue, error)
    if ignore and isinstance(error, DependencyError):
        return replace(verdict, modification=None)
    # What cannot be stored will not be storable the next time either.
    return verdict_of(attempt, Raised(Fail(str(error)) if isinstance(error, InvalidTask) else error), shared)


def log_failure(task: Task, verdict: Verdict) -> None:
    """One line for an attempt that failed; its traceback where somebody asks for DEBUG."""
    error = verdict.error
    if error is None:
        return
    then = "runs again" if verdict.run_at is not None else f"has ended as {state_after(verdict)}"
    if verdict.queue is not None:
        then = f"goes to the queue {verdict.queue}"
    what = f"{error.type}: {error.message}" if error.message else error.type
    log.warning("task %s of %s: attempt %d failed with %s; it %s", task.key, task.queue, error.attempt, what, then)
    log.debug("%s", error.traceback)


def _judged(attempt: LiveAttempt, ending: Ending, shared: Runtime) -> Verdict:
    policy = attempt.policy
    if isinstance(ending, Raised):
        ending = Raised(attempt.meant(ending.error))
    if isinstance(ending, Returned) and ending.value is not None:
        try:
            if follow_up_of(ending.value) is None and policy.keep_completed:
                encoding.checked_result(ending.value, shared.context.options.max_task_bytes)
        except InvalidTask as error:
            # The handler has done its work: once more would only do it twice.
            ending = Raised(Fail(str(error)))
    cancelled = attempt.interruption is Interruption.CANCEL
    now, error_queue = shared.context.clock.now(), shared.context.options.error_queue
    return judge(attempt.task, ending, policy, now, shared.worker, cancelled=cancelled, error_queue=error_queue)
