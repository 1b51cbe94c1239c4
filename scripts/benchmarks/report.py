"""How a benchmark repeats, and how it tells: a table for people, one JSON object for machines."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, and the limit measured beside it."""

    name: str
    unit: str
    figures: Sequence[float]
    limits: Sequence[float] = ()
    """What the benchmark says it is compared with, in the same rounds; empty where there is nothing."""

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios: both sides of each were measured within seconds."""
        pairs = zip(self.figures, self.limits, strict=True) if self.limits else ()
        return statistics.median(figure / limit for figure, limit in pairs) if self.limits else None

    def as_json(self) -> dict[str, object]:
        """The row for machines."""
        return {
            "name": self.name,
            "figure": _short(statistics.median(self.figures)),
            "minimum": _short(min(self.figures)),
            "maximum": _short(max(self.figures)),
            "unit": self.unit,
            "limit": _short(statistics.median(self.limits)) if self.limits else None,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
        }


def rounds(repeat: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Measure all, by turns, so that a slow minute of the machine meets all.

    A round more comes first, to warm up, and does not count; one round alone is a smoke and does without.
    """
    if repeat > 1:
        for measure in measures:
            measure()
    measured = [[measure() for measure in measures] for _ in range(repeat)]
    return [list(figures) for figures in zip(*measured, strict=True)]


def show(bench: str, rows: Sequence[Row], *, as_json: bool) -> None:
    """Print the rows."""
    if as_json:
        print(json.dumps({"bench": bench, "rows": [row.as_json() for row in rows]}), flush=True)
        return
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    table = Table(title=f"{bench} ({machine}, {datetime.now(UTC):%Y-%m-%d})")
    for column in ("row", "median", "min", "max", "unit", "limit", "ratio"):
        table.add_column(column, justify="left" if column in ("row", "unit") else "right")
    for row in rows:
        told = row.as_json()
        numbers = ["" if told[name] is None else f"{told[name]:,}" for name in ("figure", "minimum", "maximum")]
        limit = "" if told["limit"] is None else f"{told['limit']:,}"
        table.add_row(row.name, *numbers, row.unit, limit, "" if row.ratio is None else f"{row.ratio:.3g}")
    Console().print(table)


def _short(figure: float) -> float:
    return round(figure, 1 if abs(figure) >= 100 else 3)
