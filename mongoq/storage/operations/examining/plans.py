"""Read the indexes of the tasks, and let the server explain mongoq's own hot queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.errors import IndexMissing, StorageRefused, StorageUnavailable
from mongoq.core.lifecycle import TaskState
from mongoq.diagnosis.facts import Foreign, Indexes, Plan, Plans
from mongoq.storage.asking import Ask
from mongoq.storage.commands import Document, Filter, Op
from mongoq.storage.context import Context
from mongoq.storage.control import ListIndexes
from mongoq.storage.documents import fields, filters, indexes
from mongoq.storage.operations import schema
from mongoq.storage.operations.namespace import orders

BATCH: Final = 100
MOST_QUEUES: Final = 3
LIMIT: Final = timedelta(seconds=2)
OWN: Final = frozenset({
    "_id_", *indexes.TASKS, *indexes.NAMED, *indexes.FLOW, *indexes.LIMITS, *indexes.FAIR, *indexes.FAIR_NAMED
})  # fmt: skip


class Query(NamedTuple):
    """A hot query, and the index that is made for it."""

    name: str
    collection: str
    where: Filter
    sort: Sequence[tuple[str, int]]
    made_for: str
    """The name of the index."""
    hinted: bool = True
    """Whether mongoq names the index; else the planner chooses."""
    limit: int = BATCH


def queries(context: Context, queues: Sequence[str], names: Sequence[str], now: datetime) -> Iterator[Query]:
    """The queries that workers send all the time, as they send them."""
    tasks = context.tasks
    for queue in queues[:MOST_QUEUES]:
        yield Query(f"claims of {queue}", tasks, filters.ready([queue]), indexes.URGENCY, indexes.CLAIM)
        if names:
            where = filters.ready([queue], names=list(names)[:MOST_QUEUES])
            yield Query(f"claims of {queue} by name", tasks, where, indexes.URGENCY, indexes.CLAIM_NAME)
    yield Query("due tasks", tasks, filters.due(now), [(fields.RUN_AT, 1)], indexes.DUE)
    yield Query("lost leases", tasks, filters.lease_over(now), [(fields.LEASE_UNTIL, 1)], indexes.LEASE)
    yield Query("expired tasks", tasks, filters.overdue(now), [(fields.EXPIRES_AT, 1)], indexes.EXPIRY)
    shown = filters.matching(queue=queues[0] if queues else "default", state=TaskState.READY)
    yield Query("ready tasks of a queue", tasks, shown, indexes.URGENCY, indexes.CLAIM, hinted=False)


def plans(context: Context, queues: Sequence[str], names: Sequence[str]) -> Op[Plans]:
    """How the server runs each of the hot queries: at most 100 documents and two seconds of each."""
    found: list[Plan] = []
    for query in queries(context, queues, names, context.clock.now()):
        try:
            found.append(_plan(query, (yield Ask(_explain(query), timeout=LIMIT))))
        except StorageUnavailable:
            found.append(Plan(query.name, query.made_for, ended=False))
        except IndexMissing:
            continue  # what lacks is told by the look at the indexes
    return Plans(tuple(found))


def look_at_indexes(context: Context, database: str, *, named: bool) -> Op[Indexes]:
    """Which indexes lack, and which are not mongoq's own."""
    yield from orders.read(context)
    lacking: list[str] = []
    existing: Mapping[str, Any] = {}
    for collection, wanted in schema.wanted_indexes(context, named=named, flow=context.gate.flow):
        there = yield ListIndexes(collection)
        existing = there if collection == context.tasks else existing
        if there:  # a collection that is not there yet gets its indexes with the first task
            lacking += [f"{collection}.{name}" for name in indexes.missing(wanted, there)]
    unusual = yield from _unusual(context)
    used = yield from _uses(context, [name for name in existing if name not in OWN])
    foreign = [
        Foreign(name, tuple(key for key, _ in index["key"]), *used.get(name, (None, None)))
        for name, index in existing.items()
        if name not in OWN
    ]
    others = () if existing else tuple((yield from schema.namespaces()))
    return Indexes(tuple(lacking), tuple(foreign), unusual, context.tasks, database, bool(existing), others)


def _unusual(context: Context) -> Op[str | None]:
    try:
        yield from schema.check_kind(context.tasks)
    except StorageRefused as error:
        return str(error).removeprefix(f"the collection {context.tasks} ").partition(";")[0]
    return None


def _uses(context: Context, names: Sequence[str]) -> Op[dict[str, tuple[int, timedelta]]]:
    """How often these indexes were used, and since when that is counted; nothing where this user may not see it."""
    if not names:
        return {}
    stages = [{"$indexStats": {}}, {"$match": {"name": {"$in": list(names)}}}]
    try:
        reply = yield Ask({"aggregate": context.tasks, "pipeline": stages, "cursor": {}})
    except StorageRefused:
        return {}
    now = context.clock.now()
    rows = reply["cursor"]["firstBatch"]
    return {row["name"]: (int(row["accesses"]["ops"]), now - row["accesses"]["since"]) for row in rows}


def _explain(query: Query) -> Document:
    read = {"find": query.collection, "filter": query.where, "sort": dict(query.sort), "limit": query.limit}
    hint = {"hint": query.made_for} if query.hinted else {}
    return {"explain": {**read, **hint}, "verbosity": "executionStats"}


def _plan(query: Query, reply: Document) -> Plan:
    """A plan as the server explains it, in whatever shape its version has."""
    stages = list(_stages(reply["queryPlanner"]["winningPlan"]))
    run = reply.get("executionStats", {})
    return Plan(
        query.name,
        query.made_for,
        tuple(str(stage["stage"]) for stage in stages if "stage" in stage),
        tuple(dict.fromkeys(str(stage["indexName"]) for stage in stages if "indexName" in stage)),
        int(run.get("totalKeysExamined", 0)),
        int(run.get("totalDocsExamined", 0)),
        int(run.get("nReturned", 0)),
        timedelta(milliseconds=int(run.get("executionTimeMillis", 0))),
    )


def _stages(plan: Any) -> Iterator[Mapping[str, Any]]:
    """The stages of a plan, wherever they stand in it."""
    if isinstance(plan, Mapping):
        yield plan
        for name, inner in plan.items():
            if name in ("inputStage", "inputStages", "queryPlan", "shards", "winningPlan", "outerStage", "innerStage"):
                yield from _stages(inner)
    elif isinstance(plan, Sequence) and not isinstance(plan, str):
        for one in plan:
            yield from _stages(one)
