"""What every operation is given first: where the collections are, what time it is, and the rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from mongoq.core.clock import Clock
from mongoq.core.host.keys import KeyMaker
from mongoq.core.options import Options
from mongoq.fairness.given import Turns
from mongoq.pausing.pause import Gate


@dataclass(frozen=True, slots=True)
class Context:
    """The surroundings of an operation."""

    clock: Clock
    options: Options
    new_key: KeyMaker
    gate: Gate = field(default_factory=Gate, compare=False)
    """What is paused, as this process knows it."""
    turns: Turns = field(default_factory=Turns, compare=False)
    """Which claims are for the oldest tasks, where a share of them is."""
    lacking: set[str] = field(default_factory=set, compare=False)
    """The keys of secrets that this process lacks: it has met tasks that need them."""

    @property
    def namespace(self) -> str:
        """The prefix of every collection."""
        return self.options.namespace

    @property
    def tasks(self) -> str:
        """The collection of the tasks."""
        return f"{self.options.namespace}.tasks"

    @property
    def workers(self) -> str:
        """The collection of the heartbeats."""
        return f"{self.options.namespace}.workers"

    @property
    def signals(self) -> str:
        """The capped collection of the signals to all processes."""
        return f"{self.options.namespace}.signals"

    @property
    def control(self) -> str:
        """The collection of what the whole namespace shares, such as the version of its format."""
        return f"{self.options.namespace}.control"

    @property
    def schedules(self) -> str:
        """The collection of the schedules."""
        return f"{self.options.namespace}.schedules"

    @property
    def history(self) -> str:
        """The collection of what happened, by minute, hour and day."""
        return f"{self.options.namespace}.history"

    @property
    def limits(self) -> str:
        """The collection of the rate limits: when the next start of each group is free."""
        return f"{self.options.namespace}.limits"

    @property
    def audit(self) -> str:
        """The collection of what operators did."""
        return f"{self.options.namespace}.audit"
