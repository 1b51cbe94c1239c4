"""Slots of limits: filters and updates, all pure.

A running task has a slot of each of its groups, `"<group>/<number>"`, in its hold; a unique index over the running
tasks has each slot once. So the server itself refuses the third of two, and whatever ends the claim frees the slot.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from mongoq.core.lifecycle import LIVE, Event, TaskState, sources
from mongoq.limiting.limit import Limit, group_of_slot
from mongoq.storage.commands import Document, Filter, Update
from mongoq.storage.documents import fields, indexes
from mongoq.storage.documents.limiting.rates import Start

PROBED: Final = 32
"""So many numbers beyond those wanted are looked at first, of a limit with more."""
_RUNNING: Final = TaskState.RUNNING.value
PARKED: Final = TaskState.PARKED.value


UNLIMITED: Final[Filter] = {fields.LIMITS: None}
"""Tasks under no limits; a claim reads every other by it, so it is for namespaces that are known to have no limits."""


ANY_IN_USE: Final[Filter] = {fields.STATE: _RUNNING, fields.SLOTS: {"$exists": True}}
"""Running tasks with slots, of whatever limits."""


def slot(group: str, number: int) -> str:
    """The name of a slot; as text, the slots of a group are in the order of their numbers."""
    return f"{group}/{number:05}"


def split(name: str) -> tuple[str, int]:
    """The group and the number of a slot."""
    group, _, number = name.rpartition("/")
    return group, int(number)


def names_of(document: Document) -> list[str]:
    """The slots that a claimed task has."""
    held = document.get(fields.HOLD)
    slots = held.get("slots") if isinstance(held, dict) else None
    return slots if isinstance(slots, list) else []


def groups_of(document: Document) -> list[str]:
    """The groups whose slots a claimed task has."""
    return [group_of_slot(one) for one in names_of(document)]


def numbers(limit: Limit, wanted: int) -> Sequence[int]:
    """Which numbers of a limit to look at for so many free ones; of a large limit a few by chance."""
    most = limit.concurrency or 0
    few = wanted + PROBED
    if most <= 2 * few:
        return range(most)
    return random.sample(range(most), few)


def in_use(named: Sequence[str]) -> Filter:
    """Running tasks with one of these slots."""
    return {fields.STATE: _RUNNING, fields.SLOTS: {"$in": list(named)}}


def in_group(group: str) -> Filter:
    """Running tasks with a slot of a group, whatever its number."""
    return {fields.STATE: _RUNNING, fields.SLOTS: {"$elemMatch": {"$gte": f"{group}/", "$lt": f"{group}0"}}}


def of_limit(name: str) -> Filter:
    """Running tasks with slots of a limit, and of others whose name begins as its name does."""
    return {fields.STATE: _RUNNING, fields.SLOTS: {"$elemMatch": {"$gte": name, "$lt": f"{name};"}}}


def counting(name: str) -> list[Document]:
    """How many parked tasks wait for each group of a limit, and of others whose name begins as its name does."""
    waits = {fields.WAITS_FOR: {"$gte": name, "$lt": f"{name};"}, fields.STATE: PARKED}
    return [{"$match": waits}, {"$group": {"_id": f"${fields.WAITS_FOR}", "count": {"$sum": 1}}}]


def waiting_by_limit() -> list[Document]:
    """How many parked tasks wait for each limit, and in how many of its groups."""
    name = {"$arrayElemAt": [{"$split": ["$_id", ":"]}, 0]}
    return [
        {"$match": {fields.WAITS_FOR: {"$gt": ""}, fields.STATE: PARKED}},
        {"$group": {"_id": f"${fields.WAITS_FOR}", "count": {"$sum": 1}}},
        {"$group": {"_id": name, "waiting": {"$sum": "$count"}, "groups": {"$sum": 1}}},
    ]


def taken(update: Update, document: Document, slots: Sequence[str], starts: Mapping[str, Start]) -> Update:
    """The update of a claim for a task that gets these slots, and these starts by group."""
    got: Document = {"slots": list(slots)} if slots else {}
    if starts:
        got["starts"] = [{"group": group, "at": one.at, "weight": one.weight} for group, one in starts.items()]
    hold = {**update["$set"][fields.HOLD], **got}
    written = {**update, "$set": {**update["$set"], fields.HOLD: hold}}
    return {**written, "$unset": {fields.WAITS_FOR: ""}} if fields.WAITS_FOR in document else written


def shared(update: Update) -> Update:
    """The update of a claim for tasks that run in the slots of others of the same claim, before these."""
    hold = {**update["$set"][fields.HOLD], "shares": True}
    return {**update, "$set": {**update["$set"], fields.HOLD: hold}, "$unset": {fields.WAITS_FOR: ""}}


def held_by(document: Document) -> tuple[Sequence[str], Sequence[Mapping[str, Any]], bool]:
    """The slots that a claimed task has, the starts that it has got, and whether it runs in the slot of another."""
    held = document.get(fields.HOLD)
    if not isinstance(held, dict):
        return (), (), False
    if held.get("shares") is True:
        return (), (), True
    return names_of(document), starts_of(document), False


def starts_of(document: Document) -> list[dict[str, Any]]:
    """The starts that a claimed task has got, as they are stored."""
    held = document.get(fields.HOLD)
    starts = held.get("starts") if isinstance(held, dict) else None
    return starts if isinstance(starts, list) else []


def parked(group: str, now: datetime) -> Update:
    """Park a task until there is room in a group."""
    return {
        "$set": {fields.STATE: PARKED, fields.WAITS_FOR: group, fields.MODIFIED_AT: now},
        "$inc": {fields.VERSION: 1},
    }


def waiting(groups: Collection[str]) -> Filter:
    """Parked tasks that wait for one of these groups."""
    among: Any = next(iter(groups)) if len(groups) == 1 else {"$in": list(groups)}
    return {fields.WAITS_FOR: {"$eq": among} if len(groups) == 1 else among, fields.STATE: PARKED}


def still_parked(key: str) -> Filter:
    """This task, if it is parked."""
    return {fields.KEY: {"$eq": key}, fields.STATE: PARKED}


def first_of_each(collection: str, wanted: Mapping[str, int], only: Sequence[str] = ()) -> list[Document]:
    """A pipeline: so many of the most urgent parked tasks of each group, each found by the index; whole by default."""
    parts: list[list[Document]] = [
        [
            {"$match": waiting([group])},
            {"$sort": dict(indexes.URGENCY)},
            {"$limit": most},
            *([{"$project": dict.fromkeys(only, 1)}] if only else []),
        ]
        for group, most in wanted.items()
    ]
    first, *others = parts
    return [*first, *({"$unionWith": {"coll": collection, "pipeline": part}} for part in others)]


def coming(groups: Collection[str]) -> list[Document]:
    """A pipeline: how many tasks were made ready for each of these groups and are not claimed yet."""
    there = {fields.WAITS_FOR: {"$in": list(groups)}, fields.STATE: sources(Event.CLAIM)[0].value}
    return [{"$match": there}, {"$group": {"_id": f"${fields.WAITS_FOR}", "count": {"$sum": 1}}}]


def groups_after(group: str, most: int) -> list[Document]:
    """A pipeline: the groups behind this one for which tasks wait, or waited; one step in the index for each.

    With a condition on the type beside it the server would read each task of them.
    """
    there = {fields.WAITS_FOR: {"$gt": group}}
    return [
        {"$match": there},
        {"$sort": {fields.WAITS_FOR: 1}},
        {"$group": {"_id": f"${fields.WAITS_FOR}"}},
        {"$limit": most},
    ]


def freed(now: datetime, *, due: bool) -> Update:
    """Let parked tasks try again; `waits_for` stays until they are claimed."""
    state = TaskState.READY if due else TaskState.SCHEDULED
    return {"$set": {fields.STATE: state.value, fields.MODIFIED_AT: now}, "$inc": {fields.VERSION: 1}}


def line(group: str) -> Filter:
    """The unfinished tasks of a line; the states as the index has them."""
    return {fields.LINE: {"$eq": group}, fields.STATE: {"$in": [state.value for state in LIVE]}}


HALTING: Final = (TaskState.SCHEDULED.value, PARKED)
"""The states in which the first of a line keeps the others waiting without running."""
LINE_ORDER: Final = [(fields.CREATED_AT, 1), (fields.KEY, 1)]
