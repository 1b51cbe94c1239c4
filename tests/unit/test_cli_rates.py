"""The table of rates that `mongoq stats` shows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mongoq import QueueStats, Timing
from mongoq.cli.looking.rates import sheet
from mongoq.cli.printing.fitting import fitted
from mongoq.cli.printing.width import cells

LONG = Timing(9_999, *(timedelta(seconds=one) for one in (90, 60, 5_000, 86_400 * 3)))
SHORT = Timing(3, *(timedelta(milliseconds=one) for one in (2, 1, 40, 1_100)))
BUSY = QueueStats(
    "crawler/pages-🦊-" + "x" * 60, ready=10**6, arrivals=12_345.6, starts=9_000.0, finishes=12_400.0, wait=LONG,
    run=SHORT,
)  # fmt: skip
SLOW = QueueStats("mail", ready=3, arrivals=0.05, starts=0.05, finishes=0.0, wait=SHORT, run=LONG)


@pytest.mark.parametrize("width", [40, 80, 132, 200])
def test_no_line_of_the_rates_is_wider_than_the_terminal(width: int) -> None:
    made = sheet({"a": BUSY, "b": SLOW})
    assert made is not None
    assert all(cells(line) <= width for line in fitted(made, width))


def test_80_columns_tell_rates_the_time_to_empty_and_the_95th_percentiles() -> None:
    made = sheet({"a": BUSY, "b": SLOW})
    assert made is not None
    head, first, second = (line.split(maxsplit=1)[1] for line in fitted(made, 80))
    assert "EMPTY IN WAIT P50 WAIT P95 RUN P50 RUN P95" in head
    assert first.split() == ["12,345.6/s", "12,400.0/s", "5h", "06m", "1m", "00s", "1h", "23m", "1", "ms", "40", "ms"]
    assert second.split() == ["3.0/min", "0.0/s", "-", "1", "ms", "40", "ms", "1m", "00s", "1h", "23m"]


def test_without_a_look_of_a_worker_there_are_no_rates() -> None:
    assert sheet({"mail": QueueStats("mail", ready=3)}) is None
