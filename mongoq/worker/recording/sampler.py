"""Looks how deep the queues are, for the whole namespace, and writes the figures that `stats` answers from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from mongoq.core.stats import QueueStats
from mongoq.history.point import timing
from mongoq.history.sums import Sums
from mongoq.history.trend import Trend
from mongoq.storage.operations.history import figures, rows, sample
from mongoq.storage.operations.history.figures import Figures
from mongoq.worker.runtime import Runtime

EVERY: Final = 5.0
SHARE: Final = 25.0
"""A look takes at most this part of the time of one core of the server: of 1,000,000 ready tasks each 15 s."""
LONGEST: Final = 300.0
"""Seconds between two looks, however long one takes."""
IDLE: Final = 30.0
"""Seconds between two looks where nothing changes."""
ELSEWHERE: Final = 20.0
"""Seconds after which one who found another at it asks again."""
LEASE: Final = 15.0


class Sampler:
    """One process at a time samples: whoever holds the lease."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._trend = Trend()
        self._before: dict[str, tuple[datetime, dict[str, float]]] = {}
        """The minute in which the depth of each queue was last written, and what it was."""
        self._pause = EVERY

    def step(self, now: float) -> float:
        """Take a sample, unless another process does; the seconds until the next."""
        runtime = self._runtime
        lasts = timedelta(seconds=LEASE + 2 * self._pause)
        if not runtime.run(sample.lease(runtime.context, runtime.worker, lasts)):
            self._trend, self._before = Trend(), {}
            return ELSEWHERE * random.uniform(0.75, 1.0)  # noqa: S311 -- no secret
        counted: sample.Counted = runtime.run(sample.count(runtime.context))
        queues = {**counted.queues, rows.ALL: _summed(counted.queues)}
        live = {name: sample.live(row) for name, row in queues.items()}
        self._trend.note(counted.at, live, counted.minutes, counted.since)
        changed = self._write_depths(counted.at, queues)
        took = runtime.elapsed() - now
        self._pause = max(EVERY if changed else min(IDLE, self._pause * 1.5), min(LONGEST, SHARE * took))
        due = counted.at + timedelta(seconds=self._pause)
        kept = Figures(counted.at, due, counted.took, self._with_rates(queues, counted), counted.limits)
        runtime.run(figures.write(runtime.context, kept))
        return self._pause

    def leave(self) -> None:
        """Let another process go on at once."""
        if self._before:
            self._runtime.run(sample.let_go(self._runtime.context, self._runtime.worker))

    def _write_depths(self, at: datetime, queues: Mapping[str, QueueStats]) -> bool:
        """Write the depth of each queue that has changed, or is not empty in a new minute; whether one has changed."""
        minute = at.replace(second=0, microsecond=0)
        arrived = self._trend.arrived()
        depths: list[sample.Depth] = []
        changed = False
        for name in {*queues, *self._before, *arrived}:
            depth = sample.depth_of(queues.get(name) or QueueStats(name))
            written_in, before = self._before.get(name, (None, None))
            differs = bool(arrived.get(name)) or before is None or _without_age(before) != _without_age(depth)
            changed |= differs
            if differs or written_in != minute:
                depths.append((name, depth, arrived.get(name)))
            if any(depth.values()) or name == rows.ALL:
                self._before[name] = (minute, depth)
            else:
                self._before.pop(name, None)
        self._runtime.run(sample.save_depths(self._runtime.context, at, depths))
        return changed

    def _with_rates(self, queues: dict[str, QueueStats], counted: sample.Counted) -> dict[str, QueueStats]:
        rates = self._trend.rates()
        recent: dict[str, Sums] = {}
        for parts in counted.minutes.values():
            for name, one in parts.items():
                recent.setdefault(name, Sums()).add(one)
        made = dict(queues)
        for name in {*queues, *recent}:
            sums, rate = recent.get(name, Sums()), rates.get(name)
            made[name] = replace(
                queues.get(name) or QueueStats(name),
                arrivals=rate and rate.arrivals,
                starts=rate and rate.starts,
                finishes=rate and rate.finishes,
                wait=timing(sums.waits, sums.wait_seconds),
                run=timing(sums.runs, sums.run_seconds),
            )
        return made


def _without_age(depth: Mapping[str, float]) -> dict[str, float]:
    return {name: figure for name, figure in depth.items() if name != rows.OLDEST}


def _summed(queues: Mapping[str, QueueStats]) -> QueueStats:
    ages = [row.oldest_ready for row in queues.values() if row.oldest_ready is not None]
    whole = {name: sum(getattr(row, name) for row in queues.values()) for name in figures.COUNTS}
    return QueueStats(rows.ALL, oldest_ready=max(ages, default=None), **whole)
