"""The faults of schedules."""

from __future__ import annotations

from typing import Any, Final

from proving.seeded.fault import Faults, answered, without

FAULTS: Final = Faults()
TICKING: Final = "storage/test_ticking.py"


@FAULTS.function(
    "a tick is launched whoever else has launched it",
    "mongoq.storage.documents.scheduling.schedules:at_version",
    TICKING,
)
def _at_any_version(at_version: Any, name: str, version: Any) -> Any:
    return without(at_version(name, version), "version")


@FAULTS.function(
    "a schedule moves on before its tick is enqueued",
    "mongoq.storage.operations.schedules.launch:_launched",
    TICKING,
)
def _launched_last(launched: Any, context: Any, drafts: Any, launching: Any) -> Any:
    from mongoq.storage.commands import Bulk, Changing, find
    from mongoq.storage.documents.scheduling import launches, schedules

    marked = yield from find(context.schedules, {"launch": {"$exists": True}})
    for document in marked:
        one = launches.launch_of(document)
        if one is not None:
            yield Bulk(context.schedules, [Changing({"_id": document["_id"]}, schedules.ticked(one.after))])
    return (yield from launched(context, drafts, launching))


@FAULTS.function(
    "a draft that came too late is left behind", "mongoq.storage.operations.schedules.launch:_tidy", TICKING
)
def _left_behind(tidy: Any, context: Any, plans: Any) -> Any:
    return answered(None)


@FAULTS.function(
    "a draft of another process is not taken over", "mongoq.storage.documents.scheduling.launches:draft_of", TICKING
)
def _never_taken_over(draft_of: Any, document: Any) -> Any:
    return None


@FAULTS.function("ticks know no time zone", "mongoq.scheduling.timing:zone_of", "unit/test_timing.py")
def _no_zone(zone_of: Any, name: str) -> Any:
    return zone_of("UTC")
