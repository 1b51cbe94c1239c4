"""What there is to give to parked tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple


class Free(NamedTuple):
    """Slots that came free, and starts that are due."""

    slots: Mapping[str, Sequence[str]]
    """The names of the slots, by group."""
    starts: Mapping[str, int]
    """How many starts, by group."""

    def __bool__(self) -> bool:
        return bool(self.slots or self.starts)

    @property
    def wanted(self) -> dict[str, int]:
        """How many tasks of each group there is room for."""
        return {**{group: len(own) for group, own in self.slots.items()}, **self.starts}

    @property
    def named(self) -> list[str]:
        """The groups, each as often as there is room for a task."""
        return [group for group, count in self.wanted.items() for _ in range(count)]

    def without(self, used: Collection[str]) -> Free:
        """What is left when these slots are used."""
        left = {group: rest for group, own in self.slots.items() if (rest := [one for one in own if one not in used])}
        return Free(left, self.starts)
