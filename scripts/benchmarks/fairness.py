"""`fair`: what a fair share and aging cost: 100,000 tasks of ten priorities drained, beside strict priorities."""

from __future__ import annotations

import time

from benchmarks.report import Row, rounds
from benchmarks.setting import Setting
from mongoq import NewTask


def fair(setting: Setting) -> list[Row]:
    """Drain by turns: with every tenth claim for the oldest, with aging, with neither."""
    share, aging, strict = rounds(
        setting.rounds(),
        lambda: _drain(setting, fair_share=0.1),
        lambda: _drain(setting, aging=1.0),
        lambda: _drain(setting),
    )
    return [Row("fair.share", "tasks/s", share, strict), Row("fair.aging", "tasks/s", aging, strict)]


def _drain(setting: Setting, *, fair_share: float | None = None, aging: float | None = None) -> float:
    count = setting.count(100_000)
    with setting.place(fair_share=fair_share, aging=aging) as place:
        place.queue.new_many(NewTask({"n": n}, priority=n * 7 % 10) for n in range(count))
        began = time.perf_counter()
        place.queue.run(lambda _: None, burst=True)
        rate = count / (time.perf_counter() - began)
        if place.queue.size("default"):
            raise AssertionError("the burst ended before the queue was empty")
        return rate
