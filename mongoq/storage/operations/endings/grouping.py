"""Which endings share a statement, what guards it, and how large it is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from mongoq.core.lifecycle import Event
from mongoq.core.verdict import Verdict
from mongoq.storage.commands import Filter
from mongoq.storage.documents import encoding, fields, filters
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.flow.ending import unawaited
from mongoq.storage.operations.on_conflict.again import guard_of

SLOWEST: Final = 2**20
"""The slowest network that is expected, in bytes per second: a large result extends the time limit of its write."""


def alike(endings: Sequence[Ended]) -> bool:
    """Whether one update can write all of these."""
    first = endings[0]
    known, verdict, token, awaited, batch = kind(first), first.verdict, first.token, first.awaited, first.batch
    same = (
        (one.verdict is verdict and one.token == token and one.awaited == awaited and one.batch == batch)
        or kind(one) == known
        for one in endings
    )
    return known is not None and all(same) and not any(one.unwritten for one in endings)


def kind(ending: Ended) -> tuple[Hashable, ...] | None:
    """What endings must share to be written by one update; None for an ending with an update of its own."""
    verdict = ending.verdict
    if verdict.error or verdict.note or verdict.event is Event.MOVE or ending.unwritten:
        return None
    if verdict.result is not None and not ending.deletes:
        return None
    how = verdict.event, verdict.keep, verdict.run_at, verdict.charged, verdict.lease_lost
    return ending.token, ending.awaited, ending.batch is None, *how


def guarded(group: Sequence[Ended]) -> Filter:
    """The filter of endings of one kind: against whoever holds the task now, and what was asked for meanwhile."""
    held = filters.held([ending.task.key for ending in group], [group[0].token])
    return held | guard_of(group) | unawaited(group)


def size(verdict: Verdict) -> int:
    """Estimate the bytes of a verdict by its large parts; encoding all of it would double the cost of an ending."""
    size = 0 if verdict.error is None else len(verdict.error.traceback)
    return size if verdict.result is None else size + encoding.size_of({fields.RESULT: verdict.result})
