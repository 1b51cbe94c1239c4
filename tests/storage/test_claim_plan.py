from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.requests import ClaimRequest
from mongoq.storage.operations.claiming.many import claim_many

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
