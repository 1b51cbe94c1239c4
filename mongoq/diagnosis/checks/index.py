"""Checks of the indexes of the tasks: those that are missing, and those of others that compete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Foreign, Indexes
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import mongosh, span

LONG: Final = timedelta(days=1)
HOT: Final = ("queue", "state")
"""The first keys of mongoq's own indexes."""


@check(
    "index.missing", Level.FAULT, "an index of mongoq that is missing, hidden, being built, or of another shape",
    effect="Claims fail with IndexMissing, or read every task.",
    advice="Build it; on a large collection that takes minutes, and tasks go on meanwhile.",
    command="mongoq init",
)  # fmt: skip
def missing(indexes: Indexes) -> Iterator[Found]:
    """Missing indexes."""
    for name in indexes.missing:
        yield Found(name, f"The index {name} is missing, hidden, being built, or has other keys")


@check(
    "index.collection", Level.FAULT, "a collection of tasks that is a view, capped, or has a collation",
    effect="Tasks are refused, removed before they ran, or two keys count as the same.",
    advice="Drop it, so that mongoq makes an ordinary one, or use another namespace.",
)  # fmt: skip
def collection(indexes: Indexes) -> Iterator[Found]:
    """A collection that is not ordinary."""
    if indexes.unusual:
        yield Found("tasks", f"The collection of the tasks {indexes.unusual}")


@check(
    "index.competing", Level.WARNING, "an index of yours that begins as mongoq's own do",
    effect="The planner may choose it for hot queries, and each write of a task pays 1 to 9 µs of the server for it.",
    advice="Drop it where none of your own queries needs it; begin it with another field where one does.",
)  # fmt: skip
def competing(indexes: Indexes) -> Iterator[Found]:
    """Indexes of others that the planner may choose."""
    for one in indexes.foreign:
        if one.keys[:1] and one.keys[0] in HOT and not _unused(one):
            problem = f"The index {one.name} on {', '.join(one.keys)} is not mongoq's and begins as its own do"
            yield Found(one.name, problem, command=_drop(indexes, one))


@check(
    "index.unused", Level.WARNING, "an index of yours that nothing has used for a day",
    effect="Each write of a task pays 1 to 9 µs of the server for it, three times for each task.",
    advice="Drop it.",
)  # fmt: skip
def unused(indexes: Indexes) -> Iterator[Found]:
    """Indexes of others that nobody uses."""
    for one in indexes.foreign:
        if _unused(one) and one.since is not None:
            problem = f"The index {one.name} on {', '.join(one.keys)} was not used for {span(one.since)}"
            yield Found(one.name, problem, command=_drop(indexes, one))


def _unused(one: Foreign) -> bool:
    return one.uses == 0 and one.since is not None and one.since >= LONG


def _drop(indexes: Indexes, one: Foreign) -> str:
    database, collection, index = map(json.dumps, (indexes.database, indexes.collection, one.name))
    return mongosh(f"db.getSiblingDB({database}).getCollection({collection}).dropIndex({index})")
