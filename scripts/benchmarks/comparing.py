"""What `compare` concludes from the rounds of two revisions: rows in pairs, and how much better each has become."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.plan import is_wanted

MORE_IS_BETTER: Final = frozenset({"tasks/s", "MB/s"})
LESS_IS_BETTER: Final = frozenset({
    "commands", "ticks", "ms", "µs", "MB", "%", "1/s", "threads", "claims", "bytes", "per 1,000", "tasks",
})  # fmt: skip
"""`1/s` is what an idle worker sends, `per 1,000` commands for so many tasks, `tasks` how many a page reads."""
WORSE: Final = 0.97
"""A row whose ratio is below this is marked."""
GUARDED: Final = 0.95
"""With `--guard`, a row whose ratio is below this fails the comparison."""

Reading = tuple[float, str]
"""A figure and its unit."""
Round = Mapping[str, Reading]
"""What one run of a benchmark measured, by row."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One row as both revisions measured it, round by round."""

    name: str
    unit: str
    old: Sequence[float]
    new: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """How much better the new one was in each round; above 1 is better, whatever the unit."""
        return [improvement(self.unit, old, new) for old, new in zip(self.old, self.new, strict=True)]

    @property
    def is_worse(self) -> bool:
        """Whether the median of the rounds' ratios is below `WORSE`."""
        return statistics.median(self.ratios) < WORSE

    def as_json(self) -> dict[str, Any]:
        """The row for machines."""
        ratios = self.ratios
        return {
            "name": self.name,
            "unit": self.unit,
            "old": round(statistics.median(self.old), 3),
            "new": round(statistics.median(self.new), 3),
            "ratio": round(statistics.median(ratios), 4),
            "minimum": round(min(ratios), 4),
            "maximum": round(max(ratios), 4),
            "worse": self.is_worse,
        }


def improvement(unit: str, old: float, new: float) -> float:
    """The ratio of two figures, inverted where less is better.

    Raises ValueError for a unit of which it is not known what is better.
    """
    if unit in MORE_IS_BETTER:
        return new / old
    if unit in LESS_IS_BETTER:
        return old / new
    raise ValueError(f"is more or less {unit!r} better? Add the unit to benchmarks/comparing.py")


def readings(told: Mapping[str, Any]) -> dict[str, Reading]:
    """The figures in the JSON object that one run of a benchmark prints."""
    return {row["name"]: (row["figure"], row["unit"]) for row in told["rows"]}


def pair(old: Sequence[Round], new: Sequence[Round]) -> list[Compared]:
    """Pair the rows that every round of both revisions has, in the order of the new one."""
    shared = [name for name in new[0] if all(name in measured for measured in (*old, *new))]
    return [
        Compared(name, new[0][name][1], *([measured[name][0] for measured in side] for side in (old, new)))
        for name in shared
    ]


def lacking(old: Sequence[Round], new: Sequence[Round], wanted: Sequence[str]) -> list[str]:
    """The wanted rows that were measured in one revision alone."""
    seen = {name for measured in (*old, *new) for name in measured if is_wanted(name, wanted)}
    return sorted(seen - {row.name for row in pair(old, new)})
