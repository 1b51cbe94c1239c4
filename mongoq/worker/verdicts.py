"""From a handler's outcome to the verdict on its task, whatever the handler raised or returned."""

from __future__ import annotations

import logging
from dataclasses import replace

from mongoq.core.errors import DependencyError, InvalidTask, MongoqError
from mongoq.core.signals import Fail, Interruption
from mongoq.core.task import Task
from mongoq.core.verdict import Outcome, Raised, Verdict
from mongoq.storage.context import Context
from mongoq.storage.documents.updates import state_after
from mongoq.storage.operations.decide import decide
from mongoq.worker.attempt import LiveAttempt

log = logging.getLogger("mongoq.worker")


def verdict_on(context: Context, attempt: LiveAttempt, outcome: Outcome, worker: str) -> Verdict:
    """Decide about an attempt. An outcome that cannot be judged (a user's exception may do anything) is a failure."""
    cancelled = attempt.interruption is Interruption.CANCEL
    try:
        if isinstance(outcome, Raised):
            outcome = Raised(attempt.effective_error(outcome.error))
        return decide(context, attempt.task, outcome, worker, policy=attempt.policy, cancelled=cancelled)
    except InvalidTask as error:
        # The handler has done its work: to run it again would only do it twice.
        failed = Raised(Fail(str(error)))
    except Exception as error:
        log.exception("the ending of task %s could not be judged: it counts as failed", attempt.key)
        failed = Raised(error)
    return decide(context, attempt.task, failed, worker, policy=attempt.policy, cancelled=cancelled)


def verdict_instead(
    context: Context, completion: tuple[LiveAttempt, Verdict], error: MongoqError, worker: str, *, ignore: bool
) -> Verdict:
    """Decide about a task whose ending was refused together with its modification or its result."""
    attempt, verdict = completion
    task = attempt.task
    log.warning("task %s of %s: its ending was refused with what came with it: %s", task.key, task.queue, error)
    if ignore and isinstance(error, DependencyError):
        return replace(verdict, modification=None)
    # What cannot be stored will not be storable the next time either.
    return verdict_on(context, attempt, Raised(Fail(str(error)) if isinstance(error, InvalidTask) else error), worker)


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
