"""`modify`: tasks changed in transactions of 1, 10 and 100.

The limit is the same transaction in bare pymongo: updates guarded by the version in one `bulk_write`, their count
checked, committed by `with_transaction`. It reads nothing back; `modify` returns the tasks as they are then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks import raw
from benchmarks.report import Row, rounds
from benchmarks.setting import Place, Setting
from mongoq import Task

SIZES = (1, 10, 100)
TRANSACTIONS = 300


def modify(setting: Setting) -> list[Row]:
    """Measure on tasks enqueued and read beforehand."""
    rows = []
    for size in SIZES:
        tasks = setting.count(max(TRANSACTIONS, 20 * size))
        ours, bare = rounds(setting.rounds(), _of(setting, _ours, tasks, size), _of(setting, _bare, tasks, size))
        rows.append(Row(f"modify.{size}", "tasks/s", ours, bare))
    return rows


def _of(
    setting: Setting, change: Callable[[Place, Sequence[Task]], None], count: int, size: int
) -> Callable[[], float]:
    def measure() -> float:
        with setting.place() as place:
            place.fill(count)
            tasks = place.queue.tasks(limit=None)
            began = time.perf_counter()
            for start in range(0, count, size):
                change(place, tasks[start : start + size])
            rate = count / (time.perf_counter() - began)
            if place.tasks.count_documents({"version": 2}) != count:
                raise AssertionError("some were not changed")
            return rate

    return measure


def _ours(place: Place, tasks: Sequence[Task]) -> None:
    place.queue.modify(change=[task.as_change(priority=number) for number, task in enumerate(tasks)])


def _bare(place: Place, tasks: Sequence[Task]) -> None:
    raw.change(place.tasks, [(task.key, task.version, number) for number, task in enumerate(tasks)])
