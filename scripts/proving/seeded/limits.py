"""The faults of limits."""

from __future__ import annotations

from typing import Any, Final

from proving.seeded.fault import Faults, answered

FAULTS: Final = Faults()
STORED: Final = "storage/test_limits.py"
VERBS: Final = "tempo/test_limits.py"
RATES: Final = "unit/test_rates.py"
CHAINS: Final = "unit/worker/test_chains.py"
SHARED: Final = "storage/test_chains.py"


@FAULTS.function("nobody looks again after tasks were parked", "mongoq.storage.operations.limits.parking:look", STORED)
def _no_second_look(look: Any, context: Any, groups: Any, ahead: float = 0.0) -> Any:
    return answered(0)


@FAULTS.function("an ending lets nobody go", "mongoq.storage.operations.limits.parking:follow", STORED)
def _no_follow(follow: Any, context: Any, freed: Any, ahead: float = 0.0) -> Any:
    return answered(0)


@FAULTS.function("slots of other groups are given out", "mongoq.storage.documents.limiting.slots:slot", VERBS)
def _shared_slot(slot: Any, group: str, number: int) -> Any:
    return slot(group.partition(":")[0], number)


@FAULTS.function("after a lowering the slots above do not count", "mongoq.storage.operations.limits.room:_open", VERBS)
def _forgets_lowering(open_: Any, most: int, used: Any) -> Any:
    return most


@FAULTS.function("a line goes on behind a task that waits", "mongoq.storage.operations.limits.room:heads", VERBS)
def _no_heads(heads: Any, context: Any, groups: Any) -> Any:
    return answered({})


@FAULTS.function("a task is parked for good", "mongoq.storage.operations.limits.parking:release", VERBS)
def _never_released(release: Any, context: Any, wanted: Any, *, coming: bool = True) -> Any:
    return answered(0)


@FAULTS.function("a start is told twice", "mongoq.storage.documents.limiting.rates:_next", RATES)
def _told_twice(next_: Any, document: Any) -> Any:
    return 0


@FAULTS.function("starts that have passed are given back", "mongoq.storage.documents.limiting.rates:given_back", RATES)
def _back_in_time(given_back: Any, document: Any, starts: Any, now: int) -> Any:
    later = [one._replace(at=max(one.at, now + 1)) for one in starts]
    return given_back(document, later, now)


@FAULTS.function("an interval is rounded down", "mongoq.storage.documents.limiting.rates:interval", RATES)
def _floored(interval: Any, limit: Any) -> Any:
    return int(limit.per.total_seconds() * 10**9 // limit.rate)


@FAULTS.function("the sweep forgets limits", "mongoq.storage.operations.sweep:look_at_limits", STORED)
def _unswept(look_at_limits: Any, context: Any, skip_keys: Any = ()) -> Any:
    from mongoq.storage.operations.sweep import Swept

    return answered(Swept(0, None))


@FAULTS.function("whoever is in a chain starts at once", "mongoq.worker.limits.chains:Chains.begin", CHAINS)
def _at_once(begin: Any, self: Any, attempts: Any) -> Any:
    begin(self, attempts)
    return list(attempts), []


@FAULTS.function("a slot is given back under a follower that runs", "mongoq.worker.limits.chains:Chain.spare", CHAINS)
def _bare(spare: Any, self: Any) -> Any:
    back = spare(self)
    if self.closing:
        back += self.holders
        self.holders.clear()
    return back


@FAULTS.function("followers whose slot another has taken stay", "mongoq.worker.limits.chains:Chain.spare", CHAINS)
def _stay(spare: Any, self: Any) -> Any:
    return spare(self) if self.closing else []


@FAULTS.function(
    "those claimed for the slot of another look like all others",
    "mongoq.storage.documents.limiting.slots:shared",
    SHARED,
)
def _unmarked(shared: Any, update: Any) -> Any:
    return {**shared(update), "$set": update["$set"]}


@FAULTS.function(
    "a task with a lease of its own shares a slot",
    "mongoq.storage.operations.limits.allotting:may_share",
    "unit/test_allotting.py",
)
def _any_shares(may_share: Any, document: Any) -> Any:
    return True


@FAULTS.function("nobody in a chain has its slot", "mongoq.storage.operations.limits.allotting:allot", SHARED)
def _unheld(allot: Any, found: Any, free: Any, heads: Any, terms: Any) -> Any:
    told = allot(found, free, heads, terms)
    several = terms.in_turn > 1
    grants = {key: one._replace(slots=(), shares=True) if several else one for key, one in told.grants.items()}
    return type(told)(grants, told.full, told.left)


@FAULTS.function("a slot that came free is given to nobody", "mongoq.storage.operations.limits.serving:_round", SHARED)
def _kept_back(round_: Any, context: Any, wanted: Any, free: Any, *others: Any, known: bool) -> Any:
    from mongoq.storage.operations.claiming.claim import Claim

    return answered(Claim([], more=False, lost=0))


@FAULTS.function(
    "what a worker has no room for is let go by nobody",
    "mongoq.worker.limits.freed:Freed.take",
    "unit/worker/test_freed.py",
)
def _dropped(take: Any, self: Any, room: int, slots_at_most: int) -> Any:
    used, rest = take(self, room, slots_at_most)
    return used, type(rest)({}, {})
