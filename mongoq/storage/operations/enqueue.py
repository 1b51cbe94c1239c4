"""Enqueue tasks. Each is first made into a draft, checked and encoded as a whole, and then sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mongoq.core.errors import MongoqError, StorageUnavailable
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Document, InsertMany, InsertOne, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, encoding
from mongoq.storage.documents.drafting import Draft, Others, any_flows, draft, made
from mongoq.storage.operations.flow.inserting import inserting
from mongoq.storage.operations.on_conflict.instead import instead_of
from mongoq.storage.operations.on_conflict.merge import merged
from mongoq.storage.operations.queries import by_key_or_unique
from mongoq.storage.operations.recovery.duplicates import duplicate, told
from mongoq.storage.refusals import KeyTaken, PartlyWritten


def new(context: Context, task: NewTask) -> Op[Task]:
    """Enqueue one task; when its key or `unique` value is taken, `on_conflict` decides."""
    one = draft(context, task)
    if task.flows:
        others = yield from inserting(context, [one], lambda: _alone(context, one))
        return made(context, one, others.get(0))
    try:
        yield InsertOne(context.tasks, one.body)
    except KeyTaken as taken:
        others = yield from instead_of(context, [one], {0: taken}, _insert)
        return made(context, one, others.get(0))
    except StorageUnavailable as error:
        if error.ambiguous:
            error.add_note(f"key of the task that may exist: {one.key}")
        raise
    return decoding.new_task(one.model, one.key, one.tags, context.namespace, partly=True)


def chunk(context: Context, drafts: Sequence[Draft], *, only: Sequence[str] | None = None) -> Op[Others]:
    """Enqueue a chunk of drafts in order, up to the first that is refused; all of them with `on_conflict="skip"`.

    `only` names the fields to read of existing tasks.
    """
    if any_flows(drafts):
        lenient = drafts[0].lenient
        insert = partial(together, context, drafts, only=only) if lenient else partial(_in_order, context, drafts)
        return (yield from inserting(context, drafts, insert))
    if drafts[0].lenient:
        return (yield from together(context, drafts, only=only))
    return (yield from _in_order(context, drafts))


def _in_order(context: Context, drafts: Sequence[Draft]) -> Op[Others]:
    try:
        yield InsertMany(context.tasks, [one.body for one in drafts])
    except PartlyWritten as partly:
        return {place: told(drafts[place], error) for place, error in partly.errors.items()}
    return {}


def _alone(context: Context, one: Draft) -> Op[Others]:
    refused = yield from _insert(context, [one.body])
    return (yield from instead_of(context, [one], refused, _insert)) if refused else {}


def together(context: Context, drafts: Sequence[Draft], *, only: Sequence[str] | None = None) -> Op[Others]:
    """Insert as many drafts as possible in one round trip, then read the existing tasks of those to be skipped.

    `only` names the fields to read. When the existing task has finished meanwhile, the draft is inserted once more.
    """
    refused = yield from _insert(context, [one.body for one in drafts])
    return (yield from instead_of(context, drafts, refused, _insert, only)) if refused else {}


def new_in_transaction(context: Context, task: NewTask) -> Op[Task]:
    """Enqueue one task inside the caller's transaction: it becomes visible when that commits."""
    one = draft(context, task)
    others = yield from chunk_in_transaction(context, [one])
    return made(context, one, others.get(0))


def chunk_in_transaction(context: Context, drafts: Sequence[Draft], *, only: Sequence[str] | None = None) -> Op[Others]:
    """Enqueue a chunk of drafts inside the caller's transaction; none of them if one is refused.

    A refused insert would abort the whole transaction. So taken keys and `unique` values are looked up first.
    """
    keys = [one.options.key for one in drafts if one.options.key is not None]
    uniques = [one.options.unique for one in drafts if one.options.unique is not None]
    by_key, by_unique = yield from by_key_or_unique(context, keys, uniques, only)
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
        elif one.options.merges:
            others[place] = yield from _merged_in_transaction(context, one, by_key=one.key in by_key)
        elif one.lenient:
            others[place] = holder
        else:
            return dict.fromkeys(range(len(drafts)), duplicate(one, by_unique=one.key not in by_key))
    if fresh:
        insert = partial(_all, context, fresh)
        flows = any_flows(drafts)
        yield from inserting(context, drafts, insert, without=others, within=True) if flows else insert()
    return others


def _all(context: Context, bodies: list[Any]) -> Op[Others]:
    yield InsertMany(context.tasks, bodies)
    return {}


def _merged_in_transaction(context: Context, one: Draft, *, by_key: bool) -> Op[Document | MongoqError]:
    """Change the task that has the `unique` value; another's change in between aborts the transaction."""
    instead = yield from merged(context, one, by_key=by_key)
    return duplicate(one, by_unique=True) if instead is None else instead


def _insert(context: Context, bodies: list[Any]) -> Op[Mapping[int, MongoqError]]:
    try:
        if len(bodies) == 1:
            yield InsertOne(context.tasks, bodies[0])
        else:
            yield InsertMany(context.tasks, bodies, ordered=False)
    except KeyTaken as taken:
        return {0: taken}
    except PartlyWritten as partly:
        return partly.errors
    return {}
