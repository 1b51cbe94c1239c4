"""The faults of limits."""

from __future__ import annotations

from typing import Any, Final

from proving.seeded.fault import Faults, answered

FAULTS: Final = Faults()
STORED: Final = "storage/test_limits.py"
VERBS: Final = "tempo/test_limits.py"
RATES: Final = "unit/test_rates.py"


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
