"""The filters of names: of task functions, and of the claims that ask for those that a worker knows."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from mongoq.storage.commands import Filter
from mongoq.storage.documents import fields, indexes


def of_names(names: Sequence[str]) -> Filter:
    """Tasks with one of these names; repeats the partial filter of the index literally."""
    return {fields.NAME: {**ready_named()[fields.NAME], "$in": list(names)}}


def but_names(names: Sequence[str]) -> Filter:
    """Tasks with none of these names, at whatever revision."""
    revised = [{fields.NAME: {"$gte": f"{name}@", "$lt": f"{name}A"}} for name in names]
    return {"$nor": [{fields.NAME: {"$in": list(names)}}, *revised]}


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
