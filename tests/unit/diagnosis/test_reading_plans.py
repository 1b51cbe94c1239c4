"""What a diagnosis reads of plans and indexes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq import StorageUnavailable
from mongoq.diagnosis.facts import Plan
from mongoq.diagnosis.registry import judge
from mongoq.storage.asking import Ask
from mongoq.storage.commands import Find
from mongoq.storage.context import Context
from mongoq.storage.control import ListIndexes
from mongoq.storage.documents import indexes
from mongoq.storage.operations.examining import plans
from tests.unit.diagnosis.answers import NOW, Reply, run, scripted

Answer = Callable[[Any], Reply]
PLAIN = {"queryPlanner": {"winningPlan": {"stage": "FETCH", "inputStage": {"stage": "IXSCAN", "indexName": "claim"}}}}
NEWER = {"queryPlanner": {"winningPlan": {"queryPlan": PLAIN["queryPlanner"]["winningPlan"], "slotBasedPlan": {}}}}
SHARDS = {"queryPlanner": {"winningPlan": {"stage": "SINGLE_SHARD", "shards": [PLAIN["queryPlanner"]]}}}
SCAN = {"queryPlanner": {"winningPlan": {"stage": "SORT", "inputStage": {"stage": "COLLSCAN"}}}}
RUN = {"totalKeysExamined": 7, "totalDocsExamined": 6, "nReturned": 5, "executionTimeMillis": 1_500}


@pytest.mark.parametrize("reply", [PLAIN, NEWER, SHARDS])
def test_a_plan_is_read_in_whatever_shape_the_server_explains_it(
    make_context: Callable[..., Context], reply: dict[str, Any]
) -> None:
    found = run(plans.plans(make_context(), ["mail"], []), scripted(explain=reply | {"executionStats": RUN}))
    first = found.plans[0]
    assert (first.query, first.used) == ("claims of mail", ("claim",))
    assert (first.keys, first.documents, first.returned) == (7, 6, 5)
    assert first.took == timedelta(seconds=1.5)
    assert "IXSCAN" in first.stages


def test_plans_that_scan_or_do_not_end_are_told(make_context: Callable[..., Context]) -> None:
    scanned = run(plans.plans(make_context(), ["mail"], ["welcome"]), scripted(explain=SCAN))
    assert {one.check for one in judge(scanned).findings} == {"query.scan"}
    assert [one.query for one in scanned.plans][:2] == ["claims of mail", "claims of mail by name"]
    endless = run(plans.plans(make_context(), ["mail"], []), scripted(explain=StorageUnavailable("slow", code=50)))
    assert {one.check for one in judge(endless).findings} == {"query.slow"}
    assert endless.plans[0] == Plan("claims of mail", "claim", ended=False)


def test_explained_queries_are_those_of_few_queues_and_bounded(make_context: Callable[..., Context]) -> None:
    asked: list[Ask] = []

    def answer(command: Ask) -> Any:
        asked.append(command)
        return PLAIN

    run(plans.plans(make_context(), [f"queue-{number}" for number in range(10_000)], ["welcome"]), answer)
    assert len(asked) < 12
    assert all(one.command["explain"]["limit"] == 100 for one in asked)
    assert all(one.timeout == timedelta(seconds=2) for one in asked)


def test_indexes_that_are_not_mongoq_s_tell_how_often_they_were_used(make_context: Callable[..., Context]) -> None:
    own = {name: {"key": keys, **options} for name, (keys, options) in indexes.TASKS.items()}
    seen = {"seen": {"key": [("seen_at", 1)], "expireAfterSeconds": 60}}
    uses = [{"name": "mine", "accesses": {"ops": 0, "since": NOW - timedelta(days=3)}}]

    def answer(asked: Any) -> Any:
        if isinstance(asked, ListIndexes):
            return seen if asked.collection.endswith("workers") else own | {"mine": {"key": [("tags.a", 1)]}}
        if isinstance(asked, Ask):
            return {"cursor": {"firstBatch": uses}}
        return [] if isinstance(asked, Find) else None

    found = run(plans.look_at_indexes(make_context(), "shop", named=False), answer)
    assert found.missing == ()
    assert [one.check for one in judge(found).findings] == ["index.unused"]
