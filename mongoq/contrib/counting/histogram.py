"""Buckets as Prometheus wants them: how many values are at most each bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mongoq.history.buckets import LEAST, PER_DOUBLING

__all__ = ["buckets_of", "seconds_of"]

BOUNDS: Final = range(8, 51, 2)
"""Numbers of the history's buckets: from 1.6 ms to 56 minutes, each bound twice the one before."""


def seconds_of(histogram: Mapping[int, int]) -> list[tuple[str, float]]:
    """The buckets of a histogram of the history, whose own bounds these are: nothing is lost but detail."""
    named = [(number, f"{LEAST * 2 ** (number / PER_DOUBLING):.4g}") for number in BOUNDS]
    return _cumulated(histogram, named)


def buckets_of(counts: Mapping[int, int], bounds: Sequence[int]) -> list[tuple[str, float]]:
    """The buckets of counts by value."""
    return _cumulated(counts, [(bound, str(float(bound))) for bound in bounds])


def _cumulated(counts: Mapping[int, int], named: Sequence[tuple[int, str]]) -> list[tuple[str, float]]:
    below = [(name, float(sum(n for value, n in counts.items() if value <= bound))) for bound, name in named]
    return [*below, ("+Inf", float(sum(counts.values())))]
