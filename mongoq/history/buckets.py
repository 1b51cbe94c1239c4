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


_MIDDLES: Final = [middle(number) for number in range(LAST + 1)]


def quantiles(histogram: Mapping[int, int], *shares: float) -> list[float]:
    """The durations that these shares of all, in ascending order, do not exceed, in seconds; none of an empty one.

    It walks the histogram once for all: a day of minutes has 2,880.
    """
    total, seen, found = sum(histogram.values()), 0, 0
    durations: list[float] = []
    for number in sorted(histogram) if total else ():
        seen += histogram[number]
        while found < len(shares) and seen >= shares[found] * total:
            durations.append(_MIDDLES[number] if number <= LAST else middle(number))
            found += 1
    return durations


def add(into: Histogram, other: Mapping[int, int]) -> None:
    """Add the counts of another histogram."""
    for number, count in other.items():
        into[number] = into.get(number, 0) + count
