"""Histograms of durations: two buckets for each doubling, from 0.1 ms to 26 days.

A percentile is the middle of its bucket, by ratio: wrong by a fifth at most. A minute of a busy task function fills
about 10 of the 70.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

LEAST: Final = 0.0001
"""Seconds: what is shorter lies in the first bucket."""
PER_DOUBLING: Final = 2
LAST: Final = 69

Histogram = dict[int, int]
"""How many durations lie in each bucket; buckets without any are left out."""
_SCALE: Final = 1 / LEAST
_log2 = math.log2


def bucket(seconds: float) -> int:
    """The bucket of a duration: bucket n ends at `LEAST` times the n-th power of the ratio."""
    if seconds <= LEAST:
        return 0
    return min(LAST, math.ceil(_log2(seconds * _SCALE) * PER_DOUBLING))


def middle(number: int) -> float:
    """The duration that stands for a bucket, in seconds."""
    return float(LEAST * 2.0 ** ((number - 0.5) / PER_DOUBLING))


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """The duration that this share of all does not exceed, in seconds; None where there are none."""
    total = sum(histogram.values())
    if not total:
        return None
    rank, seen = share * total, 0
    for number in sorted(histogram):
        seen += histogram[number]
        if seen >= rank:
            return middle(number)
    return middle(max(histogram))


def add(into: Histogram, other: Mapping[int, int]) -> None:
    """Add the counts of another histogram."""
    for number, count in other.items():
        into[number] = into.get(number, 0) + count
