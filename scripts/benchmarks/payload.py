"""`payload`: MB/s of tasks with 1, 10 and 100 KB of tags, and of as large results; of the bare driver's.

A task with tags is enqueued by `new_many`, run by a worker and deleted; the limit is insert_many, find and delete_many
of the same documents, one after the other. `payload.N.result` are small tasks that return N KB, which are kept; the
limit finds them and writes the results by bulk_write.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pymongo import UpdateOne

from benchmarks import filling
from benchmarks.drain import expect_empty, no_op
from benchmarks.raw import ORDER, READY, Tasks
from benchmarks.report import Row, rounds
from benchmarks.setting import Place, Setting
from mongoq import Task

SIZES = {1: 20_000, 10: 4_000, 100: 400}
"""KB of a task, and how many of them are 20 to 40 MB."""
AT_ONCE = 4_000_000
"""Bytes of one command of the bare driver; `mongoq` sends about as many."""

Make = Callable[[Place, int, bytes], Callable[[], None]]
"""Prepares what is to be measured."""


def payload(setting: Setting) -> list[Row]:
    """Measure tags and results of each size, by turns with the bare driver."""
    rows = []
    for size, tasks in SIZES.items():
        count = max(2, min(tasks, setting.count(tasks)))
        blob = os.urandom(size * 1_000)

        def of(make: Make, keep: float, count: int = count, blob: bytes = blob) -> Callable[[], float]:
            return partial(_rate, setting, make, keep, count, blob)

        tags, bare = rounds(setting.rounds(), of(_tags, 0), of(_bare_tags, 0))
        results, bare_results = rounds(setting.rounds(), of(_results, 3_600), of(_bare_results, 3_600))
        rows += [
            Row(f"payload.{size}", "MB/s", tags, bare),
            Row(f"payload.{size}.result", "MB/s", results, bare_results),
        ]
    return rows


def _rate(setting: Setting, make: Make, keep: float, count: int, blob: bytes) -> float:
    with setting.place(keep=keep) as place:
        run = make(place, count, blob)
        began = time.perf_counter()
        run()
        rate = count * len(blob) / 1e6 / (time.perf_counter() - began)
        expect_empty(place.queue)
        return rate


def _tags(place: Place, count: int, blob: bytes) -> Callable[[], None]:
    def run() -> None:
        place.queue.load({"blob": blob} for _ in range(count))
        place.queue.run(no_op, burst=True)

    return run


def _results(place: Place, count: int, blob: bytes) -> Callable[[], None]:
    tags = filling.tags(count)

    def handler(_task: Task) -> bytes:
        return blob

    def run() -> None:
        place.queue.load(tags)
        place.queue.run(handler, burst=True)

    return run


def _bare_tags(place: Place, count: int, blob: bytes) -> Callable[[], None]:
    chunks = list(_chunks(filling.documents(place.tasks, place.queue, count, tags={"blob": blob}), _step(blob)))

    def run() -> None:
        for chunk in chunks:
            place.tasks.insert_many(chunk)
        for batch in _found(place.tasks, _step(blob)):
            place.tasks.delete_many({"_id": {"$in": [document["_id"] for document in batch]}})

    return run


def _bare_results(place: Place, count: int, blob: bytes) -> Callable[[], None]:
    chunks = list(_chunks(filling.documents(place.tasks, place.queue, count), 1_000))

    def run() -> None:
        for chunk in chunks:
            place.tasks.insert_many(chunk)
        for batch in _found(place.tasks, _step(blob)):
            done = {"$set": {"state": "completed", "result": blob}}
            place.tasks.bulk_write([UpdateOne({"_id": document["_id"]}, done) for document in batch], ordered=False)

    return run


def _found(tasks: Tasks, step: int) -> Iterable[list[Any]]:
    while batch := list(tasks.find(READY, sort=ORDER, hint="claim", limit=step, batch_size=step)):
        yield batch


def _chunks(made: Iterable[Any], step: int) -> Iterable[list[Any]]:
    left = iter(made)
    while chunk := list(itertools.islice(left, step)):
        yield chunk


def _step(blob: bytes) -> int:
    return max(1, min(1_000, AT_ONCE // max(1, len(blob))))
