"""Give slots that came free, and starts that are due, to parked tasks: claimed at once, without being ready between.

A task that was made ready first would cost a write, a find and a wake-up more, and several processes would race for it.
Who has just freed a slot knows its name, so nobody has to look which are free. Where another took the slot, or the
task, the unique index and the version refuse the claim; the next parked task is tried then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from mongoq.core.errors import IndexMissing
from mongoq.core.requests import ClaimRequest
from mongoq.limiting.limit import limit_of
from mongoq.storage.commands import Document, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, flow
from mongoq.storage.documents.codec import made_aware
from mongoq.storage.documents.limiting import slots
from mongoq.storage.documents.unread import Unread
from mongoq.storage.operations import sweep
from mongoq.storage.operations.claiming import candidates
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.limits import granting, parking, room
from mongoq.storage.operations.limits.free import Free
from mongoq.storage.operations.limits.writing import Claiming
from mongoq.storage.operations.namespace.orders import read_if_old
from mongoq.storage.operations.recovery.malformed import well_formed
from mongoq.storage.operations.recovery.skip_locked import WRITE_LIMIT

_RELEASED: Final = (fields.KEY, fields.RUN_AT, fields.CREATED_AT)
TRIES: Final = 4
"""So often another may be faster with some of the tasks; a sweep finds what is left."""


def serves(wanted: ClaimRequest) -> bool:
    """Whether parked tasks can be claimed by this request; one that asks for tags or a date gets ready ones only."""
    return not wanted.where and wanted.due_by is None


def serve(
    context: Context, wanted: ClaimRequest, free: Free, *, token: str, skip_keys: Collection[str] = ()
) -> Op[Claim]:
    """Claim the most urgent parked tasks of these groups, as many as there is room for.

    Those of them that are not for this claim are made ready for others.
    """
    yield from read_if_old(context)
    claim = Claim([], more=False, lost=0)
    try:
        for number in range(TRIES):
            got = yield from _round(context, wanted, free, token, skip_keys, known=number == 0)
            claim = _joined(claim, got)
            free = free.without({slot for one in got.unread for slot in one.slots})
            if not got.lost or got.doubtful or not free:
                break
    except IndexMissing:
        pass  # nothing was ever parked
    return claim


def _round(
    context: Context, wanted: ClaimRequest, free: Free, token: str, skip_keys: Collection[str], *, known: bool
) -> Op[Claim]:
    """One look at the groups, and one write; `known`: as far as anybody knows the slots are still free."""
    now = context.clock.latest()
    counts = {group: most * (wanted.in_turn if group in free.slots else 1) for group, most in free.wanted.items()}
    found = yield from _parked(context, {group: most + len(skip_keys) for group, most in counts.items()})
    found = [document for document in found if document[fields.KEY] not in skip_keys]
    fresh, over = candidates.by_age((yield from well_formed(context, found)), now.replace(tzinfo=None))
    if over:
        yield from sweep.close_expired(context, over, now)
    own, others = _divided(context, wanted, fresh, now)
    have = {group: own for group, own in free.slots.items() if known and not _lowered(context, group)}
    how = Claiming(wanted, token, now, WRITE_LIMIT, wanted.limit, parked=True)
    taken, written, full = yield from granting.admit(context, own, how, have)
    others += [one for group, without in full.items() for one in without if one[fields.WAITS_FOR] != group]
    if others:
        yield from parking.free(context, [_read(one) for one in others], list(free.wanted))
    unread = [Unread(taken[key], context.namespace, now) for document in own if (key := document[fields.KEY]) in taken]
    tried = len(own) - sum(map(len, full.values()))
    lost = max(0, min(tried, wanted.limit) - len(taken) - len(written.skipped)) + len(over)
    return Claim(unread, False, lost, len(found), written.doubtful, False, written.skipped)


def _parked(context: Context, wanted: Mapping[str, int]) -> Op[list[Document]]:
    """The most urgent parked tasks of each group, whole; of a line its first, if that is parked."""
    known = context.gate.limits
    lines = [group for group in wanted if limit_of(group) in known and known[limit_of(group)].is_fifo]
    heads = (yield from room.heads(context, lines)) if lines else {}
    found = yield from parking.whole(context, {group: most for group, most in wanted.items() if group not in lines})
    for group in lines:
        if group in heads and parking.waits_in(heads[group], group):
            found += yield from find(
                context.tasks, slots.still_parked(heads[group][fields.KEY]), hint="_id_", naive=True
            )
    return found


def _divided(
    context: Context, wanted: ClaimRequest, found: Sequence[Document], now: datetime
) -> tuple[list[Document], list[Document]]:
    """Those of these tasks that this claim may take, and the others."""
    admitted = context.gate.admit(wanted.queues, wanted.names, now)
    paused = context.gate.parking(now) if context.gate.pauses else []
    queues = frozenset(admitted.queues) if admitted else frozenset()
    names = frozenset(admitted.names) if admitted else frozenset()
    own: list[Document] = []
    others: list[Document] = []
    for one in found:
        name, tags = one.get(fields.NAME), one.get(fields.TAGS)
        fits = (
            one[fields.QUEUE] in queues
            and (not names or (isinstance(name, str) and name in names))
            and not one.get(fields.LOST_LEASES)  # a claim of ready tasks weighs them
            and flow.is_due(one, now.replace(tzinfo=None))
            and not (paused and any(pause.tells(name, tags) for pause in paused))
        )
        (own if fits else others).append(one)
    return own, others


def _lowered(context: Context, group: str) -> bool:
    """Whether the limit of a group was lowered: which slots may be given out takes a look at all in use then."""
    limit = context.gate.limits.get(limit_of(group))
    return limit is not None and limit.highest > (limit.concurrency or 0)


def _read(document: Document) -> Document:
    """What is needed to make a task ready."""
    read: Any = made_aware({name: document[name] for name in _RELEASED if name in document})
    return dict(read)


def _joined(one: Claim, other: Claim) -> Claim:
    return one._replace(
        unread=[*one.unread, *other.unread],
        lost=one.lost + other.lost,
        found=one.found + other.found,
        doubtful=one.doubtful or other.doubtful,
        blocked=[*one.blocked, *other.blocked],
    )
