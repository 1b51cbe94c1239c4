"""`latency`: from the call of `new` in this process to the start of the handler in an idle worker process.

The write itself is part of it, and both sides read the monotonic clock that all processes of a Linux host share.
A sample begins 50 to 150 ms after the last one's handler started, so that the worker is idle again and in no step
with anything. The limit is the bare driver, by insert_one and a process that waits on a change stream and claims by
find_one_and_update, both at majority. `latency.8.p50` has seven more idle workers.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Sequence

from benchmarks import filling
from benchmarks.fleet import Fleet
from benchmarks.report import Row
from benchmarks.setting import Place, Setting
from benchmarks.worker import Spec

SAMPLES = 200
UNCOUNTED = 5
"""Samples that only warm up."""


def latency(setting: Setting) -> list[Row]:
    """Sample one worker and eight, by turns with the bare driver."""
    samples = setting.count(SAMPLES)
    measured = [
        (of_workers(setting, 1, samples), _bare(setting, samples), of_workers(setting, 8, samples))
        for _ in range(setting.rounds())
    ]
    alone, bare, eight = ([round_[side] for round_ in measured] for side in range(3))
    if not all(bare):
        bare = []
        setting.note("latency has no limit: this server has no change streams")
    return [
        Row("latency.p50", "ms", [percentile(row, 0.5) for row in alone], [percentile(row, 0.5) for row in bare]),
        Row("latency.p99", "ms", [percentile(row, 0.99) for row in alone], [percentile(row, 0.99) for row in bare]),
        Row("latency.8.p50", "ms", [percentile(row, 0.5) for row in eight], [percentile(row, 0.5) for row in bare]),
    ]


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that so many do not exceed; the median where it is the half."""
    if share == 0.5:
        return statistics.median(samples)
    return sorted(samples)[math.ceil(share * len(samples)) - 1]


def of_workers(setting: Setting, size: int, samples: int) -> list[float]:
    """Samples of so many idle workers."""
    with setting.place() as place, Fleet(setting.uri, [Spec(place.queue.namespace, stamp=True)] * size) as fleet:
        fleet.go()
        return sampled(place, fleet, samples)


def sampled(place: Place, fleet: Fleet, samples: int) -> list[float]:
    """Milliseconds from the call of `new` to the start of the handler, for one task after the other."""
    waits = []
    for number in range(UNCOUNTED + samples):
        _pause()
        sent = time.monotonic()
        place.queue.new({"user": number, "template": "welcome"})
        started = fleet.hear()
        if started["number"] != number:
            raise AssertionError(f"task {number} was sent, and {started['number']} started")
        waits.append((started["at"] - sent) * 1000)
    return waits[UNCOUNTED:]


def _bare(setting: Setting, samples: int) -> list[float]:
    with setting.place() as place:
        if place.queue.standalone():
            return []
        made = list(filling.documents(place.tasks, place.queue, UNCOUNTED + samples))
        with Fleet(setting.uri, [Spec(place.queue.namespace, bare=True)]) as fleet:
            fleet.go()
            waits = []
            for number, document in enumerate(made):
                _pause()
                sent = time.monotonic()
                place.tasks.insert_one(document)
                held = fleet.hear()
                if held["number"] != number:
                    raise AssertionError(f"task {number} was sent, and {held['number']} claimed")
                waits.append((held["at"] - sent) * 1000)
            return waits[UNCOUNTED:]


def _pause() -> None:
    time.sleep(random.uniform(0.05, 0.15))  # noqa: S311 -- no secret
