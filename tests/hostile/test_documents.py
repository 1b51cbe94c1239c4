"""Documents that a foreign producer wrote: each is processed or set aside, and never keeps another from its turn."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from mongoq import Queue, TaskState

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
GONE = object()
WRONG: dict[str, Any] = {
    "null": None,
    "missing": GONE,
    "text": "2030-01-01",
    "true": True,
    "a list": [1, "a"],
    "a document": {"$gt": 1},
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a fraction": 1.5,
    "Decimal128": Decimal128("NaN"),
    "2 ** 63 - 1": Int64(2**63 - 1),
    "below zero": -5,
    "a date beyond Python's": DatetimeMS(2**62),
    "a date before Python's": DatetimeMS(-(2**62)),
    "MinKey": MinKey(),
    "MaxKey": MaxKey(),
    "a pattern": Regex("(a+)+$"),
    "code": Code("while (true) {}", {"a": 1}),
    "a reference": DBRef("tasks", "k", "admin"),
    "an ObjectId": ObjectId(),
    "a timestamp": Timestamp(1, 1),
    "bytes": b"\x80\x03cos\nsystem\n",
}
FIELDS = (
    "queue", "priority", "run_at", "version", "attempts", "uncharged", "retries", "lost_leases", "expires_at", "tags",
    "payload", "created_at", "policy", "errors", "last_error", "unique", "hold", "cancel_requested",
)  # fmt: skip


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


OTHERS: dict[str, dict[str, Any]] = {
    **{
        f"{name} of a hold: {kind}": {"hold": {name: value}}
        for name in ("token", "worker", "started_at", "until")
        for kind, value in WRONG.items()
        if value is not GONE
    },
    "an unknown state": {"state": "queued"},
    "a state that is a number": {"state": 5},
    "a state that is a document": {"state": {"$ne": "x"}},
    "a key that is a document": {"_id": {"a": 1}},
    "a key that is an ObjectId": {"_id": ObjectId()},
    "a key that is a number": {"_id": 5},
    "a key that is NaN": {"_id": float("nan")},
    "a key that drives a terminal": {"_id": "\x1b]0;x\x07\r\u202e"},
    "an empty key": {"_id": ""},
    "a key of 100 kB": {"_id": "x" * 100_000},
    "names that look like operators": {"tags": {"$where": "sleep(9000)", "a.b": {"$gt": 1}, "": 1}},
    "170 levels": {"payload": nested(170)},
    "a million numbers": {"payload": [1.5] * 700_000},
    "a hundred thousand tags": {"tags": {f"t{n}": n for n in range(100_000)}},
    "15 MiB": {"payload": b"x" * (15 * 2**20)},
    "16 MiB": {"payload": b"x" * (2**24 - 230)},
    "a policy of nonsense": {"policy": {"backoff": {"kind": "os.system", "step": [1]}, "lease": float("nan"), "x": {}}},
    "a policy nested deep": {"policy": {"backoff": nested(150)}},
    "a lease of 10 ** 12 s": {"policy": {"lease": 1e12}},
    "errors that are none": {"errors": [1, None, {"at": "x", "message": {}}], "last_error": {"type": 5}},
    "a promise of 2 ** 31 attempts": {"attempts": Int64(2**62), "uncharged": Int64(2**62)},
    "a name that names code": {"name": "os:system", "handler": "os.system", "module": "antigravity"},
}


TELLING = ("priority", "version", "attempts", "expires_at", "errors", "hold")
"""The fields that a claim by hand is tried on singly in every run; a worker is tried on all of them at once."""


def given() -> list[Any]:
    rows = [
        pytest.param({field: value}, id=f"{field}: {name}", marks=[] if field in TELLING else pytest.mark.long)
        for field in FIELDS
        for name, value in WRONG.items()
    ]
    return rows + [pytest.param(fields, id=name) for name, fields in OTHERS.items()]


def document_with(fields: dict[str, Any], **common: Any) -> dict[str, Any]:
    good = {
        "_id": "bad",
        "queue": "default",
        "state": "ready",
        "priority": 9,
        "run_at": LONG_AGO,
        "tags": {},
        "version": 1,
    }
    return {name: value for name, value in {**good, **common, **fields}.items() if value is not GONE}


@pytest.mark.parametrize("fields", given())
def test_a_claim_by_hand_passes_what_is_no_task(ground: Any, tally: Any, fields: dict[str, Any]) -> None:
    tally["inputs"] += 1
    ground.collection.delete_many({})
    ground.collection.insert_one(document_with(fields))
    tally["crashes"] += 1
    ground.moves_on()
    ground.queue.stats()
    tally["crashes"] -= 1
    assert ground.collection.count_documents({"state": "running"}) == 0


@pytest.mark.parametrize("state", ["ready", "scheduled", "running"])
def test_a_worker_passes_all_that_is_no_task(fresh: Any, tally: Any, state: str) -> None:
    lost = {"hold": {"until": LONG_AGO, "token": "t", "worker": "w"}} if state == "running" else {}
    rows = [row.values[0] for row in given()]
    for number, fields in enumerate(rows):
        fresh.collection.insert_one(document_with({"_id": f"bad-{number}", **fields}, state=state, **lost))
    tally["inputs"] += len(rows)
    tally["stuck queues"] += 1
    with Queue(fresh.uri, namespace=fresh.namespace, workers=4, grace=0, max_retries=0) as queue:
        good = {queue.new(priority=-9, delay=delay).key for delay in (0, 0, 0.05)}
        seen: list[object] = []
        for _ in range(20):
            queue.run(lambda task: seen.append(task.key), burst=True)
            if good <= {key for key in seen if isinstance(key, str)}:
                break
        assert {queue.get(key).state for key in good} == {TaskState.COMPLETED}
    tally["stuck queues"] -= 1
