"""Lost replies: find out whether a write was applied when no reply came, or when it matched too few documents.

The token tells. A claim that was applied left its token in the task; an ending that was applied left its mark in
`last_token`. Reads ask for a majority, because what one server shows can still be rolled back. A task that was
deleted on completion, or by its own handler, leaves nothing to find, so a missing one counts as finished.
"""

from __future__ import annotations

from collections.abc import Sequence

from mongoq.core.errors import AlreadyFinished, LeaseLost
from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import FINISHED, Event, TaskState
from mongoq.core.tasks.conflicts import Role
from mongoq.storage.commands import Document, Op, find, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, flow, hold, indexes, updates
from mongoq.storage.documents.decoding import FOLLOW_UP
from mongoq.storage.documents.unread import Unread
from mongoq.storage.operations.decide import Ended, ended_update
from mongoq.storage.operations.endings.grouping import guarded
from mongoq.storage.operations.flow.ending import FINAL, follow
from mongoq.storage.operations.modify.following import change_with, end_with, end_within, follows
from mongoq.storage.operations.on_conflict.again import end_for_one_more


def catch_up(context: Context, token: str) -> Op[None]:
    """Issue a no-op majority write, so that the next majority read includes everything this primary has applied.

    Without it a majority read after a failover can miss our own claims: in one test on 6.0.5 it showed 1 of 18, and
    the other 17 stayed leased until they expired.
    """
    yield from update_many(context.tasks, filters.held([token], [token]), updates.once_more(token))


def recover(context: Context, tokens: Sequence[str]) -> Op[list[Unread]]:
    """Find the tasks that a majority shows as held under these tokens, after claims whose replies were lost."""
    yield from catch_up(context, tokens[0])
    where = {**filters.first_running(), fields.TOKEN: {"$in": list(tokens)}}
    found = yield from find(context.tasks, where, hint=indexes.LEASE, majority=True)
    now = context.clock.latest()
    return [Unread(document, context.namespace, now) for document in found]


def lost_claim(context: Context, token: str) -> Op[Document | None]:
    """The task that is held under this token, after a claim of one task whose reply was lost."""
    yield from catch_up(context, token)
    where = {fields.STATE: TaskState.RUNNING.value, fields.TOKEN: token}
    return (yield from find_one(context.tasks, where, hint=indexes.LEASE, majority=True))


def holders(context: Context, keys: Sequence[str], *, majority: bool) -> Op[list[Document]]:
    """Read who holds these tasks now, and under which token."""
    only = [fields.KEY, fields.TOKEN, fields.WORKER]
    return find(context.tasks, filters.by_keys(keys), only=only, hint="_id_", majority=majority)


def held_under(token: str, found: list[Document]) -> list[Document]:
    """Select the tasks that are held under this token."""
    return [document for document in found if hold.token(document) == token]


def lost_endings(context: Context, endings: list[Ended], *, within: bool = False) -> Op[list[Ended]]:
    """Find the endings that were refused, among some whose write matched fewer documents than there are endings.

    A task that is still held under the token was not written because somebody asked meanwhile for a cancel, or for
    one more run. It gets that here. `within` says that this is in a transaction.
    """
    only = [fields.TOKEN, fields.LAST_TOKEN, fields.CANCEL_REQUESTED]
    keys = [ending.task.key for ending in endings]
    found = yield from find(context.tasks, filters.by_keys(keys), only=only, hint="_id_", majority=True)
    now_at = {document[fields.KEY]: document for document in found}
    lost: list[Ended] = []
    for ending in endings:
        document = now_at.get(ending.task.key)
        if document is None:
            if not _may_be_missing(ending):
                lost.append(ending)
        elif hold.token(document) == ending.token:
            if (yield from end_as_parent(context, ending, within=within)):
                continue
            if ending.unique and (yield from end_for_one_more(context, ending)):
                continue
            # A majority read need not show the cancel request yet, so it is not looked at.
            if not (yield from _cancel(context, ending, within=within)):
                lost.append(ending)
        elif document.get(fields.LAST_TOKEN) not in ending.marks:
            lost.append(ending)
    return lost


def end_as_parent(context: Context, ending: Ended, *, within: bool) -> Op[bool]:
    """Write an ending of a task that has got children while it ran; False where it has not, or is not held."""
    if ending.awaited or ending.verdict.event not in FINAL:
        return False
    parent = ending._replace(awaited=True)
    where = guarded([parent]) | {fields.CHILDREN: flow.AWAITED}
    done = yield from update_many(context.tasks, where, ended_update(parent, context.clock.latest()))
    if done:
        yield from follow(context, [parent], sure=True, within=within)
    return bool(done)


def loss_of(context: Context, keys: list[str]) -> Op[LeaseLost]:
    """What is raised for endings that were refused: tasks that were deleted, or went to another, are lost."""
    found = yield from find(context.tasks, filters.by_keys(keys), only=[fields.STATE], hint="_id_")
    finished = sum(document[fields.STATE] in FINISHED for document in found)
    return AlreadyFinished(keys) if finished == len(set(keys)) else LeaseLost(keys)


def _cancel(context: Context, ending: Ended, *, within: bool) -> Op[int]:
    """Write a cancel in place of an ending, with what follows the task; 0 where it is not held any more."""
    task = ending.task
    keep = context.options.policy.over(task.policy).keep_failed
    cancel = Verdict(Event.CANCEL, error=ending.verdict.error, keep=keep)
    guard = filters.held([task.key], [ending.token])
    update = ended_update(ending._replace(verdict=cancel, unwritten=None), context.clock.latest())
    if not follows(task.policy.get(FOLLOW_UP), cancel):
        return (yield from update_many(context.tasks, guard, update))
    made = lambda _: change_with(context, task, cancel)  # noqa: E731
    if within:
        return (yield from end_within(context, task.key, guard, update, made))
    return (yield from end_with(context, task.key, guard, update, made)).updated


def _may_be_missing(ending: Ended) -> bool:
    """Whether an accepted ending leaves no document: deleted on completion, or by its own handler's change."""
    if ending.late:  # another may have run and ended it since
        return False
    change = ending.verdict.modification
    named = () if change is None else change.named
    return ending.deletes or any(role is Role.DELETE and ref.key == ending.task.key for role, ref in named)
