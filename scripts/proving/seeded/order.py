"""The faults of time and order: what arrives late, comes early, or is told of what may be forgotten."""

from __future__ import annotations

from typing import Any, Final

from proving.seeded.fault import Faults, answered, without

FAULTS: Final = Faults()


@FAULTS.function(
    "a lease goes back",
    "mongoq.storage.documents.updates:renewed",
    "storage/test_renewals.py",
    rule="a lease goes back",
)
def _renewed_to_any_end(renewed: Any, *given: Any, **options: Any) -> Any:
    return {"$set": renewed(*given, **options)["$max"]}


@FAULTS.function(
    "a lease is brought back whatever its end",
    "mongoq.storage.documents.filters:held_until",
    "storage/test_renewals.py",
    rule="a lease goes back",
)
def _held_until_any_end(held_until: Any, *given: Any, **options: Any) -> Any:
    return without(held_until(*given, **options), "hold.until")


@FAULTS.function(
    "a cancel request reaches any claim",
    "mongoq.storage.documents.filters:unasked_since",
    "storage/test_renewals.py",
)
def _unasked_in_any_claim(unasked_since: Any, keys: Any, version: Any) -> Any:
    return unasked_since(keys, None)


@FAULTS.function(
    "a rerun keeps the cancel request", "mongoq.storage.documents.updates:rerun", "storage/test_rerunning.py"
)
def _rerun_with_cancel_request(rerun: Any, *given: Any, **options: Any) -> Any:
    written, removed = rerun(*given, **options)
    return [written, {"$unset": [name for name in removed["$unset"] if name != "cancel_requested"]}]


@FAULTS.function(
    "an ending overlooks a request for one more run",
    "mongoq.storage.operations.on_conflict.again:ends",
    "storage/test_on_conflict.py",
)
def _ends_whatever_was_asked(_ends: Any, _verdict: Any) -> bool:
    return False


@FAULTS.function(
    "a late report takes progress back", "mongoq.storage.documents.progress:older", "storage/test_progress.py"
)
def _older_never(_older: Any, *_given: Any) -> Any:
    return {}


@FAULTS.function(
    "what is due is so by the middle of the clock", "mongoq.core.clock:ServerClock.earliest", "unit/test_clock.py"
)
def _earliest_by_the_middle(earliest: Any, clock: Any) -> Any:
    return clock.now()


@FAULTS.function(
    "a delay counts from the least time", "mongoq.storage.documents.updates:later", "storage/test_cautious_clock.py"
)
def _later_than_the_least(later: Any, earliest: Any, latest: Any, delay: Any) -> Any:
    return earliest + delay


@FAULTS.function(
    "what takes long is held by a transaction",
    "mongoq.storage.operations.recovery.skip_locked:conflicting",
    "storage/test_skip_locked.py",
)
def _always_conflicting(conflicting: Any, *given: Any) -> Any:
    return answered(True)


@FAULTS.function(
    "every refusal of a follow-up is its own fault",
    "mongoq.worker.verdicts:concerns_content",
    "unit/worker/test_finisher.py",
)
def _concerns_always(concerns: Any, error: Any) -> Any:
    return True


@FAULTS.function(
    "a stale ending takes a missing task for its own",
    "mongoq.storage.operations.recovery.lost_replies:_may_be_missing",
    "storage/test_finishing.py",
)
def _may_be_missing_however_late(may_be_missing: Any, ending: Any) -> Any:
    return may_be_missing(ending._replace(late=False))


@FAULTS.function(
    "a server without sessions is a wrong URI",
    "mongoq.storage.drivers.errors:_without_sessions",
    "unit/test_failures.py",
)
def _never_without_sessions(without_sessions: Any, error: Any) -> Any:
    return False


@FAULTS.function(
    "an answer that the set may forget", "mongoq.storage.operations.queries:get", "work/test_waiting_for.py"
)
def _get_by_one_server(get: Any, context: Any, key: Any, **options: Any) -> Any:
    return get(context, key)


@FAULTS.function(
    "a stopped worker leaves its handlers' transactions open",
    "mongoq.worker.task_transaction:abort_open",
    "work/test_own_transaction.py",
)
def _leave_transactions(abort_open: Any, *given: Any) -> None:
    return None


@FAULTS.function(
    "connections outlive their user",
    "mongoq.storage.drivers.authentication:pools_of",
    "faults/test_operators.py",
)
def _no_pools(pools_of: Any, client: Any) -> Any:
    return []
