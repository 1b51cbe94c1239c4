"""The atomic change: many tasks in one transaction, all or nothing, in a handful of round trips.

The transaction reads every task that the change names in its own snapshot, which decides whether the change is made
and lists the conflicts. Then it sends one bulk write of guarded updates and deletions, and one insert. When another
client writes to one of the tasks in between, the server aborts the transaction and it is run again. Dependencies are
written too: under snapshot isolation two changes that only *read* what the other writes would both be accepted (write
skew).

Every written task carries the modification's `id` as a mark. When a change is repeated after a lost reply of its
commit, the mark tells whether it was made or another change came first.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Hashable, Iterator
from typing import Final

from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.conflicts import Conflict, DependencyError, Role
from mongoq.core.tasks.modification import Change, Modification, Modified, TaskRef
from mongoq.storage.commands import Bulk, Changing, Document, InsertMany, Op, Removing, Update, find, update_many
from mongoq.storage.context import Context
from mongoq.storage.control import Transact
from mongoq.storage.documents import decoding, encoding, fields, filters, hold, updates
from mongoq.storage.documents.limiting import slots
from mongoq.storage.operations.flow import calling, inserting
from mongoq.storage.operations.flow.release import Parent, release
from mongoq.storage.operations.limits.ending import let_next_go
from mongoq.storage.operations.modify import conflicts
from mongoq.storage.operations.modify.plan import Insertion, Plan, prepared
from mongoq.storage.refusals import KeyTaken, PartlyWritten

IN_DOUBT: Final[deque[str]] = deque(maxlen=1_000)
"""The last changes of this process of which it is not known whether they were made."""


def modify(context: Context, modification: Modification, *, alone: bool = False) -> Op[Modified]:
    """Make the whole change; raises DependencyError with the conflicts when none of it was made.

    `alone`: in a transaction of its own, after which others may have the slots of limits that it has freed.
    """
    plan = prepared(context, modification)
    freed: list[str] = []
    try:
        done: Modified = yield Transact(lambda: carry_out(context, plan, freed))
    except StorageUnavailable as error:
        if error.ambiguous:
            IN_DOUBT.append(modification.id)
        raise
    if alone:
        yield from let_next_go(context, freed)
    return done


def carry_out(context: Context, plan: Plan, freed: list[str] | None = None) -> Op[Modified]:
    """Read, decide and write, within a transaction; `freed` gets the groups of limits in which it makes room."""
    found = yield from conflicts.look(context, plan)
    taken = yield from conflicts.taken_keys(context, plan, found)
    refused = conflicts.refusal(plan, found, taken, in_doubt=plan.modification.id in IN_DOUBT)
    if refused is not None:
        made = yield from _made_before(context, plan)
        if made is not None:
            return made
        yield from _provoke_conflict(context, plan, found)
        raise refused
    changes = [(change, found[change.ref.key]) for change in plan.modification.change]
    written = [_update(context, plan, change, document) for change, document in changes]
    yield from _write(context, plan, written)
    if freed is not None:
        ended = [found[ref.key] for role, ref in plan.named if role is Role.DELETE]
        for (_, document), update in zip(changes, written, strict=True):
            ended += [document] if fields.TOKEN in update.get("$unset", ()) else []
        freed[:] = _groups_left(ended)
    insertions = _free(plan.insertions, taken)
    if insertions:
        yield from _insert(context, insertions)
    yield from _tell_children(context, plan, found)
    after = [updates.applied(document, update) for (_, document), update in zip(changes, written, strict=True)]
    return _modified(context, plan, [insertion.document for insertion in insertions], after)


def _free(insertions: list[Insertion], taken: Collection[str]) -> list[Insertion]:
    """Select the insertions whose key and `unique` value are not taken."""
    return [insertion for insertion in insertions if insertion.key not in taken]


def _groups_left(ended: list[Document]) -> list[str]:
    """The groups of limits in which there is room when these tasks run no more, or are gone."""
    running = [one for one in ended if one[fields.STATE] == TaskState.RUNNING]
    lines = {one[fields.LINE] for one in ended if fields.LINE in one}
    return [*(group for one in running for group in slots.groups_of(one) if group not in lines), *lines]


def _insert(context: Context, insertions: list[Insertion]) -> Op[None]:
    flowing = [one.document for one in insertions if one.new.flows]
    if flowing:
        yield from inserting.prepare(context, flowing, within=True)
    yield from _insert_all(context, insertions)
    if flowing:
        yield from inserting.looked_after(context, flowing, within=True)


def _tell_children(context: Context, plan: Plan, found: dict[str, Document]) -> Op[None]:
    """Release or cancel the children of tasks that the change deletes, and look at their batches."""
    gone = [found[ref.key] for role, ref in plan.named if role is Role.DELETE]
    parents = [Parent(one[fields.KEY], completed=False, missing=True) for one in gone if fields.CHILDREN in one]
    touched = {one[fields.BATCH] for one in gone if fields.BATCH in one}
    if parents:
        touched |= yield from release(context, parents, within=True)
    yield from calling.look(context, sorted(touched), within=True)


def _insert_all(context: Context, insertions: list[Insertion]) -> Op[None]:
    try:
        yield InsertMany(context.tasks, [insertion.body for insertion in insertions])
    except PartlyWritten as partly:
        place, taken = next(iter(partly.errors.items()))
        if not isinstance(taken, KeyTaken):
            raise
        why = f"another task has its {taken.field} already"
        raise DependencyError(collisions=[Conflict(insertions[place].key, Role.INSERT, why)]) from partly


def _provoke_conflict(context: Context, plan: Plan, found: dict[str, Document]) -> Op[None]:
    """Make the server abort a transaction whose snapshot is older than the versions that the change names.

    The transaction of a caller may have begun before the caller read these tasks; run again, it sees them. If the write
    meets no conflict the transaction may still be committed, so the write is undone.
    """
    ahead = [
        ref.key
        for _, ref in plan.named
        if ref.key in found and isinstance(was := found[ref.key].get(fields.VERSION), int) and was < ref.version
    ]
    if ahead:
        for update in (updates.depended(), updates.not_depended()):
            yield from update_many(context.tasks, filters.by_keys(ahead), update)


def _update(context: Context, plan: Plan, change: Change, document: Document) -> Update:
    running = document[fields.STATE] == TaskState.RUNNING
    leaving = plan.leaving is not None and plan.leaving.key == change.ref.key
    # The change also ends an expired claim of another holder, who then finds the lease lost.
    give_up = running and (change.arrives or leaving or not conflicts.is_mine(document, change.ref))
    update = updates.changed(change, document, plan.now, plan.modification.id, give_up=give_up, latest=plan.latest)
    encoding.check_times(document, update, plan.now)
    if plan.leaving is not None and leaving:
        update["$set"][fields.LAST_TOKEN] = plan.leaving.mark
    if change.grows:
        encoding.checked_size(updates.applied(document, update), context.options.max_task_bytes)
    return update


def _write(context: Context, plan: Plan, changes: list[Update]) -> Op[None]:
    """Write the changes, deletions and dependencies by one bulk write; equal ones share a statement."""
    wanted = plan.named
    if not wanted:
        return
    writes: list[Changing | Removing] = []
    for refs, update in _changed_alike(plan, changes):
        where = filters.unchanged(refs, plan.now)
        # 100 equal changes: 25 ms by one statement, 40 ms by one for each (mongod 6.0.5, on a busy machine).
        writes.append(Changing(where, update, many=len(refs) > 1))
    for role, refs in _alike(wanted):
        where = filters.unchanged(refs, plan.now)
        if role is Role.DELETE:
            writes.append(Removing(where, many=True))
        elif role is Role.DEPEND:
            writes.append(Changing(where, updates.depended(), many=True))
    written: int = yield Bulk(context.tasks, writes)
    if written != len(wanted):
        raise StorageRefused("MongoDB matched fewer tasks than it had shown within the same transaction")


def _changed_alike(plan: Plan, written: list[Update]) -> Iterator[tuple[list[TaskRef], Update]]:
    together: dict[Hashable, tuple[list[TaskRef], Update]] = {}
    for change, update in zip(plan.modification.change, written, strict=True):
        # Tags and payloads may be large and are rarely equal, so they are not compared.
        kind = change.ref.key if change.grows else (change.ref.version, repr(update))
        together.setdefault(kind, ([], update))[0].append(change.ref)
    yield from together.values()


def _alike(wanted: list[tuple[Role, TaskRef]]) -> Iterator[tuple[Role, list[TaskRef]]]:
    together: dict[tuple[Role, int], list[TaskRef]] = defaultdict(list)
    for role, ref in wanted:
        together[role, ref.version].append(ref)
    for (role, _), refs in together.items():
        yield role, refs


def _made_before(context: Context, plan: Plan) -> Op[Modified | None]:
    """The result of this modification if it was made before and its reply was lost; None if it was not made."""
    keys = [change.ref.key for change in plan.modification.change] + [insertion.key for insertion in plan.insertions]
    if not keys:
        return None
    documents_now = yield from find(context.tasks, filters.by_keys(keys), hint="_id_")
    marked = {document[fields.KEY]: document for document in documents_now if _was_made(document, plan.modification.id)}
    if not marked:
        return None
    inserted = [marked[insertion.key] for insertion in plan.insertions if insertion.key in marked]
    changed = [marked[change.ref.key] for change in plan.modification.change if change.ref.key in marked]
    return _modified(context, plan, inserted, changed)


def _was_made(document: Document, mark: str) -> bool:
    """Whether a task bears the mark of a modification, its last one or one before."""
    earlier = document.get(fields.MODIFIED_BY)
    return document.get(fields.MODIFICATION) == mark or (isinstance(earlier, list) and mark in earlier)


def _modified(context: Context, plan: Plan, inserted: list[Document], changed: list[Document]) -> Modified:
    refs = {change.ref.key: change.ref for change in plan.modification.change}
    tasks = []
    for document in changed:
        mine = conflicts.is_mine(document, refs[document[fields.KEY]])
        shown = document if mine else hold.without_token(document)
        tasks.append(decoding.task_from(shown, context.namespace, plan.now))
    made = [decoding.task_from(document, context.namespace, plan.now) for document in inserted]
    return Modified(tuple(made), tuple(tasks))
