"""The faults of parents and batches, of paused values of tags, and of fair shares."""

from __future__ import annotations

from typing import Any, Final

from proving.seeded.fault import Faults, answered, without

FAULTS: Final = Faults()
FLOW: Final = "storage/test_flow.py"
VERBS: Final = "tempo/test_flow.py"
PARKED: Final = "storage/test_parked.py"
PAUSING: Final = "tempo/test_pausing.py"
FAIRNESS: Final = "unit/test_fairness.py"


@FAULTS.function("nobody looks again after a child was parked", "mongoq.storage.operations.flow.check:check", FLOW)
def _no_second_look(check: Any, context: Any, children: Any, *, within: bool = False) -> Any:
    return answered(set())


@FAULTS.function(
    "an ending does not see that its task has got children", "mongoq.storage.operations.flow.ending:unawaited", FLOW
)
def _unseen(unawaited: Any, group: Any) -> Any:
    return {}


@FAULTS.function("a child is released by the first of its parents", "mongoq.storage.documents.flow:released", VERBS)
def _released_early(released: Any, keys: Any, now: Any, *, due: bool) -> Any:
    where, update = released(keys, now, due=due)
    return without(where, "after"), update


@FAULTS.function(
    "who adds a member leaves the seal of its batch whole", "mongoq.storage.documents.batching.batches:broken", FLOW
)
def _never_broken(broken: Any, key: str) -> Any:
    where, _ = broken(key)
    return where, {"$set": {"callback.unbroken": True}}


@FAULTS.function(
    "a batch is called back whatever has become of its callback",
    "mongoq.storage.documents.batching.batches:sealed",
    FLOW,
)
def _called_again(sealed: Any, key: str, seal: str) -> Any:
    return without(without(sealed(key, seal), "state"), "callback.seal")


@FAULTS.function(
    "a batch is called back though a member came after the look",
    "mongoq.storage.documents.batching.batches:sealed",
    FLOW,
)
def _called_unsealed(sealed: Any, key: str, seal: str) -> Any:
    return without(sealed(key, seal), "callback.seal")


@FAULTS.function("the sweep forgets the batches", "mongoq.storage.operations.flow.calling:look_at_due", FLOW)
def _forgotten(look_at_due: Any, context: Any) -> Any:
    return answered((0, False))


@FAULTS.function("a crash leaves children behind", "mongoq.storage.operations.flow.release:settle", FLOW)
def _unsettled(settle: Any, context: Any, keys: Any = None) -> Any:
    return settle(context, keys) if keys is not None else answered((0, set()))


@FAULTS.function("members are not kept for the callback", "mongoq.storage.documents.flow:kept", FLOW)
def _not_kept(kept: Any, update: Any, now: Any, keep: Any) -> Any:
    return update


@FAULTS.function("circles are not seen", "mongoq.flow.given:cycle_among", VERBS)
def _no_circles(cycle_among: Any, parents: Any) -> Any:
    return []


@FAULTS.function(
    "claims take tasks whose value of a tag is paused", "mongoq.storage.operations.limits.holding:admit", PAUSING
)
def _unpaused(admit: Any, context: Any, found: Any) -> Any:
    return answered((found, 0))


@FAULTS.function("a resume of a value lets nobody go", "mongoq.storage.operations.limits.holding:let_go", PAUSING)
def _still_paused(let_go: Any, context: Any, target: Any) -> Any:
    return answered(None)


@FAULTS.function("a release that was frozen makes children ready again", "mongoq.storage.documents.flow:parked", PARKED)
def _ready_again(parked: Any, keys: Any, **also: Any) -> Any:
    return {"_id": {"$in": list(keys)}}


@FAULTS.function(
    "a sweep forgets the groups of paused values", "mongoq.storage.operations.limits.parking:groups_after", PARKED
)
def _no_groups(groups_after: Any, context: Any, group: str, most: int) -> Any:
    return answered([])


@FAULTS.function("the oldest get no share", "mongoq.storage.operations.fairness.mixing:mixed", FAIRNESS)
def _unfair(mixed: Any, context: Any, wanted: Any, found: Any, *others: Any) -> Any:
    return answered(found)
