"""Make the drafts of a tick tasks: exactly once, without a transaction, whatever is killed or freezes at any step.

1. The tasks are inserted as *drafts*: in a state that no claim, sweep or count knows, each under the key of its tick
   and with a random token. Where another process was faster, its draft is taken.
2. The schedule is marked with the drafts that are to be launched, if it is still at the version that was read. Of many
   processes one can: so each tick is launched once.
3. Each draft becomes a task, by an update that asks for its token and takes it away.
4. The schedule is moved on to its next tick, and the mark taken away.

Whoever finds a mark does steps 3 and 4 again: a draft that was launched has no token any more, however long ago its
task has gone. A draft that was inserted late, by a process that froze before step 1, is in no mark: the process deletes
it when it finds the schedule moved on, or the server after a day. So nothing is held while a process is away, as the
documents of a transaction would be for a minute, and a standalone server will do.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from mongoq.storage.commands import Bulk, Changing, Document, InsertMany, Op, Removing, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters
from mongoq.storage.documents.scheduling import launches, schedules
from mongoq.storage.documents.scheduling.launches import Draft, Launch, Standing
from mongoq.storage.refusals import KeyTaken, PartlyWritten


class Plan(NamedTuple):
    """What is to be done for one schedule that is due."""

    name: str
    version: int
    next_at: datetime
    """The tick for which it is due."""
    drafts: Sequence[Draft]
    bodies: Sequence[Any]
    """Their documents, encoded."""
    after: Standing


class Launched(NamedTuple):
    """What became of plans."""

    enqueued: int
    refused: Mapping[str, str]
    """The schedules whose tasks the server does not take, and why."""


_NOTHING: Final = Launched(0, {})


def launch(context: Context, plans: Sequence[Plan]) -> Op[Launched]:
    """Enqueue the tasks of these plans and move their schedules on, where no other process does."""
    if not plans:
        return _NOTHING
    taken, refused = yield from _insert(context, plans)
    tried = [one for one in plans if one.name not in refused]
    own = {
        one.name: Launch(secrets.token_hex(8), [taken[d.key] for d in one.drafts if d.key in taken], one.after)
        for one in tried
    }
    marks = [Changing(schedules.at_version(one.name, one.version), launches.marked(own[one.name])) for one in tried]
    won = (yield Bulk(context.schedules, marks, ordered=False)) if marks else 0
    if won == len(marks):
        return Launched((yield from _finish(context, own)), refused)
    found = yield from find(context.schedules, {schedules.NAME: {"$in": list(own)}})
    enqueued = yield from finish(context, found)
    yield from _tidy(context, tried)
    return Launched(enqueued, refused)


def finish(context: Context, documents: Sequence[Document]) -> Op[int]:
    """Go on with the launches that these schedules are marked with; how many tasks that enqueued."""
    marked = {one[schedules.NAME]: found for one in documents if (found := launches.launch_of(one)) is not None}
    return (yield from _finish(context, marked))


def _insert(context: Context, plans: Sequence[Plan]) -> Op[tuple[dict[str, Draft], dict[str, str]]]:
    """Insert the drafts; those that are there now by key, and the schedules whose drafts are refused."""
    drafts = [(one.name, draft) for one in plans for draft in one.drafts]
    there = {draft.key: draft for _, draft in drafts}
    try:
        yield InsertMany(context.tasks, [body for one in plans for body in one.bodies], ordered=False)
    except PartlyWritten as partly:
        faster: list[str] = []
        refused: dict[str, str] = {}
        for place, error in partly.errors.items():
            name, draft = drafts[place]
            del there[draft.key]
            if isinstance(error, KeyTaken) and error.field == fields.KEY:
                faster.append(draft.key)
            else:
                refused[name] = str(error)
        where = filters.by_keys(faster)
        found = (yield from find(context.tasks, where, only=launches.DRAFTED, hint="_id_")) if faster else []
        others = [other for document in found if (other := launches.draft_of(document)) is not None]
        return {**there, **{other.key: other for other in others}}, refused
    return there, {}


def _finish(context: Context, marked: Mapping[str, Launch]) -> Op[int]:
    now = context.clock.earliest()
    drafts = [draft for one in marked.values() for draft in one.drafts]
    launching = [Changing(launches.drafted(draft), launches.launched(draft, now)) for draft in drafts]
    enqueued = (yield from _launched(context, drafts, launching)) if launching else 0
    moves = [Changing(launches.still_marked(name, one), schedules.ticked(one.after)) for name, one in marked.items()]
    if moves:
        yield Bulk(context.schedules, moves, ordered=False)
    return enqueued


def _launched(context: Context, drafts: Sequence[Draft], launching: Sequence[Changing]) -> Op[int]:
    """Make these drafts tasks; one whose `unique` value an unfinished task has is dropped."""
    try:
        count: int = yield Bulk(context.tasks, launching, ordered=False)
    except PartlyWritten as partly:
        others = [error for error in partly.errors.values() if not isinstance(error, KeyTaken)]
        if others:
            raise others[0] from partly
        dropped = [Removing(launches.drafted(drafts[place])) for place in partly.errors]
        yield Bulk(context.tasks, dropped, ordered=False)
        return partly.matched
    return count


def _tidy(context: Context, plans: Sequence[Plan]) -> Op[None]:
    """Delete the drafts of this process that came too late: nobody can launch them once their schedule is moved on."""
    where = {schedules.NAME: {"$in": [one.name for one in plans]}}
    found = yield from find(context.schedules, where, only=[schedules.NEXT_AT])
    due = {document[schedules.NAME]: document.get(schedules.NEXT_AT) for document in found}
    late = [
        Removing(launches.drafted(draft))
        for one in plans
        if isinstance(next_at := due.get(one.name), datetime) and next_at > one.next_at
        for draft in one.drafts
    ]
    if late:
        yield Bulk(context.tasks, late, ordered=False)
