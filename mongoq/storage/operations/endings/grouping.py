"""Which endings share a statement, what guards it, and how large it is.

Results differ from task to task. A statement for each takes mongod 155 µs per task, since its guard leaves the fast
path of a lookup by `_id`; one statement for many, which has the results by key, takes 80 (1 KB, mongod 6.0.5).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Final

from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event
from mongoq.storage.commands import Filter
from mongoq.storage.documents import encoding, fields, filters
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.flow.ending import unawaited
from mongoq.storage.operations.on_conflict.again import guard_of

SLOWEST: Final = 2**20
"""The slowest network that is expected, in bytes per second: a large result extends the time limit of its write."""
MOST_TOGETHER: Final = 4 * 2**20
"""Bytes of results in one statement, which has to fit into a document of 16 MiB."""


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


def kind_but_result(ending: Ended) -> tuple[Hashable, ...] | None:
    """What completed tasks must share to be written by one statement that has their results."""
    verdict = ending.verdict
    if verdict.event is not Event.COMPLETE or verdict.error or verdict.note or ending.unwritten:
        return None
    how = verdict.keep, verdict.run_at, verdict.charged, verdict.lease_lost
    return Event.COMPLETE, ending.token, ending.awaited, ending.batch is None, *how


def statements(group: list[Ended]) -> Iterator[tuple[list[Ended], int]]:
    """The endings of one kind, as many as one statement may hold, with the size of their large parts."""
    verdict = group[0].verdict
    if group[0].deletes or verdict.result is None:
        yield group, 0 if group[0].deletes else size(verdict)
        return
    some: list[Ended] = []
    held = 0
    for ending in group:
        length = size(ending.verdict)
        if some and held + length > MOST_TOGETHER:
            yield some, held
            some, held = [], 0
        some.append(ending)
        held += length
    yield some, held


def results(group: Sequence[Ended]) -> tuple[str, dict[str, object]] | None:
    """The result of each of several completed tasks, by key."""
    if len(group) == 1 or group[0].verdict.result is None:
        return None
    return fields.RESULT, {one.task.key: one.verdict.result for one in group}


def guarded(group: Sequence[Ended]) -> Filter:
    """The filter of endings of one kind: against whoever holds the task now, and what was asked for meanwhile."""
    held = filters.held([ending.task.key for ending in group], [group[0].token])
    return held | guard_of(group) | unawaited(group)


def size(verdict: Verdict) -> int:
    """Estimate the bytes of a verdict by its large parts; encoding all of it would double the cost of an ending."""
    size = 0 if verdict.error is None else len(verdict.error.traceback)
    return size if verdict.result is None else size + encoding.size_of({fields.RESULT: verdict.result})
