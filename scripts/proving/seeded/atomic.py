"""The faults of the atomic change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from proving.seeded.fault import Faults, answered, without

FAULTS: Final = Faults()


@FAULTS.function(
    "a change without its version gate",
    "mongoq.storage.operations.modify.conflicts:_gone",
    "storage/test_refused_changes.py",
)
def _gone_at_no_version(gone: Any, document: Any, role: Any, ref: Any) -> Any:
    return gone(document, role, ref if document is None else replace(ref, version=document["version"]))


@FAULTS.function("a change without its version gate", "mongoq.storage.documents.filters:unchanged")
def _unchanged_at_any_version(unchanged: Any, *given: Any, **options: Any) -> Any:
    return without(unchanged(*given, **options), "version")


@FAULTS.function(
    "a change of what another holds",
    "mongoq.storage.operations.modify.conflicts:_held_by_another",
    "conformance/test_changes.py",
)
def _held_by_nobody(held_by_another: Any, document: Any, ref: Any, now: Any) -> Any:
    return False


@FAULTS.function(
    "dependencies are only read", "mongoq.storage.documents.updates:depended", "storage/test_concurrent_changes.py"
)
def _depended_without_a_write(depended: Any) -> Any:
    return {"$setOnInsert": depended()["$inc"]}


@FAULTS.function(
    "a change is made again after a lost reply",
    "mongoq.storage.operations.modify.apply:_made_before",
    "storage/test_concurrent_changes.py",
)
def _never_made_before(made_before: Any, context: Any, plan: Any) -> Any:
    return answered(None)


@FAULTS.function(
    "a transaction without the fence of its lease",
    "mongoq.storage.operations.finish:complete_first",
    "storage/sessions/test_enqueueing.py storage/sessions/test_own_transactions.py",
)
def _complete_what_is_lost(complete_first: Any, *given: Any, **options: Any) -> Any:
    from mongoq.core.errors import LeaseLost

    try:
        yield from complete_first(*given, **options)
    except LeaseLost:
        return


@FAULTS.function(
    "what follows is written without the completion",
    "mongoq.storage.operations.finish:_finish_alone",
    "work/test_follow_ups.py",
)
def _finish_what_is_lost(finish_alone: Any, *given: Any, **options: Any) -> Any:
    yield from finish_alone(*given, **options)
    return 1


@FAULTS.function(
    "the completion is written without what follows",
    "mongoq.storage.operations.modify.apply:carry_out",
    "work/test_follow_ups.py",
)
def _carry_out_nothing(carry_out: Any, context: Any, plan: Any) -> Any:
    return carry_out(context, plan) if plan.leaving is None else answered(None)


@FAULTS.function(
    "one collision drops every insertion",
    "mongoq.storage.operations.modify.apply:_free",
    "storage/test_refused_changes.py",
)
def _all_free_or_none(free: Any, insertions: Any, taken: Any) -> Any:
    return [] if taken else free(insertions, taken)


@FAULTS.function(
    "what may be skipped excuses what is missing",
    "mongoq.storage.operations.modify.conflicts:refusal",
    "storage/test_refused_changes.py",
)
def _refusal_unless_skipped(refusal: Any, plan: Any, found: Any, taken: Any) -> Any:
    skipped = {insertion.key for insertion in plan.insertions if insertion.new.on_conflict == "skip"}
    return None if skipped and not taken.keys() - skipped else refusal(plan, found, taken)


@FAULTS.function(
    "what was refused is committed as far as it came",
    "mongoq.storage.drivers.waiting:roll_back",
    "work/test_follow_ups.py",
)
def _commit_instead(abort: Any, session: Any) -> None:
    if session.in_transaction:
        session.commit_transaction()
