"""Administration: the server's time, the namespaces and the indexes.

Missing indexes are built at first use, where the collection has at most `SMALL` documents, and only checked otherwise:
`mongoq init` builds them on a large collection, at a time that its operator chooses. They are built together, and where
the server refuses that each by itself, so that one that cannot be built keeps no other away. Processes that find the
same index missing share one build: the server joins a command for an index that it is building (`builds.py`). The
commit quorum is a majority, because a build with the default quorum hung while one member was down (mongod 6.0.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from mongoq.core.errors import IndexMissing, StorageRefused
from mongoq.core.stats import OnProgress
from mongoq.core.validation import shortened
from mongoq.storage.commands import Aggregate, Document, Op, find_one
from mongoq.storage.context import Context
from mongoq.storage.control import ChangeCollection, DescribeCollection, Hello, ListCollections, ListIndexes
from mongoq.storage.documents import fields, indexes
from mongoq.storage.documents.indexes import Indexes
from mongoq.storage.operations.long_work.builds import Patience, build
from mongoq.storage.operations.long_work.patience import patiently
from mongoq.storage.operations.namespace import orders, wanted
from mongoq.storage.refusals import KeyTaken, if_allowed

T = TypeVar("T")

SMALL: Final = 100_000
"""So many documents are indexed in about a second."""
AT_FIRST_USE: Final = Patience(looks=30)
"""A first use waits for a build of another process, or for a majority of the set, no longer than half a minute."""


def hello() -> Op[dict[str, Any]]:
    """Ask the server for its description: its time, and its replica set."""
    reply: dict[str, Any] = yield Hello()
    return reply


def is_standalone(description: Mapping[str, Any]) -> bool:
    """Whether a server describes itself as neither a member of a replica set nor the router of a sharded cluster."""
    return "setName" not in description and description.get("msg") != "isdbgrid"


def server_time() -> Op[datetime]:
    """Read the server's clock."""
    reply = yield from hello()
    time: datetime = reply["localTime"]
    return time


def ensure(
    context: Context, *, named: bool = False, flow: bool = False, limits: bool = False, parks: bool = False
) -> Op[None]:
    """Build the missing indexes of a collection that is not large; IndexMissing where some are missing afterwards.

    With `named` that for claims by name as well, with `flow` those for parents and batches, with `limits` those for
    limits, which a namespace that is known to have some gets anyway, with `parks` those for pauses.
    Raises StorageRefused where the collection is of a kind that cannot hold tasks.
    """
    faults: list[str] = []
    for collection, each in wanted_indexes(context, named=named, flow=flow, limits=limits, parks=parks):
        existing = yield from _indexes_of(collection)
        lacking = indexes.missing(each, existing)
        if not lacking:
            continue
        yield from check_kind(collection)
        many = yield from find_one(collection, {}, only=[fields.KEY], skip=SMALL, hint="_id_")
        if many is not None:
            fair = context.options.fairness is not None
            yield from wanted.note(context, named=named, flow=flow, limits=limits, fair=fair, parks=parks)
            faults.append(f"the collection {collection} lacks the index {', '.join(lacking)}; `mongoq init` makes it")
            continue
        _, refused = yield from _build(collection, each, lacking, existing, AT_FIRST_USE)
        faults += refused
    if faults:
        raise IndexMissing("; ".join(faults))


def ensure_flow(context: Context) -> Op[None]:
    """Build the indexes for parents and batches, where this process does not know yet that tasks have some here."""
    if not context.gate.flow:
        yield from orders.use_flow(context)
        yield from ensure(context, flow=True)


def keeping_unique(context: Context, op: Op[T]) -> Op[T]:
    """Insert tasks with `unique` values after making sure that their index is there; 0.2 ms for the look.

    Without it an insert succeeds and the value is not unique, whenever the index went.
    """
    yield from _ensure_unique(context)
    return (yield from op)


def _ensure_unique(context: Context) -> Op[None]:
    unique = {indexes.UNIQUE: indexes.TASKS[indexes.UNIQUE]}
    existing = yield ListIndexes(context.tasks)
    if not indexes.missing(unique, existing):
        return
    try:
        yield from ensure(context)
    except IndexMissing:
        existing = yield ListIndexes(context.tasks)
        if indexes.missing(unique, existing):
            raise


def init(context: Context, on_progress: OnProgress | None = None) -> Op[list[str]]:
    """Build every missing index and return their names; this may take hours on a large collection.

    Those for names, parents, limits and fair shares are built where they are in use, or somebody lacked them.
    IndexMissing says why some could not be built; the others are there then.
    """
    patience = Patience(on_progress=on_progress)
    made: list[str] = []
    faults: list[str] = []
    has_names = yield from find_one(context.tasks, {fields.NAME: {"$type": "string"}}, only=[fields.KEY])
    uses_flow = yield from orders.uses_flow(context)
    noted = yield from wanted.noted(context)
    for collection, each in wanted_indexes(
        context, named=has_names is not None or wanted.NAMED in noted, flow=uses_flow or wanted.FLOW in noted,
        limits=wanted.LIMITS in noted, fair=wanted.FAIR in noted, parks=wanted.PARKS in noted,
    ):  # fmt: skip
        existing = yield from _indexes_of(collection)
        lacking = indexes.missing(each, existing)
        if lacking:
            yield from check_kind(collection)
            built, refused = yield from _build(collection, each, lacking, existing, patience)
            made += [f"{collection}.{name}" for name in built]
            faults += refused
    if faults:
        raise IndexMissing("; ".join(faults))
    if wanted.PARKS in noted:
        yield from orders.begin_parking(context)
    return made


def namespaces() -> Op[list[str]]:
    """List the namespaces of the database that hold tasks, by name."""
    names: list[str] = yield ListCollections()
    found: list[str] = []
    for name in sorted(names):
        namespace, _, kind = name.rpartition(".")
        if namespace and kind == "tasks" and (yield from find_one(name, {}, only=["_id"])) is not None:
            found.append(namespace)
    return found


def wanted_indexes(
    context: Context, *, named: bool, flow: bool, limits: bool = False, fair: bool = False, parks: bool = False
) -> tuple[tuple[str, Indexes], ...]:
    """The indexes that each collection of the namespace is to have, by what is in use."""
    tasks = indexes.TASKS | (indexes.NAMED if named else {}) | (indexes.FLOW if flow else {})
    others: tuple[tuple[str, Indexes], ...] = ((context.workers, indexes.WORKERS),)
    tasks |= indexes.PARKING if parks or context.gate.limited else {}
    if limits or context.gate.limits:
        tasks, others = tasks | indexes.LIMITS, (*others, (context.limits, indexes.RATES))
    if fair or context.options.fairness is not None:
        tasks = tasks | indexes.FAIR | (indexes.FAIR_NAMED if named else {})
    return (context.tasks, tasks), *others


def _indexes_of(collection: str) -> Op[dict[str, Any]]:
    try:
        existing: dict[str, Any] = yield ListIndexes(collection)
    except StorageRefused:
        yield from check_kind(collection)  # of a view there are no indexes to list
        raise
    return existing


def check_kind(collection: str) -> Op[None]:
    """StorageRefused where a collection is not an ordinary one, with the server's rules for text."""
    described = yield from if_allowed(_describe(collection), None)
    why = None if described is None else _unusual(described)
    if why:
        advice = "drop it, so that mongoq makes an ordinary one, or use another namespace"
        raise StorageRefused(f"the collection {collection} {why}; {advice}")


def _describe(collection: str) -> Op[Document | None]:
    described: Document | None = yield DescribeCollection(collection)
    return described


def _unusual(described: Mapping[str, Any]) -> str | None:
    kind, options = described.get("type", "collection"), described.get("options", {})
    if kind != "collection":
        return f"is a {kind}, which cannot hold tasks"
    if options.get("capped"):
        return "is capped: MongoDB would remove tasks that have not run"
    if options.get("collation", {}).get("locale", "simple") != "simple":
        return "has a collation, under which two keys that differ may count as the same"
    return None


def _build(
    collection: str, wanted: Indexes, lacking: list[str], existing: Mapping[str, Any], patience: Patience
) -> Op[tuple[list[str], list[str]]]:
    """Build each of these indexes by itself; the names of those that were built, and what kept the others away."""
    reply = yield from hello()
    quorum = "majority" if "setName" in reply else None
    hidden = [name for name in lacking if indexes.hides(wanted[name], existing.get(name, {}))]
    made: list[str] = []
    faults: list[str] = []
    try:  # together, so that nobody meets a new collection with some of them
        yield from build(collection, {name: wanted[name] for name in lacking}, quorum, patience)
        if not any(name in hidden for name in lacking):
            return list(lacking), []
    except StorageRefused:
        pass  # the server builds none of them then
    for name in lacking:
        where = f"the index {name} of {collection}"
        try:
            if name in hidden:
                yield ChangeCollection(collection, {"index": {"name": name, "hidden": False}})
            else:
                yield from build(collection, {name: wanted[name]}, quorum, patience)
            made.append(name)
        except KeyTaken:
            faults.append(f"{where} cannot be built: {(yield from _twice(collection))}")
        except StorageRefused as error:
            if error.no_right:
                raise  # whoever may not build an index may not write a task either
            found = indexes.in_the_way(name, wanted, existing)
            why = f"{found}; drop that one and run `mongoq init` again" if found else str(error)
            faults.append(f"{where} cannot be built: {why}")
    return made, faults


def _twice(collection: str) -> Op[str]:
    """Name the tasks whose `unique` value another unfinished task has too."""
    partial = indexes.TASKS[indexes.UNIQUE][1]["partialFilterExpression"]
    same = {"_id": f"${fields.UNIQUE}", "keys": {"$push": f"${fields.KEY}"}, "count": {"$sum": 1}}
    pipeline = [{"$match": partial}, {"$group": same}, {"$match": {"count": {"$gt": 1}}}, {"$limit": 3}]
    rows: list[Document] = yield from patiently(Aggregate(collection, pipeline))
    named = [f"the tasks {', '.join(map(str, row['keys'][:5]))} have {shortened(row['_id'])}" for row in rows]
    found = "; ".join(named) or "several unfinished tasks have the same `unique` value"
    return f"{found}: cancel or delete all but one, and run `mongoq init` again"
