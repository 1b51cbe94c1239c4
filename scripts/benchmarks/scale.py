"""A namespace of the size at which dashboards die: live and finished tasks in many queues, made by the server itself.

Half of the tasks are in a hundredth of the queues. The server multiplies one document for each state, so that a
million take 10 to 20 s and no client is in the way; the indexes are built afterwards, as `Queue.init` builds them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo import ReplaceOne, UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database

from mongoq import NewTask, Queue
from mongoq.history.point import HistoryStep
from mongoq.history.sums import Sums
from mongoq.storage.operations.history import rows

PORTION: Final = 100_000
FIRST: Final = 100_000
Models = Mapping[str, Mapping[str, Any]]
Shares = tuple[tuple[str, int], ...]
LIVE: Final[Shares] = (("ready", 60), ("scheduled", 39), ("running", 1))
FINISHED: Final[Shares] = (("completed", 93), ("failed", 3), ("cancelled", 3), ("expired", 1))
"""Of a hundred tasks so many are in each state."""
WORKERS: Final = 50
DAYS: Final = 7
PATIENCE: Final = 1_200.0
FIGURES: Final = {"_id": {"$gte": "now ", "$lt": "now!"}}
"""What a worker has counted for all."""


def queue_of(number: int) -> str:
    """The name of a queue; its tasks are called after it."""
    return f"queue-{FIRST + number}"


def build(uri: str, database: Database[Any], namespace: str, live: int, queues: int) -> None:
    """Make live tasks in so many queues, twice as many finished ones, workers, figures and a week of minutes."""
    models = _models(uri, database, f"{namespace}-models")
    with Queue(uri, namespace=namespace) as queue:
        _beside(queue, queues)
        tasks = database[f"{namespace}.tasks"]
        tasks.drop_indexes()
        portion = min(PORTION, live)
        for first in range(0, live, portion):
            _multiply(tasks, models, LIVE, range(first, first + portion), queues)
        for first in range(0, 2 * live, portion):
            _multiply(tasks, models, FINISHED, range(first, first + portion), queues)
        queue.init()
        _count(queue, database[f"{namespace}.history"])
    _widen(database, namespace, queues)
    _chronicle(database, namespace)


def _beside(queue: Queue, queues: int) -> None:
    """Make what is not tasks: schedules, limits, batches, a pause, dead letters."""
    queue.new(name="first", queue="first")  # names have an index of their own
    for number in range(min(200, queues)):
        queue.schedule(f"nightly-{number}", "0 3 * * *", NewTask(queue=queue_of(number)))
        queue.limit(f"limit-{number}", concurrency=4, by="user")
    for number in range(20):
        with queue.batch(key=f"batch-{number}") as batch:
            batch.new_many([{}] * 5)
        queue.new(queue=f"{queue_of(number)}/err")
    queue.pause(queue_of(1), reason="deploy", by="ann")


def beat(database: Database[Any], namespace: str) -> None:
    """Let all workers be alive."""
    database[f"{namespace}.workers"].update_many({}, {"$set": {"seen_at": datetime.now(UTC)}})


def _models(uri: str, database: Database[Any], namespace: str) -> Models:
    """One task for each state, as mongoq writes it."""

    def handler(_: Any) -> None:
        raise TimeoutError("the bank did not answer")

    with Queue(uri, namespace=namespace, keep_completed=86_400) as queue:
        made = {state: queue.new({"user": 0}, name="model", queue=state, max_retries=0).key for state, _ in LIVE}
        made |= {state: queue.new({"user": 0}, name="model", queue=state, max_retries=0).key for state, _ in FINISHED}
        queue.update(made["scheduled"], delay=3600)
        queue.update(made["expired"], expires_at=datetime.now(UTC) + timedelta(days=1))
        queue.run_once(handler, queues=["failed"])
        queue.run_once(lambda _: None, queues=["completed"])
        queue.cancel(made["cancelled"])
        queue.claim_many(queues=["running"], limit=1)
        found: dict[str, Any] = {
            state: database[f"{namespace}.tasks"].find_one({"_id": key}) for state, key in made.items()
        }
    for name in database.list_collection_names(filter={"name": {"$regex": rf"^{namespace}\."}}):
        database.drop_collection(name)
    found["expired"] = {**(found["cancelled"] or {}), "state": "expired"}
    found["running"]["hold"]["until"] += timedelta(days=30)
    return {state: one for state, one in found.items() if one is not None}


def _multiply(tasks: Collection[Any], models: Models, shares: Shares, numbers: range, queues: int) -> None:
    """Let the server make one task of each number, in a state by its share, in a queue by the number."""
    now, number = datetime.now(UTC), "$n"
    place = {"$mod": [{"$floor": {"$divide": [number, 7]}}, 100]}
    branches, least = [], 0
    for state, share in shares:
        least += share
        branches.append({"case": {"$lt": [place, least]}, "then": {"$literal": models[state]}})
    busy = {"$mod": [{"$floor": {"$divide": [number, 1_400]}}, max(1, queues // 100)]}
    any_ = {"$mod": [{"$multiply": [{"$floor": {"$divide": [number, 2]}}, 104_729]}, queues]}
    named = {"$toString": {"$toLong": {"$add": [FIRST, {"$cond": [{"$mod": [number, 2]}, busy, any_]}]}}}
    ago = {"$subtract": [now, {"$multiply": [number, 5]}]}
    ahead = {"$add": [now, {"$multiply": [{"$mod": [number, 86_400]}, 1_000]}, 3_600_000]}
    finished = {"finished_at": ago, "purge_at": now + timedelta(days=30)}
    kind, own = ("f", finished) if shares is FINISHED else ("l", {})
    common: dict[str, Any] = own | {
        "_id": {"$concat": [f"{kind}-", {"$toString": {"$toLong": {"$add": [10**12, number]}}}]},
        "queue": {"$concat": ["queue-", named]}, "name": {"$concat": ["name-", named]},
        "tags": {"user": {"$mod": [number, 1_000]}}, "created_at": ago, "modified_at": ago,
        "run_at": ago if shares is FINISHED else {"$cond": [{"$lt": [place, LIVE[0][1]]}, ago, ahead]},
    }  # fmt: skip
    pipeline: list[dict[str, Any]] = [
        {"$documents": [{"n": {"$range": [numbers.start, numbers.stop]}}]},
        {"$unwind": "$n"},
        {"$replaceWith": {"$mergeObjects": [{"$switch": {"branches": branches}}, common]}},
        {"$merge": {"into": tasks.name, "whenMatched": "fail"}},
    ]
    tasks.database.command("aggregate", 1, pipeline=pipeline, cursor={}, allowDiskUse=True)


def _count(queue: Queue, history: Collection[Any]) -> None:
    """Let a worker count all queues once, as one does every few minutes."""
    worker = queue.start(lambda _: None, queues=["nothing"])
    deadline = time.monotonic() + PATIENCE
    try:
        while history.find_one(FIGURES) is None:
            if time.monotonic() > deadline:
                raise AssertionError("no worker has counted the queues")
            time.sleep(0.2)
    finally:
        worker.stop()


def _widen(database: Database[Any], namespace: str, queues: int) -> None:
    """Let the figures hold for the whole measurement, and 50 workers share the queues and names."""
    now = datetime.now(UTC)
    database[f"{namespace}.history"].update_many(FIGURES, {"$set": {"next": now + timedelta(days=1)}})
    workers = database[f"{namespace}.workers"]
    shared = -(-queues // WORKERS)
    beats = []
    for number in range(WORKERS):
        own = range(number * shared, min(queues, (number + 1) * shared))
        queues_, names = [queue_of(one) for one in own], [f"name-{FIRST + one}" for one in own]
        told = {"host": f"host-{number // 8}", "pid": 1_000 + number, "workers": 8, "running": 5, "place": number}
        told |= {"queues": queues_, "names": names, "covers": [], "idle": False, "seen_at": now, "started_at": now}
        key = f"host-{number // 8}:{1_000 + number}:scale"
        beats.append(ReplaceOne({"_id": key}, told, upsert=True))
    workers.bulk_write(beats)
    workers.drop_index("seen")  # they live as long as the measurement


def _chronicle(database: Database[Any], namespace: str) -> None:
    """Write a week of minutes, of all queues, of one, and of one name."""
    history, sums = database[f"{namespace}.history"], Sums()
    sums.started([0.01 * number for number in range(100)])
    for outcome, count in (("complete", 95), ("fail", 5)):
        sums.ended(outcome, [0.02 * number for number in range(count)])
    now = rows.begin_of(HistoryStep.MINUTE, datetime.now(UTC))
    depth = {**dict.fromkeys(rows.FIGURES, 10.0), rows.OLDEST: 5.0}
    for step, count in ((HistoryStep.MINUTE, DAYS * 1440), (HistoryStep.HOUR, DAYS * 24), (HistoryStep.DAY, 90)):
        writes = []
        for number in range(1, count):
            at = rows.begin_of(step, now - number * rows.LENGTHS[step])
            for queue, name in ((rows.ALL, None), (queue_of(0), None), (queue_of(0), "name-100000")):
                row = rows.Row(step, at, queue, name)
                added, deepened = rows.adding(row, sums), rows.deepening(row, depth, None)
                update = {**_plain(added.update), **_plain(deepened.update)}
                writes.append(UpdateOne(added.where, update, upsert=True))
        history.bulk_write(writes, ordered=False)
    database[f"{namespace}.control"].update_one(
        {"_id": "history"}, {"$set": {"summed_up": rows.begin_of(HistoryStep.HOUR, now)}}, upsert=True
    )


def _plain(update: Any) -> dict[str, Any]:
    """An update that is no pipeline."""
    return dict(update)
