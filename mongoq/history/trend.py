"""Rates, from samples of the depth and the sums that workers have written: what came is what is left and what went."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mongoq.history.sums import Sums

WINDOW: Final = timedelta(seconds=60)
"""Rates are those of about this time: of more where samples are further apart."""
SHORTEST: Final = timedelta(seconds=10)
"""Workers write every 5 s, so a shorter time says little."""


class Rates(NamedTuple):
    """Tasks per second of one queue."""

    arrivals: float
    starts: float
    finishes: float


class Flow(NamedTuple):
    """How many attempts of a queue have started, and how many tasks have left it, since some instant."""

    starts: int
    finished: int
    left: int


class _Sample(NamedTuple):
    at: datetime
    live: Mapping[str, int]
    flows: Mapping[str, Flow]


_NONE: Final = Flow(0, 0, 0)


class Trend:
    """The samples of about a minute. Each brings what workers have written in its last minutes, which may still grow.

    Tasks that somebody else ends or deletes make the arrivals of that time too few; they are never below 0.
    """

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._over: dict[str, Flow] = {}
        """What went through in the minutes that were read for the last time."""
        self._minutes: dict[datetime, dict[str, Flow]] = {}

    def note(
        self, at: datetime, live: Mapping[str, int], minutes: Mapping[datetime, Mapping[str, Sums]], since: datetime
    ) -> None:
        """Take a sample: the unfinished tasks by queue, and the sums of all minutes from `since` on."""
        for minute in [one for one in self._minutes if one < since]:
            _add(self._over, self._minutes.pop(minute))
        for minute, parts in minutes.items():
            self._minutes[minute] = {queue: Flow(one.starts, one.finished, one.left) for queue, one in parts.items()}
        flows = dict(self._over)
        for parts_of in self._minutes.values():
            _add(flows, parts_of)
        self._samples.append(_Sample(at, live, flows))
        while len(self._samples) > 2 and self._samples[1].at <= at - WINDOW:
            self._samples.popleft()

    def rates(self) -> dict[str, Rates]:
        """The rates of all queues; none as long as the samples span too little."""
        first, last = self._samples[0], self._samples[-1]
        seconds = (last.at - first.at).total_seconds()
        if seconds < SHORTEST.total_seconds():
            return {}
        made = {}
        for queue in {*last.live, *last.flows}:
            then, now = first.flows.get(queue, _NONE), last.flows.get(queue, _NONE)
            made[queue] = Rates(
                max(0, _arrived(queue, first, last)) / seconds,
                max(0, now.starts - then.starts) / seconds,
                max(0, now.finished - then.finished) / seconds,
            )
        return made

    def arrived(self) -> dict[str, int]:
        """How many tasks came to each queue between the last two samples; less than 0 where others ended some."""
        if len(self._samples) < 2:
            return {}
        before, last = self._samples[-2], self._samples[-1]
        return {queue: _arrived(queue, before, last) for queue in {*last.live, *before.live, *last.flows}}


def _arrived(queue: str, before: _Sample, after: _Sample) -> int:
    left = after.flows.get(queue, _NONE).left - before.flows.get(queue, _NONE).left
    return after.live.get(queue, 0) - before.live.get(queue, 0) + left


def _add(into: dict[str, Flow], other: Mapping[str, Flow]) -> None:
    for queue, one in other.items():
        have = into.get(queue, _NONE)
        into[queue] = Flow(have.starts + one.starts, have.finished + one.finished, have.left + one.left)
