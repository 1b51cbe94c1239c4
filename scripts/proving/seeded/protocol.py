"""The faults that break a rule of the protocol, or come close."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any, Final

from proving.seeded.fault import Faults, without

FAULTS: Final = Faults()


@FAULTS.function("no fence", "mongoq.storage.documents.filters:held", "unit/test_claim_replies.py", rule="no fence")
def _held_without_token(held: Any, *given: Any, **options: Any) -> Any:
    return without(held(*given, **options), "hold.token")


@FAULTS.function(
    "a counter as fence",
    "mongoq.storage.operations.claiming.claim:new_token",
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
    "writes without a majority",
    "mongoq.storage.drivers.handles:Handles.of",
    "storage/test_administering.py",
    rule="w:1",
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
    "mongoq.storage.operations.recovery.lost_replies:holders",
    "unit/test_claim_replies.py",
    rule="forget the token",
)
def _holders_of_nothing(holders: Any, context: Any, keys: Any, **options: Any) -> Any:
    return holders(context, [], **options)


@FAULTS.function(
    "what the same worker took is held as well",
    "mongoq.storage.operations.recovery.lost_replies:held_under",
    "unit/test_claim_replies.py",
)
def _held_under_any_token(held_under: Any, token: Any, found: Any) -> Any:
    return found


@FAULTS.function(
    "a claim in doubt is looked up without a majority",
    "mongoq.storage.operations.recovery.lost_replies:holders",
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
    return {**lease_over(now), "hold.until": {"$lte": now}}
