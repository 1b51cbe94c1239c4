"""Prometheus: what the workers and the producers of a queue do in this process, as metrics.

    REGISTRY.register(Metrics(queue))

`mongoq worker --metrics-port 9464` serves them. A worker adds up what its attempts do for the history anyway; the same
sums are taken here with each heartbeat and at each scrape, so a task costs nothing more, and MongoDB is asked nothing.
Labels are queues and names of task functions, never keys.

Needs `mongoq[prometheus]`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from mongoq import AsyncQueue, ConfigurationError, Fault, Queue
from mongoq.contrib.counting.histogram import buckets_of, seconds_of
from mongoq.contrib.counting.ticks import tick_of
from mongoq.core.events import Signpost
from mongoq.core.host.extras import needs
from mongoq.core.lifecycle import Event
from mongoq.history.sums import LOST, Sums

with needs("mongoq[prometheus]"):
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector

__all__ = ["Metrics"]

Line = tuple[str, str]
"""A queue, and the name of a task function; empty where the task has none."""

MOST: Final = 1_000
"""Lines that are told apart. What comes beyond goes to `OTHER`: names come from whoever enqueues."""
OTHER: Final[Line] = ("other", "other")
ATTEMPTS: Final = (1, 2, 3, 5, 8, 13, 21)
LABELS: Final = ("queue", "name")
COUNTERS: Final[Mapping[str, tuple[str, Callable[[Sums], int]]]] = {
    "mongoq_tasks_run": ("Attempts that started.", lambda sums: sums.starts),
    "mongoq_tasks_completed": ("Tasks that a handler brought to a final state, whichever.", lambda sums: sums.finished),
    "mongoq_tasks_succeeded": ("Tasks whose handler returned.", lambda sums: sums.ends.get(Event.COMPLETE.value, 0)),
    "mongoq_tasks_failed": ("Tasks that have failed for good.", lambda sums: sums.ends.get(Event.FAIL.value, 0)),
    "mongoq_tasks_retried": ("Attempts that failed, whose task runs again.",
                             lambda sums: sums.ends.get(Event.RETRY.value, 0)),
    "mongoq_leases_lost": ("Leases that were over before the ending was written.",
                           lambda sums: sums.ends.get(LOST, 0)),
}  # fmt: skip
"""The counters by queue and name that are made of sums; Prometheus adds `_total`."""


class Metrics(Collector):
    """The metrics of one queue object in this process; register it with a `CollectorRegistry`.

    ConfigurationError where `queue` is no queue.
    """

    def __init__(self, queue: Queue | AsyncQueue) -> None:
        if not isinstance(queue, Queue | AsyncQueue):
            raise ConfigurationError([Fault("queue", repr(queue), "a Queue or an AsyncQueue")])
        self._base = queue._base  # noqa: SLF001 -- its workers are asked at a scrape
        self._lock = threading.Lock()
        self._sums: dict[Line, Sums] = {}
        self._enqueued: Counter[Line] = Counter()
        self._refused: Counter[Line] = Counter()
        self._attempts: dict[Line, Counter[int]] = {}
        self._lateness: dict[Line, Sums] = {}
        self._claims_lost = self._outages = self._rescued = 0
        self._up = 1
        self._hear: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            Signpost.ENQUEUED: self._note_enqueued, Signpost.SUMMED: self._note_sums,
            Signpost.CLAIMS_LOST: self._note_claims, Signpost.REFUSED: self._note_refused,
            Signpost.STORAGE_LOST: self._note_outage, Signpost.STORAGE_BACK: self._note_back,
            Signpost.SWEPT: self._note_sweep,
        }  # fmt: skip
        self.close = self._base.telemetry.subscribe_aside(self._heard)
        """Count no more."""

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without counting."""
        return self._made(Counter())

    def collect(self) -> Iterator[Metric]:
        """Make metrics of what was counted so far; for the registry."""
        running = Counter(line for handle in self._base.handles for line in handle.tell())
        with self._lock:
            found = list(self._made(running))
        yield from found

    def _heard(self, name: str, fields: Mapping[str, Any]) -> None:
        hear = self._hear.get(name)
        if hear is not None:
            with self._lock:
                hear(fields)

    def _line(self, queue: str, name: str | None) -> Line:
        line = (queue, name or "")
        if line not in self._sums:
            if len(self._sums) >= MOST:
                line = OTHER
            self._sums.setdefault(line, Sums())
        return line

    def _note_enqueued(self, fields: Mapping[str, Any]) -> None:
        for (queue, name), count in fields["lines"].items():
            self._enqueued[self._line(queue, name)] += count

    def _note_sums(self, fields: Mapping[str, Any]) -> None:
        for (_, queue, name), sums in fields["sums"].items():
            self._sums[self._line(queue, name)].add(sums)
        for (queue, name), counts in fields["counts"].items():
            self._attempts.setdefault(self._line(queue, name), Counter()).update(counts)
        for attempt in fields["ticks"]:
            tick = tick_of(attempt.key)
            if tick is not None:
                schedule, at = tick
                line = (attempt.claimed.queue, schedule)
                late = (attempt.task.created_at - at).total_seconds()
                self._lateness.setdefault(line, Sums()).started([late])

    def _note_claims(self, fields: Mapping[str, Any]) -> None:
        self._claims_lost += fields["count"]

    def _note_sweep(self, fields: Mapping[str, Any]) -> None:
        self._rescued += fields["rescued"]

    def _note_refused(self, fields: Mapping[str, Any]) -> None:
        task = fields["task"]
        self._refused[self._line(task.queue, task.name)] += 1

    def _note_outage(self, _: Mapping[str, Any]) -> None:
        self._up, self._outages = 0, self._outages + 1

    def _note_back(self, _: Mapping[str, Any]) -> None:
        self._up = 1

    def _made(self, running: Counter[tuple[str, str | None]]) -> Iterator[Metric]:
        """Make all metrics; under the lock."""
        for name, (about, of) in COUNTERS.items():
            yield _counter(name, about, {line: of(sums) for line, sums in self._sums.items()})
        yield _counter("mongoq_tasks_enqueued", "Tasks that this process enqueued.", self._enqueued)
        yield _counter("mongoq_endings_refused", "Endings refused for what the handler returned.", self._refused)
        yield CounterMetricFamily("mongoq_claims_lost", "Tasks that another claimant took first.", self._claims_lost)
        yield CounterMetricFamily(
            "mongoq_tasks_rescued", "Tasks that this process took from lost workers.", self._rescued
        )
        yield CounterMetricFamily("mongoq_server_outages", "How often MongoDB did not answer.", self._outages)
        yield GaugeMetricFamily("mongoq_server_up", "Whether MongoDB answers this process.", self._up)
        gauge = GaugeMetricFamily("mongoq_tasks_running", "Handlers that run now.", labels=LABELS)
        now = {self._line(queue, name): count for (queue, name), count in running.items()}
        for line in self._sums:
            gauge.add_metric(line, now.get(line, 0))
        yield gauge
        yield from self._histograms()

    def _histograms(self) -> Iterator[Metric]:
        waits = HistogramMetricFamily("mongoq_task_wait_seconds", "From when a task was due to its start.",
                                      labels=LABELS)  # fmt: skip
        runs = HistogramMetricFamily("mongoq_task_duration_seconds", "How long a handler ran.", labels=LABELS)
        for line, sums in self._sums.items():
            waits.add_metric(line, seconds_of(sums.waits), sums.wait_seconds)
            runs.add_metric(line, seconds_of(sums.runs), sums.run_seconds)
        yield waits
        yield runs
        attempts = HistogramMetricFamily("mongoq_task_attempts", "Attempts of a task that has ended.", labels=LABELS)
        for line, counts in self._attempts.items():
            attempts.add_metric(line, buckets_of(counts, ATTEMPTS), sum(n * count for n, count in counts.items()))
        yield attempts
        late = HistogramMetricFamily("mongoq_schedule_lateness_seconds", "From a tick until its task was enqueued.",
                                     labels=("queue", "schedule"))  # fmt: skip
        for line, sums in self._lateness.items():
            late.add_metric(line, seconds_of(sums.waits), sums.wait_seconds)
        yield late


def _counter(name: str, about: str, counts: Mapping[Line, int]) -> Metric:
    family = CounterMetricFamily(name, about, labels=LABELS)
    for line, count in counts.items():
        family.add_metric(line, count)
    return family
