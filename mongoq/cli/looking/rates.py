"""How fast tasks come and go, and how long they wait and run: the second table of `mongoq stats`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from mongoq import QueueStats, Timing
from mongoq.cli.output import Sheet, span

COLUMNS: Final = (
    "queue", "come", "start", "done", "empty in", "wait p50", "wait p95", "wait p99", "run p50",
    "run p95", "run p99",
)  # fmt: skip
DROPS: Final = ("run p99", "wait p99", "start", "run p50", "wait p50")


def sheet(rows: Mapping[str, QueueStats]) -> Sheet | None:
    """The rates of the queues that have some; None where no worker has looked yet."""
    known = [row for row in rows.values() if row.starts is not None or row.wait is not None or row.run is not None]
    if not known:
        return None
    shown = [
        (row.queue, _rate(row.arrivals), _rate(row.starts), _rate(row.finishes), _empty_in(row),
         *_percentiles(row.wait), *_percentiles(row.run))
        for row in known
    ]  # fmt: skip
    title = "rates over a minute; waits and runs over five"
    return Sheet(title, COLUMNS, shown, empty="", cut=True, drops=DROPS)


def _rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:,.1f}/s" if rate >= 1 or not rate else f"{rate * 60:,.1f}/min"


def _empty_in(row: QueueStats) -> str:
    return "-" if not row.size else span(row.time_to_empty)


def _percentiles(timing: Timing | None) -> tuple[str, str, str]:
    if timing is None:
        return "-", "-", "-"
    return _length(timing.p50), _length(timing.p95), _length(timing.p99)


def _length(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else span(length)
