"""Enqueue what is to follow a task together with its end, whoever ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from mongoq.core.errors import InvalidTask, StorageRefused, StorageUnavailable
from mongoq.core.failures import LONGEST_MESSAGE, message_of, text_of
from mongoq.core.judging.follow_up import Ending, FollowUp
from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event, TaskState
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import WRITE_CONFLICT, Filter, Op, Update, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.control import Transact
from mongoq.storage.documents import decoding, encoding, fields, filters, updates
from mongoq.storage.operations.modify import apply
from mongoq.storage.operations.modify.plan import prepared
from mongoq.storage.operations.recovery.skip_locked import NOTHING, WRITE_LIMIT, PartialWrite

FINAL: Final = {
    Event.COMPLETE: TaskState.COMPLETED,
    Event.FAIL: TaskState.FAILED,
    Event.CANCEL: TaskState.CANCELLED,
    Event.EXPIRE: TaskState.EXPIRED,
}
Made = Callable[[Task], Modification]
"""What is to be changed together with the end of a task."""


def follows(follow_up: FollowUp | None, verdict: Verdict) -> bool:
    """Whether something is enqueued together with this ending."""
    return follow_up is not None and verdict.event in FINAL


def brings_change(task: Task, verdict: Verdict) -> bool:
    """Whether an ending takes a transaction: its handler returned a change, or something is to follow the task."""
    return verdict.modification is not None or follows(task.policy.get(decoding.FOLLOW_UP), verdict)


def change_with(context: Context, task: Task, verdict: Verdict) -> Modification:
    """The change to make together with an ending: what its handler returned, and what is to follow the task.

    Nothing follows where the handler's own change ends the task: moved or changed it lives on, deleted it is gone.
    """
    change = verdict.modification or Modification()
    follow_up = task.policy.get(decoding.FOLLOW_UP)
    if not follows(follow_up, verdict) or any(ref.key == task.key for ref in change.given_up):
        return change
    ending = Ending(FINAL[verdict.event], verdict.result, verdict.error, verdict.failure, verdict.note)
    return change + Modification(insert=[_made(context, follow_up, task, ending)])


def enqueue_after(context: Context, task: Task, verdict: Verdict) -> Op[None]:
    """Enqueue what follows an ending, within the transaction that writes it."""
    change = change_with(context, task, verdict)
    if len(change):
        yield from apply.carry_out(context, prepared(context, change))


def close_each(
    context: Context,
    keys: Sequence[str],
    guard: Filter,
    state: TaskState,
    *,
    now: datetime,
    keep: timedelta,
    awaited: bool = False,
) -> Op[PartialWrite]:
    """End these waiting tasks, each with what follows it, if it still passes the guard."""
    update = updates.closed(state, now, keep, awaited=awaited)
    made = partial(made_at_close, context, state=state)
    done = NOTHING
    for key in keys:
        done = done.joined((yield from end_with(context, key, guard, update, made)))
    return done


def made_at_close(context: Context, task: Task, *, state: TaskState) -> Modification:
    """What follows a task that ends in this state without having run."""
    return Modification(insert=[_made(context, task.policy[decoding.FOLLOW_UP], task, Ending(state))])


def end_with(context: Context, key: str, guard: Filter, update: Update, made: Made) -> Op[PartialWrite]:
    """End one task by an update, and enqueue what follows it, in one transaction.

    Where that is refused, as by a standalone server, the task ends without, and its note says so.
    """
    try:
        done: int = yield Transact(lambda: end_within(context, key, guard, update, made), WRITE_LIMIT)
    except StorageUnavailable as error:
        if error.code != WRITE_CONFLICT:
            raise
        return PartialWrite(0, [key], doubtful=False)
    except (StorageRefused, InvalidTask) as error:
        note = message_of(f"what was to follow its end is left out: {error}")
        update = {**update, "$set": {**update["$set"], fields.NOTE: note}}
        done = yield from update_many(context.tasks, filters.guarded([key], guard), update)
    return PartialWrite(done, [], doubtful=False)


def end_within(context: Context, key: str, guard: Filter, update: Update, made: Made) -> Op[int]:
    """Do as `end_with`, within a transaction; how many tasks were ended."""
    where = filters.guarded([key], guard)
    document = yield from find_one(context.tasks, where)
    if document is None or not (yield from update_many(context.tasks, where, update)):
        return 0
    task = decoding.task_shown(document, context.namespace, context.clock.now())
    change = Modification() if task is None else made(task)
    if len(change):
        yield from apply.carry_out(context, prepared(context, change))
    return 1


def _made(context: Context, follow_up: Any, task: Task, ending: Ending) -> NewTask:
    stored = ending._replace(result=_stored(context, ending.result))
    return NewTask(
        follow_up.tags, key=follow_up.key_after(task), queue=follow_up.queue, name=follow_up.name,
        priority=follow_up.priority, payload=stored.told(task), context=task.context, on_conflict="skip",
    )  # fmt: skip


def _stored(context: Context, result: Any) -> Any:
    """The result as the payload holds it: as text where it cannot be stored, or is too large for that."""
    most = context.options.max_task_bytes // 2
    try:
        encoding.checked_result(result, most)
    except InvalidTask:
        return text_of(result, min(LONGEST_MESSAGE, most // 4))
    return result
