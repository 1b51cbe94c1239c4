"""`contention`: the drain rate of 2, 4 and 8 worker processes together; of as many raw loops in the same rounds.

`contention.N.alone` sets the same figure beside one worker process.
"""

from __future__ import annotations

from functools import partial

from benchmarks.drain import expect_empty
from benchmarks.fleet import Fleet
from benchmarks.report import Row, rounds
from benchmarks.setting import Setting
from benchmarks.worker import Spec

FLEETS = (2, 4, 8)


def contention(setting: Setting) -> list[Row]:
    """Measure every size of fleet on a backlog of its own."""
    measures = [partial(together, setting, size, loop) for size in FLEETS for loop in ("", "delete")]
    alone, *figures = rounds(setting.rounds(), partial(together, setting, 1, ""), *measures)
    rows = []
    for number, size in enumerate(FLEETS):
        ours, bare = figures[2 * number : 2 * number + 2]
        rows += [
            Row(f"contention.{size}", "tasks/s", ours, bare),
            Row(f"contention.{size}.alone", "tasks/s", ours, alone),
        ]
    return rows


def together(setting: Setting, size: int, loop: str = "") -> float:
    """Tasks/s of so many processes, workers or raw loops."""
    with setting.place() as place:
        place.fill(setting.count(100_000))
        before = _conflicts(setting)
        with Fleet(setting.uri, [Spec(place.queue.namespace, burst=True, raw=loop)] * size) as fleet:
            fleet.go()
            rate = overall([fleet.hear() for _ in range(size)])
        expect_empty(place.queue)
        each = (_conflicts(setting) - before) / setting.count(100_000)
        whose = "raw loops" if loop else "workers"
        setting.note(f"contention.{size}, {whose}: {each:.2f} write conflicts per task, by the server's own count")
        return rate


def _conflicts(setting: Setting) -> int:
    return int(setting.client.admin.command("serverStatus")["metrics"]["operation"]["writeConflicts"])


def overall(told: list[dict[str, float]]) -> float:
    """What all did, from when the first began until the last ended."""
    took = max(each["ended"] for each in told) - min(each["began"] for each in told)
    return sum(each["done"] for each in told) / took
