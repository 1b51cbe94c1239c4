"""The faults of single storage operations: what is found, what is written, what is decided about a task."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, Final

from proving.seeded.fault import Faults, answered, without

FAULTS: Final = Faults()


@FAULTS.function(
    "claim without a state guard", "mongoq.storage.documents.filters:claimable", "unit/test_claim_replies.py"
)
def _claimable_in_any_state(claimable: Any, *given: Any, **options: Any) -> Any:
    return without(claimable(*given, **options), "state")


@FAULTS.function("a renewal bumps the version", "mongoq.storage.documents.updates:renewed", "storage/test_finishing.py")
def _renewed_as_a_version(renewed: Any, *given: Any, **options: Any) -> Any:
    return {**renewed(*given, **options), "$inc": {"version": 1}}


@FAULTS.function(
    "a cancel request bumps the version", "mongoq.storage.documents.updates:cancel_requested", "storage/test_marks.py"
)
def _cancel_requested_as_a_version(cancel_requested: Any) -> Any:
    return {**cancel_requested(), "$inc": {"version": 1}}


@FAULTS.constant(
    "the server deletes running tasks when their lease ends",
    "mongoq.storage.documents.indexes:TASKS",
    "storage/test_marks.py",
)
def _purged_by_lease(indexes: Any) -> Any:
    return {**indexes, "purge": ([("hold.until", 1)], indexes["purge"][1])}


@FAULTS.function("a hold outlives its ending", "mongoq.storage.documents.updates:ended", "storage/test_finishing.py")
def _ended_with_token(ended: Any, *given: Any, **options: Any) -> Any:
    update = ended(*given, **options)
    return {**update, "$unset": without(update["$unset"], "hold.token")}


@FAULTS.function(
    "what was deleted counts as lost",
    "mongoq.storage.operations.recovery.lost_replies:_may_be_missing",
    "unit/test_finish_replies.py",
)
def _none_may_be_missing(may_be_missing: Any, ending: Any) -> Any:
    return False


@FAULTS.function(
    "a retry overrides a cancel request",
    "mongoq.storage.operations.on_conflict.again:unless_cancelled",
    "unit/test_finish_replies.py",
)
def _though_cancelled(unless_cancelled: Any, verdict: Any) -> Any:
    return {}


@FAULTS.function(
    "finished tasks are kept for ever", "mongoq.storage.documents.updates:ended", "storage/test_finishing.py"
)
def _ended_for_ever(ended: Any, *given: Any, **options: Any) -> Any:
    update = ended(*given, **options)
    return {**update, "$set": {name: value for name, value in update["$set"].items() if name != "purge_at"}}


def _older_first(order: Any) -> Any:
    names = [name for name, _ in order]
    priority, run_at = names.index("priority"), names.index("run_at")
    turned = list(order)
    turned[priority], turned[run_at] = order[run_at], order[priority]
    return turned


@FAULTS.constant(
    "the older before the more urgent", "mongoq.storage.documents.indexes:URGENCY", "storage/test_claiming.py"
)
def _urgency_by_age(order: Any) -> Any:
    return _older_first(order)


@FAULTS.constant("the older before the more urgent", "mongoq.storage.documents.indexes:TASKS")
def _index_by_age(indexes: Any) -> Any:
    keys, options = indexes["claim"]
    return {**indexes, "claim": (_older_first(keys), options)}


@FAULTS.function(
    "an expired task runs", "mongoq.storage.operations.claiming.candidates:by_age", "unit/test_claim_replies.py"
)
def _none_too_old(by_age: Any, found: Any, now: Any) -> Any:
    return list(found), []


@FAULTS.function(
    "a delayed task is ready at once", "mongoq.storage.documents.encoding:model_document", "unit/test_documents.py"
)
def _document_of_a_ready_task(model_document: Any, *given: Any, **options: Any) -> Any:
    return {**model_document(*given, **options), "state": "ready"}


@FAULTS.function(
    "no more is promoted than one batch in a while", "mongoq.storage.operations.sweep:_swept", "storage/test_upkeep.py"
)
def _swept_for_a_while(swept: Any, done: Any, found: Any) -> Any:
    result = swept(done, found)
    return result._replace(next=None) if result.moved else result


@FAULTS.function("poison is never charged", "mongoq.core.judging.verdict:_judge_lost", "unit/test_verdict.py")
def _lost_among_many(judge_lost: Any, task: Any, *given: Any) -> Any:
    return judge_lost(replace(task, lost_leases=0), *given)


@FAULTS.constant("poison is never given up", "mongoq.core.judging.verdict:MOST_LOST_LEASES", "unit/test_verdict.py")
def _any_number_of_leases(most: Any) -> Any:
    return sys.maxsize


@FAULTS.function("retries are not counted", "mongoq.core.judging.verdict:_exhausted", "unit/test_verdict.py")
def _never_exhausted(exhausted: Any, task: Any, policy: Any) -> Any:
    return False


@FAULTS.function("the same, one too many", "mongoq.core.judging.verdict:_exhausted", "unit/test_verdict.py")
def _exhausted_by_one_more(exhausted: Any, task: Any, policy: Any) -> Any:
    if policy.max_retries is not None:
        policy = replace(policy, max_retries=policy.max_retries + 1)
    return exhausted(task, policy)


@FAULTS.function(
    "a task that is found twice is claimed twice",
    "mongoq.storage.operations.claiming.candidates:_once",
    "unit/test_claim_replies.py",
)
def _as_often_as_found(once: Any, found: Any) -> Any:
    return list(found)


@FAULTS.function("a rerun goes on counting", "mongoq.storage.documents.updates:rerun", "storage/test_rerunning.py")
def _rerun_with_old_count(rerun: Any, *given: Any, **options: Any) -> Any:
    (first, *rest) = rerun(*given, **options)
    return [{"$set": without(first["$set"], "uncharged")}, *rest]


@FAULTS.function(
    "what is no task is claimed",
    "mongoq.storage.operations.recovery.malformed:well_formed",
    "storage/test_foreign_documents.py",
)
def _all_well_formed(well_formed: Any, context: Any, found: Any) -> Any:
    return answered(found)
