"""How a benchmark repeats, and how it tells: a table for people, one JSON object for machines."""

from __future__ import annotations

import json
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
    limits: Sequence[float]
    """What the bare driver reached on the same server in the same rounds."""

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: both sides of each were measured within seconds."""
        return statistics.median(figure / limit for figure, limit in zip(self.figures, self.limits, strict=True))

    def as_json(self) -> dict[str, object]:
        """The row for machines."""
        return {
            "name": self.name,
            "figure": round(statistics.median(self.figures), 1),
            "minimum": round(min(self.figures), 1),
            "maximum": round(max(self.figures), 1),
            "unit": self.unit,
            "limit": round(statistics.median(self.limits), 1),
            "ratio": round(self.ratio, 3),
        }


def rounds(repeat: int, measure: Callable[[], float], limit: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Measure both, alternately, so that a slow minute of the machine meets both; the first pair warms up."""
    measure(), limit()
    pairs = [(measure(), limit()) for _ in range(repeat)]
    return [figure for figure, _ in pairs], [figure for _, figure in pairs]


def show(bench: str, rows: Sequence[Row], *, as_json: bool) -> None:
    """Print the rows."""
    if as_json:
        print(json.dumps({"bench": bench, "rows": [row.as_json() for row in rows]}))
        return
    machine = f"{platform.machine()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    table = Table(title=f"{bench} ({machine})")
    for column in ("row", "median", "min", "max", "unit", "raw pymongo", "ratio"):
        table.add_column(column, justify="left" if column in ("row", "unit") else "right")
    for row in rows:
        told = row.as_json()
        numbers = [f"{told[name]:,}" for name in ("figure", "minimum", "maximum")]
        table.add_row(row.name, *numbers, row.unit, f"{told['limit']:,}", f"{row.ratio:.2f}")
    Console().print(table)
