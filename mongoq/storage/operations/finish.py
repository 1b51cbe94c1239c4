"""Ending attempts: many endings in few writes, each guarded by its token.

A write may be repeated after a lost reply: what it finds already done it recognises by `last_token`. A task
deleted on completion, or by its own handler, leaves nothing to recognise, so a missing one counts as finished.

Somebody's open transaction that holds some of the tasks must not stop the endings of the others: those are written,
and the blocked ones come back, to be written again later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.errors import InvalidTask, LeaseLost, Role, StorageUnavailable
from mongoq.core.lifecycle import Event
from mongoq.core.modification import Modification
from mongoq.core.task import Task
from mongoq.core.validation import Checker, shortened
from mongoq.core.verdict import Outcome, Returned, Verdict
from mongoq.storage.commands import Bulk, Changing, Delete, Filter, Op, Removing, Transact, find, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import encoding, fields, filters, updates
from mongoq.storage.operations.decide import decide
from mongoq.storage.operations.leases import catch_up
from mongoq.storage.operations.modify import apply
from mongoq.storage.operations.modify.plan import Leaving, Plan, prepared
from mongoq.storage.operations.skip_locked import MOST_PASSED, PROBE, WRITE_LIMIT, PartialWrite, write_around

SLOWEST: Final = 2**20
"""Bytes a second that a network carries at least: a large result is no sign that something is in the way."""


class Ended(NamedTuple):
    """An attempt and what became of it."""

    task: Task
    verdict: Verdict

    @property
    def token(self) -> str:
        """The proof of the claim; never empty, so a task that was not claimed matches nothing."""
        return self.task.token or "-"

    @property
    def marks(self) -> tuple[str, str]:
        """What its acceptance leaves in the document: its own mark, or that of the cancel that overtook it."""
        return updates.mark(self.token, self.verdict.event), updates.mark(self.token, Event.CANCEL)


class Finished(NamedTuple):
    """What came of endings that were to be written."""

    lost: list[Ended]
    """Refused, because their lease was lost."""
    blocked: list[Ended]
    """Not written, because somebody's open transaction holds their tasks: to be written again."""


def finish(
    context: Context, endings: Sequence[Ended], *, patience: timedelta | None = WRITE_LIMIT, again: bool = False
) -> Op[Finished]:
    """Write these endings, in one go; returns those that could not be.

    May be called again with the same endings after an error, also after one that left it open whether
    anything was written. Without `patience` they wait for an open transaction as long as the client does. `again`
    is for those that were blocked before: they get one short try.
    """
    if again:
        patience = PROBE
    if not endings:
        return Finished([], [])
    kinds = {_kind(ending) for ending in endings}
    alike = len(kinds) == 1 and None not in kinds
    write = _finish_group if alike else _finish_groups
    around = yield from _around(context, list(endings), write, patience, most=0 if again else MOST_PASSED)
    passed = set(around.passed)
    blocked = [ending for ending in endings if ending.task.key in passed]
    if not around.doubtful and around.updated >= len(endings):
        return Finished([], blocked)
    unsure = [ending for ending in endings if ending.task.key not in passed]
    if around.doubtful and unsure:
        yield from catch_up(context, unsure[0].token)
    return Finished((yield from _settle(context, unsure)) if unsure else [], blocked)


def settle(context: Context, tasks: Sequence[Task], outcome: Outcome, worker: str) -> Op[None]:
    """Judge and write the same outcome of these tasks; LeaseLost names those that are not held any more.

    InvalidTask where it brings a modification and there are several: one can follow one only.
    """
    endings = [Ended(task, decide(context, task, outcome, task.worker or worker)) for task in tasks]
    if len(endings) == 1 and endings[0].verdict.modification is not None:
        done = Finished([] if (yield from finish_and_modify(context, endings[0])) else endings, [])
    else:
        _refuse_follow_up(endings, "the result of several tasks: complete each by itself, with what follows it")
        # One alone keeps no other waiting.
        done = yield from finish(context, endings, patience=WRITE_LIMIT if len(endings) > 1 else None)
    if done.blocked:
        keys = shortened(", ".join(ended.task.key for ended in done.blocked))
        raise StorageUnavailable(f"somebody's open transaction holds {keys}: their endings are not written")
    if done.lost:
        raise LeaseLost([ended.task.key for ended in done.lost])


def finish_and_modify(context: Context, ending: Ended, *, patience: timedelta | None = None) -> Op[bool]:
    """Write an ending together with the modification of its verdict, or neither; whether it was accepted.

    May be called again after an error, as `finish`. DependencyError where the modification was refused.
    """
    task, verdict = ending
    plan = prepared(context, verdict.modification or Modification(), Leaving(task.key, ending.token, ending.marks[0]))
    done: bool = yield Transact(lambda: _finish_and_modify(context, ending, plan), patience)
    return done


def _finish_and_modify(context: Context, ending: Ended, plan: Plan) -> Op[bool]:
    if not (yield from _finish_alone(context, ending, plan)):
        return not (yield from _settle(context, [ending]))
    yield from apply.carry_out(context, plan)
    return True


def _finish_alone(context: Context, ending: Ended, plan: Plan) -> Op[int]:
    """Write the ending, unless the modification itself ends the task; 0 where the task is not held any more."""
    if not plan.ends_itself:
        return (yield from _finish_group(context, [ending]))
    where = filters.held([ending.task.key], [ending.token])
    return len((yield from find(context.tasks, where, only=[fields.KEY], hint="_id_")))


def complete_first(context: Context, task: Task, result: Any, worker: str) -> Op[None]:
    """Complete a task at the beginning of a transaction; LeaseLost where it is not held any more.

    At the beginning, because from here on nobody else can take it: a rescue or a cancel waits for the transaction.
    InvalidTask where the result cannot be stored, or asks for a modification.
    """
    ending = Ended(task, decide(context, task, Returned(result), worker))
    _refuse_follow_up([ending], "a result in a transaction of your own: enqueue in its block, with its session")
    if not (yield from _finish_group(context, [ending])):
        raise LeaseLost([task.key])


def _refuse_follow_up(endings: Sequence[Ended], allowed: str) -> None:
    checker = Checker(InvalidTask)
    for ending in endings[:1]:  # all bring the same
        if ending.verdict.modification is not None:
            checker.refuse("result", ending.verdict.modification, allowed)
    checker.finish()


_Write = Callable[[Context, list[Ended], timedelta | None], Op[int]]


def _kind(ending: Ended) -> tuple[Hashable, ...] | None:
    """What endings have in common that one update can write; None for one that is unlike any other."""
    verdict = ending.verdict
    if verdict.error or verdict.note or verdict.event is Event.MOVE:
        return None
    if verdict.result is not None and not _deletes(verdict):
        return None
    return ending.token, verdict.event, verdict.keep, verdict.run_at, verdict.charged, verdict.lease_lost


def _deletes(verdict: Verdict) -> bool:
    return verdict.event is Event.COMPLETE and not verdict.keep


def _may_be_missing(ending: Ended) -> bool:
    """Whether no document is left of an accepted one: it is deleted on completion, or by its own handler's change."""
    change = ending.verdict.modification
    named = () if change is None else change.named
    return _deletes(ending.verdict) or any(role is Role.DELETE and ref.key == ending.task.key for role, ref in named)


def _around(
    context: Context, group: list[Ended], write: _Write, patience: timedelta | None, *, most: int
) -> Op[PartialWrite]:
    if patience is None:
        return PartialWrite((yield from write(context, group, None)), [], doubtful=False)
    tokens = {ending.token for ending in group}

    def guard(keys: Sequence[str]) -> Filter:
        return filters.held(keys, tokens)

    def write_some(keys: Sequence[str], limit: timedelta) -> Op[int]:
        chosen = set(keys)
        some = group if len(chosen) == len(group) else [ending for ending in group if ending.task.key in chosen]
        return write(context, some, limit)

    keys = [ending.task.key for ending in group]
    return (yield from write_around(context.tasks, keys, guard, write_some, patience=patience, most=most))


def _finish_group(context: Context, group: list[Ended], limit: timedelta | None = None) -> Op[int]:
    """Write endings that one write serves; how many were accepted."""
    first = group[0]
    where = filters.held([ending.task.key for ending in group], [first.token])
    if _deletes(first.verdict):
        deleted: int = yield Delete(context.tasks, where, hint="_id_", timeout=limit)
        return deleted
    where |= _unless_cancelled(first.verdict)
    update = updates.ended(first.verdict, first.token, context.clock.now())
    return (yield from update_many(context.tasks, where, update, timeout=limit))


def _finish_groups(context: Context, endings: list[Ended], limit: timedelta | None) -> Op[int]:
    """Write endings unlike each other in one go; how many were accepted. What is sent gets its time on top.

    Those alike share a statement. A command for each kind would wait for its majority before the next is sent.
    """
    now = context.clock.now()
    groups: dict[Hashable, list[Ended]] = defaultdict(list)
    for ending in endings:
        groups[_kind(ending) or (ending.token, ending.task.key)].append(ending)
    writes: list[Changing | Removing] = []
    size = 0
    for group in groups.values():
        task, verdict = group[0]
        where = filters.held([ending.task.key for ending in group], [group[0].token]) | _unless_cancelled(verdict)
        if _deletes(verdict):
            writes.append(Removing(where, many=len(group) > 1))
        else:
            update = updates.ended(verdict, group[0].token, now, queue=task.queue, attempts=task.attempts)
            writes.append(Changing(where, update, many=len(group) > 1))
            size += _size(verdict)
    limit = limit and limit + timedelta(seconds=size / SLOWEST)
    accepted: int = yield Bulk(context.tasks, writes, ordered=False, timeout=limit)
    return accepted


def _size(verdict: Verdict) -> int:
    """About how many bytes are sent of what may be large; to encode it all would double the cost of an ending."""
    said = 0 if verdict.error is None else len(verdict.error.traceback)
    return said if verdict.result is None else said + encoding.size_of({fields.RESULT: verdict.result})


def _unless_cancelled(verdict: Verdict) -> dict[str, None]:
    """The further guard of an ending that gives way to a cancel request."""
    return {} if verdict.event in (Event.COMPLETE, Event.CANCEL) else {fields.CANCEL_REQUESTED: None}


def _settle(context: Context, endings: list[Ended]) -> Op[list[Ended]]:
    """Find out what became of endings that matched fewer documents than there are; returns the lost ones."""
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
        elif document.get(fields.TOKEN) == ending.token:
            # Somebody asked for its end while it was ending otherwise; a majority read may not show that yet.
            keep = context.options.policy.over(ending.task.policy).keep_failed
            cancel = Verdict(Event.CANCEL, error=ending.verdict.error, keep=keep)
            where = filters.held([ending.task.key], [ending.token])
            update = updates.ended(cancel, ending.token, context.clock.now())
            if not (yield from update_many(context.tasks, where, update)):
                lost.append(ending)
        elif document.get(fields.LAST_TOKEN) not in ending.marks:
            lost.append(ending)
    return lost
