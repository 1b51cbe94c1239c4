"""From a handler's outcome to the verdict on its task, whatever the handler raised or returned."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from mongoq.core.errors import InvalidTask, MongoqError, StorageRefused, Unsupported
from mongoq.core.failures import LONGEST_MESSAGE, message_of, text_of
from mongoq.core.judging.verdict import NO_RESULT, Outcome, Raised, Verdict, completed
from mongoq.core.signals import Fail, Interruption, Stop
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.core.tasks.task import Failure, Task, TaskError
from mongoq.limiting.limit import groups_of_slots
from mongoq.storage.context import Context
from mongoq.storage.documents.fields import MOST_ERRORS
from mongoq.storage.documents.updates import state_after
from mongoq.storage.operations.decide import Ended, check_result, decide, judged
from mongoq.storage.operations.recovery.malformed import UNFIT
from mongoq.worker.attempt import LiveAttempt

log = logging.getLogger("mongoq.worker")

BAD_CONTENT: Final = (*UNFIT, 15, 22, 52, 17280)
"""Codes of a refusal that time will not change: for what is no BSON, too deeply nested, or has names that MongoDB
reserves, too. Any other (a lost right, a full disk, a killed operation) is the server's affair."""


def ending_of(one: LiveAttempt, verdict: Verdict, now: float) -> Ended:
    """What is written of an attempt that ended with this verdict, from `now` on."""
    own = one.claimed
    unused = () if one.started_at else own.starts
    frees = groups_of_slots(own.slots)
    return Ended(one.task, verdict, one.late(now), one.unwritten, own.unique, own.awaited, own.batch, frees, unused)


def verdict_on(context: Context, attempt: LiveAttempt, outcome: Outcome, worker: str) -> Verdict:
    """Decide about an attempt. An outcome that cannot be judged (a user's exception may do anything) is a failure."""
    if outcome is NO_RESULT:  # the common ending; a cancel that comes too late does not matter
        return completed(attempt.policy.keep_completed)
    cancelled = attempt.interruption is Interruption.CANCEL
    try:
        if isinstance(outcome, Raised):
            outcome = Raised(attempt.effective_error(outcome.error))
        verdict = judged(context, attempt.task, outcome, worker, policy=attempt.policy, cancelled=cancelled)
        return _storable(context, attempt.task, verdict)
    except InvalidTask as error:
        return _refused(context, attempt, error, worker)
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
    if not isinstance(error, InvalidTask):
        return verdict_on(context, attempt, Raised(error), worker)
    return _refused(context, attempt, error, worker)


def _refused(context: Context, attempt: LiveAttempt, error: InvalidTask, worker: str) -> Verdict:
    """Fail a task at once whose end cannot be stored: it will not be storable the next time either."""
    cancelled = attempt.interruption is Interruption.CANCEL
    failed = Raised(Fail(str(error)))
    verdict = decide(context, attempt.task, failed, worker, policy=attempt.policy, cancelled=cancelled)
    return replace(verdict, failure=verdict.failure and Failure.REFUSED)


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


def log_failure(task: Task, verdict: Verdict, message: str | None = None) -> None:
    """One line for an attempt that failed; its traceback where somebody asks for DEBUG.

    The last one of a task tells the errors of all its attempts, after the `message` of the user's policy.
    """
    error = verdict.error
    if error is None:
        return
    if verdict.failure is not None:
        _log_last_failure(task, verdict, verdict.failure, message)
    else:
        then = "runs again" if verdict.run_at is not None else f"has ended as {state_after(verdict)}"
        if verdict.queue is not None:
            then = f"goes to the queue {verdict.queue}"
        what = _told(error)
        log.warning("task %s of %s: attempt %d failed with %s; it %s", task.key, task.queue, error.attempt, what, then)
    log.debug("%s", error.traceback)


def _log_last_failure(task: Task, verdict: Verdict, failure: Failure, message: str | None) -> None:
    assert verdict.error is not None
    errors = (*task.errors, verdict.error)[-MOST_ERRORS:]
    then = "has failed" if verdict.queue is None else f"has failed, and goes to the queue {verdict.queue}"
    story = "; ".join(f"attempt {one.attempt}: {_told(one)}" for one in errors)
    facts = {"task_key": task.key, "task_queue": task.queue, "task_errors": errors, "task_failure": str(failure)}
    said = "" if message is None else f"{message}: "
    text = "%stask %s of %s %s (%s): %s"
    log.error(text, said, task.key, task.queue, then, _WHY[failure], story, extra=facts)


_WHY: Final = {
    Failure.EXHAUSTED: "its retries are used up",
    Failure.HANDLER: "its handler said so",
    Failure.NOT_RETRIED: "such an error is not retried",
    Failure.LOST: "its workers were lost",
    Failure.REFUSED: "its end was refused",
}


def _told(error: TaskError) -> str:
    return f"{error.type}: {error.message}" if error.message else error.type


def concerns_content(error: StorageRefused) -> bool:
    """Whether a refusal concerns what was to be written, and not the server."""
    return error.code is None or error.code in BAD_CONTENT or isinstance(error, Unsupported)
