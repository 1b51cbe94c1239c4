"""`memory`: resident MB of an idle worker process, and by how much they grow over a million tasks.

Growth is counted from a worker that has run a twentieth of the tasks before: its threads, connections and batches
are there, and what is added is what it does not give back.
"""

from __future__ import annotations

import time

from benchmarks.fleet import PATIENCE, Fleet
from benchmarks.report import Row
from benchmarks.setting import Place, Setting
from benchmarks.worker import Spec

SETTLING = 2.0


def memory(setting: Setting) -> list[Row]:
    """Weigh a fresh worker process in every round."""
    weighed = [_weighed(setting, setting.count(1_000_000)) for _ in range(setting.rounds())]
    return [
        Row("memory.idle", "MB", [idle for idle, _ in weighed]),
        Row("memory.growth", "MB", [growth for _, growth in weighed]),
    ]


def _weighed(setting: Setting, tasks: int) -> tuple[float, float]:
    with setting.place() as place, Fleet(setting.uri, [Spec(place.queue.namespace)]) as fleet:
        fleet.go()
        time.sleep(_settling(tasks))
        idle = fleet.facts()["rss"]
        warm = _after(place, fleet, max(1, tasks // 20))
        return idle, _after(place, fleet, tasks) - warm


def _after(place: Place, fleet: Fleet, tasks: int) -> float:
    """Resident MB after so many more tasks, idle again."""
    place.fill(tasks)
    _wait_until_empty(place)
    time.sleep(_settling(tasks))
    return float(fleet.facts()["rss"])


def _settling(tasks: int) -> float:
    """Seconds until it is idle; what so few tasks leave behind need not be weighed exactly."""
    return SETTLING if tasks > 1_000 else 0.1


def _wait_until_empty(place: Place) -> None:
    """Wait as long as it moves."""
    left, moved = place.left(), time.monotonic()
    while left:
        time.sleep(0.05)
        now_left = place.left()
        if now_left != left:
            left, moved = now_left, time.monotonic()
        elif time.monotonic() - moved > PATIENCE:
            raise AssertionError(f"{left:,} tasks are left, and nothing moves")
