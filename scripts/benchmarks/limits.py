"""`limits`: what limits cost, and how exactly they are kept.

`limits.idle`: no-op tasks under a limit that never binds, beside the same under none. `limits.groups`: 8 processes,
50 groups of which 2 tasks run at once, tasks of 1 ms, beside the same under no limit with 100 handlers. `limits.head`:
the drain of tasks behind 100,000 parked ones, beside the same alone; `limits.park` is what it took to park each of
these. `limits.rate`: 8 processes at 1,000 starts a second: the mean, and the most starts that handlers saw in any
second, beside the rate.
"""

from __future__ import annotations

import time
from functools import partial

from benchmarks.drain import ours
from benchmarks.fleet import Fleet
from benchmarks.report import Row, rounds
from benchmarks.setting import Place, Setting
from benchmarks.worker import Spec

PROCESSES = 8
GROUPS = 50
HANDLERS = 13
RATE = 1_000
SECONDS = 30.0
NAP = 0.001


def limits(setting: Setting) -> list[Row]:
    """Measure each side in a namespace of its own."""
    repeat = setting.rounds()
    idle, without = rounds(repeat, partial(_idle, setting, limited=True), partial(_idle, setting, limited=False))
    grouped, free = rounds(repeat, partial(_groups, setting, limited=True), partial(_groups, setting, limited=False))
    parking: list[float] = []
    behind, alone = rounds(repeat, partial(_head, setting, parking), partial(_head, setting, None))
    mean, most = zip(*(_rate(setting) for _ in range(repeat)), strict=True)
    return [
        Row("limits.idle", "tasks/s", idle, without),
        Row("limits.groups", "tasks/s", grouped, free),
        Row("limits.head", "tasks/s", behind, alone),
        Row("limits.park", "ms", parking),
        Row("limits.rate.mean", "tasks/s", mean, [float(RATE)] * repeat),
        Row("limits.rate.most", "tasks/s", most, [float(RATE)] * repeat),
    ]


def _idle(setting: Setting, *, limited: bool) -> float:
    with setting.place() as place:
        if limited:
            place.queue.limit("wide", concurrency=10_000)
        place.fill(setting.count(20_000), **({"limits": {"wide": 1}} if limited else {}))
        return ours(place)


def _groups(setting: Setting, *, limited: bool) -> float:
    count = setting.count(20_000)
    with setting.place() as place:
        if limited:
            place.queue.limit("group", concurrency=2, by="group")
        tags = ({"user": number, "group": number % GROUPS, "nap": NAP} for number in range(count))
        place.queue.new_many(tags, limits=["group"] if limited else [])
        starts = _starts(setting, place, count)
        return count / (starts[-1] - starts[0])


def _starts(setting: Setting, place: Place, count: int) -> list[float]:
    """When each of so many tasks started, in a fleet."""
    spec = Spec(place.queue.namespace, stamp=True, workers=HANDLERS)
    with Fleet(setting.uri, [spec] * PROCESSES) as fleet:
        fleet.go()
        return sorted(fleet.hear()["at"] for _ in range(count))


def _head(setting: Setting, parking: list[float] | None) -> float:
    with setting.place() as place:
        queue, count = place.queue, setting.count(20_000)
        if parking is not None:
            queue.limit("full", concurrency=1)
            place.fill(5 * count, limits={"full": 1}, priority=1)
            held = queue.claim(lease=3600)
            began = time.perf_counter()
            while queue.count(state="parked") < 5 * count - 1:
                queue.claim_many(1_000)
            parking.append((time.perf_counter() - began) / (5 * count) * 1e3)
            assert held is not None
        place.fill(count)
        began = time.perf_counter()
        queue.run(lambda _: None, burst=True)
        return count / (time.perf_counter() - began)


def _rate(setting: Setting) -> tuple[float, float]:
    with setting.place() as place:
        place.queue.limit("rate", rate=RATE)
        count = int(RATE * (setting.seconds or SECONDS))
        place.queue.new_many(({"user": number} for number in range(count)), limits=["rate"])
        starts = _starts(setting, place, count)
    first = most = 0
    for last, at in enumerate(starts):
        while starts[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return (count - 1) / (starts[-1] - starts[0]), most
