"""From a handler's outcome to the verdict on its task, whatever the handler raised or returned."""

from __future__ import annotations

import logging
from dataclasses import replace

from mongoq.core.errors import DependencyError, InvalidTask, MongoqError
from mongoq.core.failures import LONGEST_MESSAGE, message_of, text_of
from mongoq.core.signals import Fail, Interruption, Stop
from mongoq.core.task import Task
from mongoq.core.verdict import Outcome, Raised, Verdict
from mongoq.storage.context import Context
from mongoq.storage.documents.updates import state_after
from mongoq.storage.operations.decide import check_result, decide, judged
from mongoq.worker.attempt import LiveAttempt

log = logging.getLogger("mongoq.worker")


def verdict_on(context: Context, attempt: LiveAttempt, outcome: Outcome, worker: str) -> Verdict:
    """Decide about an attempt. An outcome that cannot be judged (a user's exception may do anything) is a failure."""
    cancelled = attempt.interruption is Interruption.CANCEL
    try:
        if isinstance(outcome, Raised):
            outcome = Raised(attempt.effective_error(outcome.error))
        verdict = judged(context, attempt.task, outcome, worker, policy=attempt.policy, cancelled=cancelled)
        return _storable(context, attempt.task, verdict)
    except InvalidTask as error:
        # What was to follow the task would be lost; to run the handler again would do its work twice.
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
    if isinstance(error, InvalidTask) and verdict.result is not None and verdict.modification is None:
        return _with_text(context, task, verdict, error)
    if ignore and isinstance(error, DependencyError):
        return replace(verdict, modification=None)
    # What cannot be stored will not be storable the next time either.
    return verdict_on(context, attempt, Raised(Fail(str(error)) if isinstance(error, InvalidTask) else error), worker)


def stop_of(attempt: LiveAttempt, error: BaseException) -> Stop | None:
    """The `Stop` that an error of a handler stands for, if it does."""
    try:
        found = attempt.effective_error(error)
    except Exception:  # noqa: BLE001 -- a user's exception may do anything; the judgement logs it
        return None
    return found if isinstance(found, Stop) else None


def _storable(context: Context, task: Task, verdict: Verdict) -> Verdict:
    try:
        check_result(context, verdict)
    except InvalidTask as error:
        return _with_text(context, task, verdict, error)
    return verdict


def _with_text(context: Context, task: Task, verdict: Verdict, error: InvalidTask) -> Verdict:
    """The verdict with its result as text: the task's work is done, and to run it again would do it twice."""
    text = text_of(verdict.result, min(LONGEST_MESSAGE, context.options.max_task_bytes // 4))
    log.warning("task %s of %s is completed; its result is kept as text: %s", task.key, task.queue, error)
    return replace(verdict, result=text, note=message_of(f"the result is kept as text: {error}"))


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
