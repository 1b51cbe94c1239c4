"""Open batches, let them take members, and close them; `calling` calls them back.

Who adds members looks at the batch before and after: a member that finds the batch called back is taken back, and one
that finds it sealed breaks the seal, so that nobody calls it back without that member.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mongoq.core.errors import DuplicateTask
from mongoq.core.judging.follow_up import FollowUp
from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.new_task import NewTask
from mongoq.flow.batch import Batch, BatchFinished, BatchNotFound
from mongoq.storage.commands import (
    Aggregate,
    Delete,
    Document,
    InsertOne,
    Op,
    find,
    find_one,
    update_many,
)
from mongoq.storage.context import Context
from mongoq.storage.documents import encoding, fields, filters, indexes
from mongoq.storage.documents.batching import batches
from mongoq.storage.operations.flow.calling import look
from mongoq.storage.refusals import KeyTaken


def open_batch(
    context: Context, task: NewTask, then: FollowUp | None, on_failure: FollowUp | None, *, within: bool
) -> Op[str]:
    """Open a batch under the key of this task, which is to be its callback; DuplicateTask where it is taken."""
    now = context.clock.now()
    key = task.key or context.new_key(now)
    if task.batch is not None:
        yield from admit(context, [task.batch], within=within)
    model = encoding.model_document(task, now, {}, None)
    document = batches.opened(encoding.new_document(model, key, {}), then, on_failure, now)
    try:
        yield InsertOne(context.tasks, encoding.encoded(document, context.options.max_task_bytes))
    except KeyTaken as taken:
        raise DuplicateTask(f"key: a task or a batch has {key!r} already", key=key) from taken
    if task.batch is not None and not within:
        yield from confirm(context, [task.batch], [key])
    return key


def admit(context: Context, keys: Iterable[str], *, within: bool = False) -> Op[None]:
    """BatchNotFound or BatchFinished where one of these batches takes no members.

    In a transaction it writes to them, so that nobody calls them back before that commits.
    """
    for key in dict.fromkeys(keys):
        where = batches.taking(key)
        if within:
            taken = bool((yield from update_many(context.tasks, where, batches.joined(secrets.token_hex(4)))))
        else:
            taken = bool((yield from find_one(context.tasks, where, only=[fields.KEY], hint="_id_")))
        if not taken:
            raise (yield from _refusal(context, key))


def confirm(context: Context, keys: Iterable[str], members: Sequence[str]) -> Op[None]:
    """Break the seals of the batches of these new members.

    Take the members back, and raise BatchFinished, where one of the batches was called back meanwhile.
    """
    try:
        for key in dict.fromkeys(keys):
            yield from _break_seal(context, key)
    except BatchFinished:
        waiting = filters.in_states([TaskState.PARKED, TaskState.SCHEDULED, TaskState.READY])
        yield Delete(context.tasks, {**filters.by_keys(members), **waiting}, hint="_id_")
        raise


def _break_seal(context: Context, key: str) -> Op[None]:
    found = yield from find_one(context.tasks, batches.taking(key), only=[batches.SEAL], hint="_id_")
    if found is not None and batches.seal_of(found) is not None:
        broken = yield from update_many(context.tasks, *batches.broken(key))
        found = found if broken else (yield from find_one(context.tasks, batches.taking(key), hint="_id_"))
    if found is None:
        raise (yield from _refusal(context, key))


def _refusal(context: Context, key: str) -> Op[BatchNotFound | BatchFinished]:
    if (yield from find_one(context.tasks, batches.called(key), only=[fields.KEY], hint="_id_")) is None:
        return BatchNotFound(f"no batch has the key {key!r}")
    return BatchFinished(f"the batch {key!r} has called back: it takes no new members")


def close(context: Context, key: str, *, within: bool = False) -> Op[None]:
    """Close a batch: it calls back when no member is left, now where none is."""
    if not (yield from update_many(context.tasks, batches.is_open(key), batches.closed(secrets.token_hex(8)))):
        found = yield from find_one(context.tasks, batches.called(key), only=[fields.KEY], hint="_id_")
        if found is None:
            raise BatchNotFound(f"no batch has the key {key!r}")
    yield from look(context, [key], within=within)


def count(context: Context, key: str) -> Op[Counter[str]]:
    """How many members of a batch are in which state."""
    rows: list[Document] = []
    for where, index in ((batches.live_members(key), indexes.MEMBERS), (batches.ended(key), indexes.ENDED_MEMBERS)):
        rows += yield Aggregate(context.tasks, batches.counting(where), hint=index)
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["_id"]] += row[batches.MEMBERS]
    return counts


def waiting(context: Context, most: int) -> Op[list[Batch]]:
    """The newest batches that have not called back, with their counts."""
    newest = [(fields.CREATED_AT, -1), (fields.KEY, -1)]
    found = yield from find(context.tasks, batches.uncalled(), sort=newest, hint=indexes.LOOK_AT, limit=most)
    counts: list[Mapping[str, int]] = []
    for one in found:
        counts += [(yield from count(context, one[fields.KEY]))]
    return [batches.batch_from(one, own) for one, own in zip(found, counts, strict=True)]


def get(context: Context, key: str) -> Op[Batch]:
    """A batch with its counts; BatchNotFound where there is none."""
    document = yield from find_one(context.tasks, batches.called(key), hint="_id_")
    if document is None:
        raise BatchNotFound(f"no batch has the key {key!r}")
    return batches.batch_from(document, (yield from count(context, key)))
