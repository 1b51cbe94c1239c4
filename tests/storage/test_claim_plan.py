from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.requests import ClaimRequest
from mongoq.limiting.limit import Limit
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.limits import keeping
from mongoq.storage.operations.limits.parking import groups_after

READY, OTHERS, PRIORITIES = 100_000, 100_000, 10_000


@pytest.fixture
def crowded(store: Any) -> Any:
    """100,000 ready tasks of 10,000 priorities in two queues, 100,000 scheduled and 100,000 completed ones."""
    now = store.clock.now()

    def fill(state: str, count: int, **fields: Any) -> None:
        documents = [
            {
                "_id": f"{state}-{number}",
                "queue": f"q{number % 2}",
                "state": state,
                "priority": number * 7919 % PRIORITIES,
                "run_at": now - timedelta(milliseconds=number),
                "tags": {},
                "version": 1,
                **fields,
            }
            for number in range(count)
        ]
        for start in range(0, count, 10_000):
            store.collection.insert_many(documents[start : start + 10_000], ordered=False)

    fill("ready", READY)
    fill("scheduled", OTHERS)
    fill("completed", OTHERS, finished_at=now)
    return store


def explain(store: Any, queues: tuple[str, ...], limit: int) -> dict[str, Any]:
    """What the server did for the very command that a claim begins with."""
    command: Any = next(claim_many(store.context, ClaimRequest(tuple(queues), "w", limit), poison_budget=16))
    explained: dict[str, Any] = store.connection.database.command(
        "explain",
        {
            "find": command.collection,
            "filter": command.where,
            "sort": dict(command.sort),
            "hint": command.hint,
            "limit": limit,
        },
        verbosity="executionStats",
    )
    return explained


def test_a_claim_examines_no_more_keys_than_it_returns_and_one_per_queue(crowded: Any) -> None:
    for queues in (("q0",), ("q0", "q1"), ("q0", "q1", "empty")):
        for limit in (1, 10, 400):
            explained = explain(crowded, queues, limit)
            stats = explained["executionStats"]

            assert stats["nReturned"] == limit
            assert stats["totalKeysExamined"] <= limit + len(queues), (queues, limit)
            assert stats["totalDocsExamined"] == limit
            assert "'SORT'" not in str(explained["queryPlanner"]["winningPlan"])

    empty = explain(crowded, ("empty",), 400)["executionStats"]
    assert (empty["nReturned"], empty["totalDocsExamined"]) == (0, 0)
    assert empty["totalKeysExamined"] <= 1


def test_a_sweep_of_limits_reads_one_entry_of_each_group_however_many_tasks_wait_for_it(store: Any) -> None:
    store.run(keeping.put(store.context, Limit("x", 1, "group"), "test"))
    waiting = ({"_id": n, "state": "parked", "waits_for": f"x:{n % 20:02}", "priority": 0} for n in range(2_000))
    store.collection.insert_many(waiting)
    command: Any = next(groups_after(store.context, "x:04", 200))
    explained = store.connection.database.command(
        "explain",
        {"aggregate": command.collection, "pipeline": command.pipeline, "cursor": {}, "hint": command.hint},
        verbosity="executionStats",
    )
    assert store.run(groups_after(store.context, "x:04", 200)) == [f"x:{n:02}" for n in range(5, 20)]
    assert "'totalKeysExamined': 15," in str(explained)
