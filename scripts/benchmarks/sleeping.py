"""`fleet.idle`: what idle processes cost the server. `fleet.one`: tasks that come to them.

Commands are counted in each process by the driver's own listener; the median process is a sleeper, `all` is the mean
with those that watch. The server's CPU is that of the mongod without what it uses alone. The limits of both are the
budget of a sleeper; that of an insert in bulk is the same insert with no process at all.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks import filling
from benchmarks.fleet import Fleet
from benchmarks.latency import UNCOUNTED, percentile, sampled
from benchmarks.report import Row
from benchmarks.server import cpu_seconds
from benchmarks.setting import Place, Setting
from benchmarks.worker import Spec

SETTLING = 60.0
"""Seconds after which the polls of sleepers are as rare as they get."""
COMMANDS, CPU, CLAIMS, ALL_WORK = 0.3, 0.05, 3.0, 300.0
INSERTS = 50_000
EACH = 10
"""Tasks for each process, all at once."""
NAP = 2.0


def fleet_idle(setting: Setting) -> list[Row]:
    """Watch fleets of every size."""
    rows = []
    for size in setting.sizes(64, 256):
        measured = [_idle(setting, size) for _ in range(setting.rounds(1))]
        median, mean, cpu, insert, alone = zip(*measured, strict=True)
        name = f"fleet.idle.{size}"
        rows += [
            Row(f"{name}.commands", "1/s", median, [COMMANDS] * len(measured)),
            Row(f"{name}.all", "1/s", mean, [COMMANDS] * len(measured)),
            Row(f"{name}.cpu", "%", cpu, [CPU] * len(measured)),
            Row(f"{name}.insert", "µs", insert, alone),
        ]
    return rows


def fleet_one(setting: Setting) -> list[Row]:
    """Give a fleet one task at a time, and then one burst."""
    rows = []
    for size in setting.sizes(64):
        measured = [_woken(setting, size) for _ in range(setting.rounds(3))]
        claims, many, one, burst = zip(*measured, strict=True)
        rows += [
            Row("fleet.one.claims", "claims", claims, [CLAIMS] * len(measured)),
            Row("fleet.one.p50", "ms", many, one),
            Row("fleet.one.burst", "ms", burst, [ALL_WORK] * len(measured)),
        ]
    return rows


def _idle(setting: Setting, size: int) -> tuple[float, float, float, float, float]:
    """Commands/s of the median process and of the mean, the server's CPU in % for each, inserts with and without."""
    seconds = setting.duration(60)
    base = _busy(setting, lambda: time.sleep(min(10, seconds))) / min(10, seconds)
    alone = _insert(setting, base)
    with setting.place() as place, Fleet(setting.uri, [Spec(place.queue.namespace, watch=True)] * size) as fleet:
        place.queue.new()  # they have worked once, as any worker has
        fleet.go()
        time.sleep(min(SETTLING, seconds))
        began, before = time.monotonic(), _commands(fleet.all_facts())
        spent = _busy(setting, lambda: time.sleep(seconds)) / seconds
        took, after = time.monotonic() - began, _commands(fleet.all_facts())
        insert = _insert(setting, spent)
    sent = [(after[process] - before[process]) / took for process in before]
    return statistics.median(sent), statistics.mean(sent), 100 * max(0.0, spent - base) / size, insert, alone


def _commands(facts: list[dict[str, Any]]) -> dict[int, int]:
    return {told["process"]: told["commands"] for told in facts}


def _busy(setting: Setting, wait: Callable[[], object]) -> float:
    """The CPU seconds of the mongod meanwhile."""
    before = cpu_seconds(setting.client)
    wait()
    return cpu_seconds(setting.client) - before


def _insert(setting: Setting, idle: float) -> float:
    """The mongod's CPU time for one task of an insert in bulk, into a namespace without workers; in µs.

    `idle` is what the server uses meanwhile for all else, in CPU seconds a second.
    """
    count = setting.count(INSERTS)
    with setting.place() as place:
        made = list(filling.documents(place.tasks, place.queue, count))
        chunks = [made[first : first + 1_000] for first in range(0, count, 1_000)]
        began = time.monotonic()
        spent = _busy(setting, lambda: [place.tasks.insert_many(chunk) for chunk in chunks])
        took = time.monotonic() - began
    return max(0.0, spent - idle * took) / count * 1e6


def _woken(setting: Setting, size: int) -> tuple[float, float, float, float]:
    """Claims for one task, the median start in ms of it and of one with a single worker, and the start of a burst."""
    samples, settling = setting.count(50), min(SETTLING, setting.duration(15))
    with setting.place() as place, Fleet(setting.uri, [_stamping(place)]) as fleet:
        fleet.go()
        one = percentile(sampled(place, fleet, samples), 0.5)
    with setting.place() as place, Fleet(setting.uri, [_stamping(place)] * size) as fleet:
        fleet.go()
        time.sleep(settling)
        burst = _burst(place, fleet, size)  # first: who has met quick handlers claims ahead for them
        time.sleep(NAP + settling)
        _claims(fleet)
        many = percentile(sampled(place, fleet, samples), 0.5)
        return _claims(fleet) / (UNCOUNTED + samples), many, one, burst


def _stamping(place: Place) -> Spec:
    return Spec(place.queue.namespace, stamp=True, time_claims=True, workers=EACH)


def _claims(fleet: Fleet) -> int:
    """How many claims were tried since this was last asked."""
    return sum(len(told["claims_took"]) for told in fleet.all_facts())


def _burst(place: Place, fleet: Fleet, size: int) -> float:
    """Milliseconds from the call of `new_many` until every process of a fleet works."""
    sent = time.monotonic()
    working: set[int] = set()
    place.queue.new_many([{**tags, "nap": NAP} for tags in filling.tags(EACH * size)])
    all_work = sent
    for _ in range(EACH * size):
        started = fleet.hear()
        if started["process"] not in working:
            working.add(started["process"])
            all_work = started["at"]
    if len(working) < size:
        raise AssertionError(f"{len(working)} of {size} processes worked")
    return float((all_work - sent) * 1000)
