"""Which of many queues have work: by a skip scan, on a server."""

from __future__ import annotations

from typing import Any

import pytest

from mongoq.core.requests import ClaimRequest
from mongoq.storage.commands import Aggregate
from mongoq.storage.operations.claiming.first import claim_one
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.namespace.heads import NARROW, heads


@pytest.fixture
def filled(store: Any) -> Any:
    """200 queues with 20 tasks each, of priorities 0 to 19 and in each queue another one above them."""
    now = store.clock.now()
    store.collection.insert_many(
        {
            "_id": f"{queue}-{number}",
            "queue": f"q{queue:04}",
            "state": "ready",
            "priority": number or 100 + queue,
            "run_at": now,
            "tags": {},
            "version": 1,
        }
        for queue in range(200)
        for number in range(20)
    )
    return store


@pytest.mark.parametrize("names", [300, NARROW + 1])
def test_the_heads_are_those_of_the_queues_that_have_work_the_most_urgent_first(filled: Any, names: int) -> None:
    queues = [f"q{number:04}" for number in range(50, 50 + names)]
    filled.collection.insert_one({"_id": "x", "queue": "q0099b", "state": "ready", "priority": 999, "version": 1})
    found = filled.run(heads(filled.context, queues))
    assert [(head.queue, head.priority) for head in found] == [(f"q{n:04}", 100 + n) for n in range(199, 49, -1)]


@pytest.mark.parametrize("names", [300, NARROW + 1])
def test_a_look_at_the_heads_examines_a_key_or_two_for_each_queue(filled: Any, names: int) -> None:
    command: Any = next(heads(filled.context, [f"q{number:04}" for number in range(names)]))
    assert isinstance(command, Aggregate)
    asked: dict[str, Any] = {"pipeline": list(command.pipeline), "cursor": {}, "hint": command.hint}
    whole = {"aggregate": command.collection, **asked}
    told = filled.connection.database.command("explain", whole, verbosity="executionStats")
    stats = told.get("executionStats") or told["stages"][0]["$cursor"]["executionStats"]
    assert stats["totalKeysExamined"] <= 2 * 200 + 1
    assert stats["totalDocsExamined"] == 0


def test_what_other_programs_wrote_does_not_stop_a_look(filled: Any) -> None:
    odd: list[dict[str, Any]] = [{"priority": "high"}, {"priority": float("nan")}, {}, {"run_at": "soon"}]
    shared = {"state": "ready", "version": 1}
    filled.collection.insert_many({"_id": f"odd-{n}", "queue": f"q05{n}", **shared, **one} for n, one in enumerate(odd))
    found = filled.run(heads(filled.context, [f"q05{n}" for n in range(len(odd))]))
    assert len(found) == len(odd)


def test_a_claim_takes_nothing_below_the_least_priority(filled: Any) -> None:
    queues = tuple(f"q{number:04}" for number in range(3))
    request = ClaimRequest(queues, "w", 100, least=18)
    claimed = filled.run(claim_many(filled.context, request, poison_budget=16))
    assert sorted(task.priority for task in claimed.tasks) == [18, 18, 18, 19, 19, 19, 100, 101, 102]
    assert filled.run(claim_one(filled.context, ClaimRequest(queues, "w", least=18))) is None
