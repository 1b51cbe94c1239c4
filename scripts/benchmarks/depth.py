"""`depth`: the drain rate at a backlog, and beside finished and scheduled tasks; of the rate at 1,000.

A backlog of 100,000 is measured while 120,000 fall to 100,000: the first 20,000 tasks count, so that what stays
behind is what the row's name says, and all rows take the same number of tasks. The first tenth of them warms up.
`--tasks` is the largest backlog, by which the others shrink.
"""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks.report import Row, rounds
from benchmarks.setting import Place, Setting
from mongoq import Task

BIGGEST = 1_000_000
SIZES = (1_000, 100_000, 1_000_000)
PORTION = 20_000


def depth(setting: Setting) -> list[Row]:
    """Fill every backlog once, top it up for every round, and drain what was added."""
    biggest = setting.count(BIGGEST)
    portion = min(PORTION, biggest)
    if biggest < BIGGEST:
        setting.note(f"the backlogs of depth are scaled down by {BIGGEST / biggest:,.0f}")

    def scaled(size: int) -> int:
        return max(1, size * biggest // BIGGEST)

    with ExitStack() as stack:
        measures = []
        for beside, size in [(0, size) for size in SIZES] + [(BIGGEST, SIZES[0])]:
            place = stack.enter_context(setting.place())
            _beside(place, scaled(beside) if beside else 0)
            measures.append(partial(pace, place, scaled(size) + place.left(), portion))
        shallow, *deep = rounds(setting.rounds(), *measures)
    names = ("depth.100000", "depth.1000000", "depth.beside")
    return [Row(name, "tasks/s", figures, shallow) for name, figures in zip(names, deep, strict=True)]


def _beside(place: Place, count: int) -> None:
    """Put completed and scheduled tasks into it, so many of each."""
    if count:
        now = datetime.now(UTC)
        kept = now + timedelta(days=1)
        place.fill(count, state="completed", version=3, attempts=1, worker="raw", finished_at=now, purge_at=kept)
        place.fill(count, state="scheduled", run_at=kept)


def pace(place: Place, behind: int, portion: int) -> float:
    """Tasks/s at which handlers start, until the backlog has fallen to `behind`."""
    place.fill(behind + portion - place.left())
    warm, numbers, reached = portion // 10, itertools.count(1), threading.Event()
    stamps: list[float] = []

    def handler(_task: Task) -> None:
        number = next(numbers)
        if number in (warm, portion):
            stamps.append(time.perf_counter())
            if number == portion:
                reached.set()

    worker = place.queue.start(handler)
    if not reached.wait(600):
        raise AssertionError("the backlog was not drained within 10 minutes")
    worker.stop()
    return (portion - warm) / (stamps[1] - stamps[0])
