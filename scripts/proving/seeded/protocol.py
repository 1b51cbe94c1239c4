"""The faults that break a rule of the protocol, or come close."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any, Final

from proving.seeded.fault import Faults, answered, without

FAULTS: Final = Faults()


@FAULTS.function("no fence", "mongoq.storage.documents.filters:held", "unit/test_claim_replies.py", rule="no fence")
def _held_without_token(held: Any, *given: Any, **options: Any) -> Any:
    return without(held(*given, **options), "token")


@FAULTS.function(
    "a counter as fence",
    "mongoq.storage.operations.claims:new_token",
    "unit/test_claim_replies.py",
    rule="a counter as fence",
)
def _counted_token(new_token: Any) -> Any:
    new_token.count = getattr(new_token, "count", 0) + 1
    return f"{new_token.count:032}"


@FAULTS.function(
    "attempts counted at failure",
    "mongoq.storage.documents.updates:claimed",
    "unit/test_claim_replies.py",
    rule="attempts at failure",
)
def _claimed_without_attempt(claimed: Any, *given: Any, **options: Any) -> Any:
    update = claimed(*given, **options)
    return {**update, "$inc": without(update["$inc"], "attempts")}


@FAULTS.function("attempts counted at failure", "mongoq.storage.documents.updates:ended")
def _ended_with_attempt(ended: Any, *given: Any, **options: Any) -> Any:
    update = ended(*given, **options)
    return {**update, "$inc": {**update["$inc"], "attempts": 1}} if "retries" in update["$inc"] else update


@FAULTS.function("client clock", "mongoq.core.clock:ServerClock.earliest", rule="client clock")
@FAULTS.function("client clock", "mongoq.core.clock:ServerClock.latest", rule="client clock")
@FAULTS.function("client clock", "mongoq.core.clock:ServerClock.now", "unit/test_clock.py", rule="client clock")
def _time_of_this_host(now: Any, clock: Any) -> Any:
    return datetime.fromtimestamp(math.floor(time.time() * 1000) / 1000, UTC)


@FAULTS.function(
    "writes without a majority", "mongoq.storage.drivers.calls:Handles.of", "storage/test_administering.py", rule="w:1"
)
def _handle_without_majority(handle: Any, *given: Any, **options: Any) -> Any:
    made = handle(*given, **options)
    return made.with_options(write_concern=type(made.write_concern)(w=1))


@FAULTS.function(
    "a claim in doubt is forgotten",
    "mongoq.worker.services.claimer:Claimer.look_back",
    "storage/test_doubtful_claims.py",
    rule="forget the token",
)
def _never_look_back(look_back: Any, claimer: Any, now: Any, **options: Any) -> Any:
    return 0


@FAULTS.function(
    "after a lost claim reply nothing is held",
    "mongoq.storage.operations.lost_replies:holders",
    "unit/test_claim_replies.py",
    rule="forget the token",
)
def _holders_of_nothing(holders: Any, context: Any, keys: Any, **options: Any) -> Any:
    return holders(context, [], **options)


@FAULTS.function(
    "what the same worker took is held as well",
    "mongoq.storage.operations.lost_replies:held_under",
    "unit/test_claim_replies.py",
)
def _held_under_any_token(held_under: Any, token: Any, found: Any) -> Any:
    return found


@FAULTS.function(
    "a claim in doubt is looked up without a majority",
    "mongoq.storage.operations.lost_replies:holders",
    "unit/test_claim_replies.py",
)
def _holders_by_one_server(holders: Any, *given: Any, **options: Any) -> Any:
    return holders(*given, **{**options, "majority": False})


@FAULTS.function(
    "unguarded rescue of a batch",
    "mongoq.storage.operations.sweep:_refund",
    "unit/test_sweep_replies.py",
    rule="unguarded rescue",
)
def _refund_without_guard(refund: Any, context: Any, keys: Any, guard: Any, *given: Any) -> Any:
    return refund(context, keys, {}, *given)


@FAULTS.function(
    "unguarded rescue of one",
    "mongoq.storage.operations.sweep:_end",
    "unit/test_sweep_replies.py",
    rule="unguarded rescue",
)
def _end_without_guard(end: Any, context: Any, task: Any, guard: Any, *given: Any) -> Any:
    return end(context, task, {}, *given)


@FAULTS.function(
    "promote without a guard",
    "mongoq.storage.operations.sweep:_promote",
    "storage/test_upkeep.py",
    rule="unguarded promote",
)
def _promote_without_guard(promote: Any, context: Any, keys: Any, guard: Any, *given: Any) -> Any:
    return promote(context, keys, {}, *given)


@FAULTS.function(
    "a rescue leaves last_token",
    "mongoq.storage.documents.updates:ended",
    "storage/test_marks.py",
    rule="rescue leaves last_token",
)
def _ended_with_some_token(ended: Any, verdict: Any, token: Any, *given: Any, **options: Any) -> Any:
    return ended(verdict, token or "", *given, **options)


@FAULTS.function(
    "an ending leaves no last_token",
    "mongoq.storage.documents.updates:ended",
    "storage/test_finishing.py",
    rule="no last_token",
)
def _ended_without_mark(ended: Any, verdict: Any, token: Any, *given: Any, **options: Any) -> Any:
    return ended(verdict, None, *given, **options)


@FAULTS.function(
    "claim without a version guard",
    "mongoq.storage.documents.filters:claimable",
    "unit/test_claim_replies.py",
    rule="no version guard",
)
def _claimable_at_any_version(claimable: Any, *given: Any, **options: Any) -> Any:
    return without(claimable(*given, **options), "version")


@FAULTS.function(
    "the countdown starts at the reply",
    "mongoq.worker.services.claimer:Claimer._take",
    "storage/test_doubtful_claims.py",
    rule="countdown from the reply",
)
def _take_as_if_sent_now(take: Any, claimer: Any, claim: Any, wanted: Any, sent: Any) -> Any:
    from mongoq.core.clock import elapsed

    return take(claimer, claim, wanted, elapsed())


@FAULTS.function(
    "rescue at the lease's end",
    "mongoq.storage.documents.filters:lease_over",
    "storage/test_upkeep.py",
    rule="no wait beyond the lease",
)
def _lease_over_at_once(lease_over: Any, now: Any) -> Any:
    return {**lease_over(now), "lease_until": {"$lte": now}}


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
    return without(held_until(*given, **options), "lease_until")


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
    "mongoq.storage.operations.skip_locked:conflicting",
    "storage/test_skip_locked.py",
)
def _always_conflicting(conflicting: Any, *given: Any) -> Any:
    return answered(True)


@FAULTS.function(
    "every refusal of a follow-up is its own fault",
    "mongoq.worker.services.finisher:_concerns",
    "unit/worker/test_finisher.py",
)
def _concerns_always(concerns: Any, error: Any) -> Any:
    return True


@FAULTS.function(
    "a stale ending takes a missing task for its own",
    "mongoq.storage.operations.lost_replies:_may_be_missing",
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
