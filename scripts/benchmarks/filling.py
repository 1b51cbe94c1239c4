"""Backlogs at the speed of the bare driver: copies of a document that `new_many` wrote."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pymongo.collection import Collection

from mongoq import Queue
from mongoq.core.host.keys import KeyMaker

CHUNK = 5_000


def tags(count: int) -> list[dict[str, Any]]:
    """What the tasks of every benchmark carry."""
    return [{"user": number, "template": "welcome"} for number in range(count)]


def documents(tasks: Collection[Any], queue: Queue, count: int, /, **fields: Any) -> Iterator[dict[str, Any]]:
    """Make `count` documents with keys and times in order; `fields` are set over the model's."""
    (made,) = queue.new_many(tags(1), queue="model")  # a line of its own: workers may be running
    model = (tasks.find_one_and_delete({"_id": made.key}) or {}) | {"queue": "default"}
    keys = KeyMaker()
    for number in range(count):
        now = datetime.now(UTC)
        stamps = {name: now for name in ("run_at", "created_at", "modified_at") if name in model}
        yield model | stamps | {"_id": keys(now), "tags": {"user": number, "template": "welcome"}} | fields


def fill(tasks: Collection[Any], queue: Queue, count: int, /, **fields: Any) -> None:
    """Insert `count` tasks in chunks."""
    made = documents(tasks, queue, count, **fields)
    while chunk := list(itertools.islice(made, CHUNK)):
        tasks.insert_many(chunk)
