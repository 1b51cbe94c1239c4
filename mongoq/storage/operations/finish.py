"""Write the endings of attempts: many in few writes, each guarded by its token.

A write may be repeated after a lost reply: an ending that was already written is recognised by `last_token`.

When an open transaction of another client holds some of the tasks, the other endings are written all the same. The
blocked ones are returned, to be written later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from mongoq.core.errors import InvalidTask, LeaseLost, StorageUnavailable
from mongoq.core.judging.verdict import Outcome, Returned
from mongoq.core.signals import Interruption
from mongoq.core.tasks.task import Task
from mongoq.core.validation import Checker, shortened
from mongoq.storage.commands import Bulk, Changing, Delete, Filter, Op, Removing, find, update_many
from mongoq.storage.context import Context
from mongoq.storage.control import Transact
from mongoq.storage.documents import fields, filters
from mongoq.storage.operations import schema
from mongoq.storage.operations.decide import Ended, by_hand, decide, ended_update
from mongoq.storage.operations.endings.grouping import (
    SLOWEST,
    alike,
    guarded,
    kind,
    kind_but_result,
    results,
    statements,
)
from mongoq.storage.operations.flow.ending import follow
from mongoq.storage.operations.limits.ending import make_room
from mongoq.storage.operations.modify import apply
from mongoq.storage.operations.modify.following import brings_change, change_with, enqueue_after
from mongoq.storage.operations.modify.plan import Leaving, Plan, prepared
from mongoq.storage.operations.on_conflict.again import end_for_one_more
from mongoq.storage.operations.recovery.lost_replies import catch_up, end_as_parent, loss_of, lost_endings
from mongoq.storage.operations.recovery.skip_locked import (
    MOST_SKIPPED,
    PROBE,
    WRITE_LIMIT,
    PartialWrite,
    write_skipping_locked,
)


class Finished(NamedTuple):
    """The endings that were not written."""

    lost: list[Ended]
    """Refused, because the lease was lost."""
    blocked: list[Ended]
    """Not written, because an open transaction holds the task: write them again later."""
    released: bool = False
    """Whether children or callbacks that waited for these ends may be ready now."""


def finish(
    context: Context, endings: Sequence[Ended], *,
    time_limit: timedelta | None = WRITE_LIMIT, again: bool = False, hands_over: bool = False,
) -> Op[Finished]:  # fmt: skip
    """Write these endings together, and return those that could not be written.

    Call it again with the same endings after an error, also when it is not known whether anything was written.
    Without a `time_limit` the write waits for an open transaction as long as the client allows. `again` is for
    endings that were blocked before: they get one short try. With `hands_over` the caller gives the free slots away.
    """
    if again:
        time_limit = PROBE
    if not endings:
        return Finished([], [])
    write = _finish_group if alike(endings) else _finish_groups
    most = 0 if again else MOST_SKIPPED
    written = yield from _write_skipping_locked(context, list(endings), write, time_limit, most=most)
    skipped = set(written.skipped)
    blocked = [ending for ending in endings if ending.task.key in skipped]
    if any(ending.frees or ending.starts for ending in endings):
        ended = [ending for ending in endings if ending.task.key not in skipped]
        yield from make_room(context, ended, hands_over=hands_over)
    if not written.doubtful and written.updated >= len(endings):
        return Finished([], blocked, released=(yield from follow(context, endings, sure=True)))
    unsure = [ending for ending in endings if ending.task.key not in skipped]
    if written.doubtful and unsure:
        yield from catch_up(context, unsure[0].token)
    lost = (yield from lost_endings(context, unsure)) if unsure else []
    return Finished(lost, blocked, released=(yield from follow(context, unsure, sure=False)))


def settle(context: Context, tasks: Sequence[Task], outcome: Outcome, worker: str) -> Op[None]:
    """Judge and write the same outcome for each of these tasks.

    Raises LeaseLost with the tasks that are no longer held (AlreadyFinished where all of them have ended), and
    StorageUnavailable when an open transaction holds some. Raises InvalidTask when a modification is to follow several
    tasks: it can follow one only.
    """
    now = context.clock.earliest()
    endings = [
        by_hand(context, task, decide(context, task, outcome, task.worker or worker), late=_over(task, now))
        for task in tasks
    ]
    if len(endings) > 1:
        _refuse_follow_up(endings, "the result of several tasks: complete each by itself, with what follows it")
    lost, plain = [], []
    for one in endings:
        if not brings_change(one.task, one.verdict):
            plain.append(one)
        elif not (yield from finish_and_modify(context, one)):
            lost.append(one)
    # A single ending may wait for a transaction: no other ending waits behind it.
    done = yield from finish(context, plain, time_limit=WRITE_LIMIT if len(plain) > 1 else None)
    if done.blocked:
        keys = shortened(", ".join(ended.task.key for ended in done.blocked))
        raise StorageUnavailable(f"an open transaction holds {keys}: their endings are not written")
    if lost := [*lost, *done.lost]:
        raise (yield from loss_of(context, [ended.task.key for ended in lost]))


def finish_and_modify(context: Context, ending: Ended, *, time_limit: timedelta | None = None) -> Op[bool]:
    """Write an ending and the modification of its verdict in one transaction; False when the lease was lost.

    Call it again after an error, as `finish`. Raises DependencyError when the modification was refused.
    """
    leaving = Leaving(ending.task.key, ending.token, ending.marks[0])
    change = change_with(context, ending.task, ending.verdict)
    if any(new.flows for new in change.insert):
        yield from schema.ensure_flow(context)
    plan = prepared(context, change, leaving)
    done: bool = yield Transact(lambda: _finish_and_modify(context, ending, plan), time_limit)
    if ending.frees:
        yield from make_room(context, [ending])
    return done


def _finish_and_modify(context: Context, ending: Ended, plan: Plan) -> Op[bool]:
    if not (yield from _finish_alone(context, ending, plan)):
        return not (yield from lost_endings(context, [ending], within=True))
    yield from apply.carry_out(context, plan)
    return True


def _finish_alone(context: Context, ending: Ended, plan: Plan) -> Op[int]:
    """Write the ending, unless the modification itself ends the task; 0 when the task is no longer held."""
    if not plan.ends_itself:
        return (yield from _finish_one(context, ending))
    where = filters.held([ending.task.key], [ending.token])
    return len((yield from find(context.tasks, where, only=[fields.KEY], hint="_id_")))


def _finish_one(context: Context, ending: Ended) -> Op[int]:
    """Write an ending within a transaction, also of a task that is to run once more; 0 where it is not held."""
    done = yield from _finish_group(context, [ending])
    if done:
        yield from follow(context, [ending], sure=True, within=True)
    done = done or int((yield from end_as_parent(context, ending, within=True)))
    return done or int(ending.unique and (yield from end_for_one_more(context, ending)))


def complete_first(context: Context, task: Task, result: Any, worker: str) -> Op[None]:
    """Complete a task as the first write of a transaction, so that a rescue or a cancel waits for its commit.

    Raises LeaseLost when the task is no longer held, and InvalidTask when the result cannot be stored or asks for a
    modification.
    """
    ending = by_hand(context, task, decide(context, task, Returned(result), worker))
    _refuse_follow_up([ending], "a result in a transaction of your own: enqueue in its block, with its session")
    if not (yield from _finish_one(context, ending)):
        raise LeaseLost([task.key])
    yield from enqueue_after(context, task, ending.verdict)


def _refuse_follow_up(endings: Sequence[Ended], allowed: str) -> None:
    checker = Checker(InvalidTask)
    for ending in endings[:1]:  # all have the same outcome
        if ending.verdict.modification is not None:
            checker.refuse("result", ending.verdict.modification, allowed)
    checker.finish()


def _over(task: Task, now: datetime) -> bool:
    """Whether the lease of a task claimed by hand is over, as far as the task itself knows.

    One that is kept alive knows it by the countdown of its attempt. Of a renewal by hand it knows nothing; that only
    matters where the task is missing.
    """
    if task.attempt is not None:
        return task.attempt.interruption is Interruption.LEASE_LOST
    return task.lease_until is not None and task.lease_until <= now


_Write = Callable[[Context, list[Ended], timedelta | None], Op[int]]


def _write_skipping_locked(
    context: Context, group: list[Ended], write: _Write, time_limit: timedelta | None, *, most: int
) -> Op[PartialWrite]:
    if time_limit is None:
        return PartialWrite((yield from write(context, group, None)), [], doubtful=False)
    tokens = {ending.token for ending in group}

    def guard(keys: Sequence[str]) -> Filter:
        return filters.held(keys, tokens)

    def write_some(keys: Sequence[str], limit: timedelta) -> Op[int]:
        chosen = set(keys)
        some = group if len(chosen) == len(group) else [ending for ending in group if ending.task.key in chosen]
        return write(context, some, limit)

    keys = [ending.task.key for ending in group]
    return (yield from write_skipping_locked(context.tasks, keys, guard, write_some, time_limit=time_limit, most=most))


def _finish_group(context: Context, group: list[Ended], limit: timedelta | None = None) -> Op[int]:
    """Write endings of one kind by one command; how many were accepted."""
    first = group[0]
    where = guarded(group)
    if first.deletes:
        deleted: int = yield Delete(context.tasks, where, hint="_id_", timeout=limit)
        return deleted
    update = ended_update(first, context.clock.latest())
    return (yield from update_many(context.tasks, where, update, timeout=limit))


def _finish_groups(context: Context, endings: list[Ended], limit: timedelta | None) -> Op[int]:
    """Write endings of several kinds by one bulk command, with one statement for each kind; how many were accepted.

    A command for each kind would wait for its majority before the next is sent. Large results extend the limit.
    """
    now = context.clock.latest()  # as a claim does, so that nothing finishes before it started
    groups: dict[Hashable, list[Ended]] = defaultdict(list)
    for ending in endings:
        groups[kind(ending) or kind_but_result(ending) or (ending.token, ending.task.key)].append(ending)
    writes: list[Changing | Removing] = []
    length = 0
    for some, large in (statement for group in groups.values() for statement in statements(group)):
        where, many, length = guarded(some), len(some) > 1, length + large
        if some[0].deletes:
            writes.append(Removing(where, many=many))
        else:
            writes.append(Changing(where, ended_update(some[0], now), many=many, values=results(some)))
    limit = limit and limit + timedelta(seconds=length / SLOWEST)
    accepted: int = yield Bulk(context.tasks, writes, ordered=False, timeout=limit)
    return accepted
