"""The filters of names: of task functions, and of the claims that ask for those that a worker knows."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from mongoq.pausing.pause import Pause
from mongoq.storage.commands import Filter
from mongoq.storage.documents import fields, indexes


def of_names(names: Sequence[str]) -> Filter:
    """Tasks with one of these names; repeats the partial filter of the index literally."""
    return {fields.NAME: {**ready_named()[fields.NAME], "$in": list(names)}}


def held_by(pause: Pause) -> list[Filter]:
    """Tasks of a paused name, at whatever revision, or with a paused value of a tag: one of these filters."""
    if pause.tag is not None:
        return [{f"{fields.TAGS}.{pause.tag}": {"$eq": pause.value, "$not": {"$type": "array"}}}]
    return [{fields.NAME: {"$eq": pause.name}}, {fields.NAME: {"$gte": f"{pause.name}@", "$lt": f"{pause.name}A"}}]


def named_as(name: str) -> Filter:
    """Tasks of a function: with this name, at any revision where it names none."""
    if "@" in name:
        return {fields.NAME: {"$eq": name}}
    return {fields.NAME: {"$in": [name, re.compile(f"^{re.escape(name)}@")]}}


def ready_as(name: str) -> Filter:
    """Tasks of a function as `named_as` has them, with bounds that the index of ready tasks with names can use.

    With a pattern among them the server took no bounds at all: 600,000 keys for a name that no task has.
    """
    string = ready_named()[fields.NAME]
    if "@" in name:
        return {fields.NAME: {**string, "$eq": name}}
    others = {fields.NAME: {"$gt": name, "$lt": f"{name}@"}}
    return {fields.NAME: {**string, "$gte": name, "$lt": f"{name}A"}, "$nor": [others]}


def ready_named() -> Filter:
    """All tasks with a name that may be claimed."""
    return dict(indexes.NAMED[indexes.CLAIM_NAME][1]["partialFilterExpression"])


def but_keys(keys: Collection[str]) -> Filter:
    """All but the tasks with these keys."""
    return {fields.KEY: {"$nin": list(keys)}} if keys else {}
