"""The conflicts of a modification, found by reading every task that it names within its transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mongoq.core.lifecycle import Event, TaskState, sources
from mongoq.core.tasks.conflicts import Conflict, DependencyError, Role
from mongoq.core.tasks.modification import TaskRef
from mongoq.storage.commands import Document, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, hold, indexes
from mongoq.storage.operations.modify.plan import Plan

_LIVE: Final = sources(Event.CHANGE)
_MADE_PERHAPS: Final = ": an earlier try of this change had no reply, and may have been made"
_JUDGED: Final = [
    fields.VERSION, fields.STATE, fields.TOKEN, fields.LEASE_UNTIL, fields.WORKER, fields.UNIQUE,
    fields.MODIFICATION, fields.CHILDREN, fields.BATCH, fields.SLOTS, fields.LINE,
]  # fmt: skip


def look(context: Context, plan: Plan) -> Op[dict[str, Document]]:
    """Read the tasks named, and the tasks that have the keys of the insertions."""
    keys = [ref.key for _, ref in plan.named]
    keys += [insertion.key for insertion in plan.insertions if insertion.new.key is not None]
    if not keys:
        return {}
    only = None if plan.modification.change else _JUDGED
    found = yield from find(context.tasks, filters.by_keys(keys), only=only, hint="_id_")
    return {document[fields.KEY]: document for document in found}


def taken_keys(context: Context, plan: Plan, found: dict[str, Document]) -> Op[dict[str, Conflict]]:
    """Find the insertions, by key, whose key or `unique` value is taken."""
    taken = {
        insertion.key: Conflict(insertion.key, Role.INSERT, "a task has this key already")
        for insertion in plan.insertions
        if insertion.key in found
    }
    wanted = {insertion.new.unique: insertion.key for insertion in plan.insertions if insertion.new.unique is not None}
    if wanted:
        where = filters.by_unique(list(wanted))
        holders = yield from find(context.tasks, where, only=[fields.UNIQUE], hint=indexes.UNIQUE)
        # A task that this change deletes does not count.
        leaving = {ref.key for role, ref in plan.named if role is Role.DELETE}
        for holder in holders:
            unique = holder[fields.UNIQUE]
            if holder[fields.KEY] not in leaving:
                why = f"the unfinished task {holder[fields.KEY]!r} has the `unique` value {unique!r} already"
                taken[wanted[unique]] = Conflict(wanted[unique], Role.INSERT, why)
    return taken


def refusal(
    plan: Plan, found: dict[str, Document], taken: dict[str, Conflict], *, in_doubt: bool = False
) -> DependencyError | None:
    """The error with all conflicts; None if the change can be made, perhaps without insertions to be skipped.

    `in_doubt`: an earlier try had no reply. It may have deleted what is missing now, and a deletion leaves no mark.
    """
    missing: list[Conflict] = []
    claimed: list[Conflict] = []
    for role, ref in plan.named:
        document = found.get(ref.key)
        why = _gone(document, role, ref)
        if why is not None:
            perhaps = _MADE_PERHAPS if in_doubt and document is None else ""
            missing.append(Conflict(ref.key, role, f"{why}{perhaps}"))
        elif document is not None and _held_by_another(document, ref, plan.now):
            mine = "" if ref.token else "; if that is you, name the task that your claim brought, or tasks(mine=True)"
            claimed.append(Conflict(ref.key, role, f"{hold.worker(document)} holds it{mine}"))
    skipped = {insertion.key for insertion in plan.insertions if insertion.new.on_conflict == "skip"}
    if missing or claimed or taken.keys() - skipped:
        return DependencyError(missing, claimed, list(taken.values()))
    return None


def _gone(document: Document | None, role: Role, ref: TaskRef) -> str | None:
    if document is None:
        return "no task has this key"
    state, version = document.get(fields.STATE), document.get(fields.VERSION)
    if version != ref.version:
        return f"it is {state} at version {version} now, not at version {ref.version}"
    if role is Role.CHANGE and state not in _LIVE:
        return f"it is {state}: a finished task is not changed"
    return None


def _held_by_another(document: Document, ref: TaskRef, now: datetime) -> bool:
    if document.get(fields.STATE) != TaskState.RUNNING or is_mine(document, ref):
        return False
    until = hold.until(document)
    return not (isinstance(until, datetime) and until <= now - filters.SKEW)


def is_mine(document: Document, ref: TaskRef) -> bool:
    """Whether `ref` has the token of the claim that holds the task."""
    return ref.token is not None and hold.token(document) == ref.token
