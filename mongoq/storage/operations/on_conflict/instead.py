"""Find out what there is instead of new tasks that were refused, until each has led to a task or an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.errors import MongoqError, StorageUnavailable
from mongoq.storage.commands import Document, Op
from mongoq.storage.context import Context
from mongoq.storage.control import Pause
from mongoq.storage.operations.on_conflict.merge import merged
from mongoq.storage.operations.queries import by_key_or_unique
from mongoq.storage.operations.recovery.duplicates import is_taken, told, took_unique
from mongoq.storage.refusals import KeyTaken

if TYPE_CHECKING:
    from mongoq.storage.documents.drafting import Draft, Others

SKIPPED_FOR: Final = 10.0
"""Seconds for which a task with a taken `unique` value or key, whose holder is never found, is tried again."""
FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.1
_NEVER_SEEN: Final = "the key or `unique` value was taken at each try, and each time its task was gone: call again"

Insert = Callable[[Context, list[Any]], Op[Mapping[int, MongoqError]]]
"""Inserts encoded documents, and returns the errors of those that were refused, by place."""


def instead_of(
    context: Context,
    drafts: Sequence[Draft],
    refused: Mapping[int, MongoqError],
    insert: Insert,
    only: Sequence[str] | None = None,
) -> Op[Others]:
    """What came of the drafts that were refused, by place.

    One whose existing task has ended before it could be read is inserted again, until one of the two is there: under a
    fast worker that took more than two rounds in 1 of 400 calls.
    """
    others: dict[int, Document | MongoqError] = {}
    give_up_at, pause = elapsed() + SKIPPED_FOR, 0.0
    while refused:
        taken: dict[int, KeyTaken] = {}
        for place, error in refused.items():
            if is_taken(error) and drafts[place].lenient:
                taken[place] = error
            else:
                others[place] = told(drafts[place], error)
        skipping = {place: error for place, error in taken.items() if not drafts[place].options.merges}
        others |= (yield from _there_instead(context, drafts, skipping, only)) if skipping else {}
        for place in taken.keys() - skipping.keys():
            instead = yield from merged(context, drafts[place], by_key=not took_unique(taken[place]))
            others |= {} if instead is None else {place: instead}
        left = [place for place in taken if place not in others]
        if left and elapsed() > give_up_at:
            return others | dict.fromkeys(left, StorageUnavailable(_NEVER_SEEN))
        if left and pause:
            yield Pause(pause)
        pause = min(LONGEST_PAUSE, pause * 2 or FIRST_PAUSE)
        again = (yield from insert(context, [drafts[place].body for place in left])) if left else {}
        refused = {left[index]: error for index, error in again.items()}
    return others


def _there_instead(
    context: Context, drafts: Sequence[Draft], taken: Mapping[int, KeyTaken], only: Sequence[str] | None
) -> Op[dict[int, Document]]:
    """Read the existing tasks with the keys and `unique` values that were taken, by place."""
    uniques = {place: drafts[place].options.unique or "" for place in taken if took_unique(taken[place])}
    keys = {place: drafts[place].key for place in taken if place not in uniques}
    by_key, by_unique = yield from by_key_or_unique(context, set(keys.values()), set(uniques.values()), only)
    found = {place: by_key[key] for place, key in keys.items() if key in by_key}
    return found | {place: by_unique[value] for place, value in uniques.items() if value in by_unique}
