"""Keeps the history in shape: looks how deep the queues are, and sums up minutes to hours and days."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mongoq.core.errors import MongoqError, StorageRefused
from mongoq.storage.operations.history import roll
from mongoq.worker.recording.sampler import EVERY, Sampler
from mongoq.worker.runtime import Runtime

SUM_UP_EVERY: Final = 600.0
"""Seconds between two looks whether an hour is over; in a fleet the first to look sums it up."""
RESTING: Final = 30.0
"""Seconds between two looks whether others still do it."""


class Keeper:
    """The service of the history; `rests` says whether other processes look after it."""

    def __init__(self, runtime: Runtime, rests: Callable[[float], bool]) -> None:
        self._runtime = runtime
        self._rests = rests
        self._sampler = Sampler(runtime)
        self._sample_at = runtime.elapsed() + EVERY * random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
        self._sum_up_at = runtime.elapsed() + random.uniform(30.0, 90.0)  # noqa: S311 -- no secret

    def step(self, now: float) -> float:
        """Do what is due; the seconds until the next step."""
        if self._rests(now):
            return RESTING
        if now >= self._sample_at:
            self._sample(now)
        if now >= self._sum_up_at:
            self._sum_up(now)
        return max(0.0, min(self._sample_at, self._sum_up_at) - self._runtime.elapsed())

    def end(self) -> None:
        """Leave the sampling to another process, where this one did it."""
        with suppress(MongoqError):
            self._sampler.leave()

    def _sample(self, now: float) -> None:
        try:
            pause = self._sampler.step(now)
        except StorageRefused:  # this user may not
            pause = SUM_UP_EVERY
        self._sample_at = self._runtime.elapsed() + pause

    def _sum_up(self, now: float) -> None:
        runtime = self._runtime
        try:
            more = runtime.run(roll.sum_up(runtime.context))
        except StorageRefused:  # this user may not
            more = False
        self._sum_up_at = now + (0.0 if more else SUM_UP_EVERY * random.uniform(0.75, 1.0))  # noqa: S311 -- no secret
