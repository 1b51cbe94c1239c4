"""Enqueueing inside a transaction of the caller's own: nothing is seen before it commits.

A refused insert aborts the whole transaction, so a key or `unique` value that may be taken is looked for first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mongoq.core.errors import MongoqError
from mongoq.core.new_task import NewTask
from mongoq.core.task import Task
from mongoq.storage.commands import Document, InsertMany, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import encoding
from mongoq.storage.operations.enqueue import Draft, Others, draft, duplicate, holders, made


def new(context: Context, task: NewTask) -> Op[Task]:
    """Enqueue one task."""
    one = draft(context, task)
    others = yield from chunk(context, [one])
    return made(context, one, others.get(0))


def chunk(context: Context, drafts: Sequence[Draft], *, only: Sequence[str] | None = None) -> Op[Others]:
    """Enqueue a chunk of drafts; where a key or `unique` value is taken, do as each says, and none if it is an error.

    `only` names the fields to bring of those that are there already.
    """
    keys = [one.options.key for one in drafts if one.options.key is not None]
    uniques = [one.options.unique for one in drafts if one.options.unique is not None]
    by_key, by_unique = yield from holders(context, keys, uniques, only)
    others: dict[int, Document | MongoqError] = {}
    fresh: list[Any] = []
    for place, one in enumerate(drafts):
        holder = by_key.get(one.key) or by_unique.get(one.options.unique or "")
        if holder is None:
            fresh.append(one.body)
            document = encoding.new_document(one.model, one.key, one.tags)
            by_key[one.key] = document
            if one.options.unique is not None:
                by_unique[one.options.unique] = document
        elif one.skips:
            others[place] = holder
        else:
            # For each of them: nothing of the chunk is sent.
            return dict.fromkeys(range(len(drafts)), duplicate(one, by_unique=one.key not in by_key))
    if fresh:
        yield InsertMany(context.tasks, fresh)
    return others
