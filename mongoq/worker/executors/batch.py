"""Several attempts that one call of a handler runs; executors treat it as they treat one attempt."""

from __future__ import annotations

from collections.abc import Callable

from mongoq.core.judging.policy import Policy
from mongoq.core.signals import Interruption
from mongoq.core.tasks.task import Task
from mongoq.worker.attempt import FOREVER, LiveAttempt


class Batch:
    """Attempts that start together. Each has its own lease, cancel request and ending.

    Their handler is interrupted at their deadline, and where each of them has a reason to stop.
    """

    __slots__ = ("_told", "deadline_at", "deadline_raised", "key", "lost_leases", "members", "on_interrupt", "size")

    def __init__(self, members: list[LiveAttempt]) -> None:
        self.members = members
        self.key = f"{members[0].key} and {len(members) - 1} more"
        self.lost_leases = max(one.lost_leases for one in members)
        self.size = sum(one.size for one in members)
        self.deadline_at = FOREVER
        self.deadline_raised = False
        self.on_interrupt: Callable[[Batch, Interruption], None] | None = None
        self._told: set[LiveAttempt] = set()

    @property
    def task(self) -> list[Task]:
        """What the handler gets."""
        return [one.task for one in self.members]

    @property
    def lease_until(self) -> float:
        """When the last of their leases is over."""
        return max(one.lease_until for one in self.members)

    @property
    def interruption(self) -> Interruption | None:
        """Why the handler should stop, or None while it should not."""
        reasons = [one.interruption for one in self.members]
        if Interruption.DEADLINE in reasons:
            return Interruption.DEADLINE
        return reasons[0] if all(reasons) else None

    @property
    def policy(self) -> Policy:
        """A policy with the deadline of all of them."""
        return self.members[0].policy

    @property
    def open(self) -> bool:
        """Whether one of them has not ended yet."""
        return any(one.open for one in self.members)

    def time_left(self) -> float | None:
        """Seconds until all of them should have stopped; None without a limit."""
        left = [one.time_left() for one in self.members]
        return None if None in left else max(one for one in left if one is not None)

    def news(self) -> list[tuple[Interruption, float | None, int]]:
        """Which of them should stop, by place: why, and within how many seconds. Each is told once."""
        found = [(place, one, one.interruption) for place, one in enumerate(self.members) if one not in self._told]
        self._told.update(one for _, one, why in found if why is not None)
        return [(why, one.time_left(), place) for place, one, why in found if why is not None]

    def start(self) -> None:
        """Note that the handler starts now: the deadlines count from here."""
        for one in self.members:
            one.start()
        self.deadline_at = min(one.deadline_at for one in self.members)

    def interrupt(self, reason: Interruption, limit: float = FOREVER) -> None:
        """Tell the handler to stop, by `limit` where there is one."""
        for one in self.members:
            one.interrupt(reason, limit)
        if self.on_interrupt is not None:
            self.on_interrupt(self, reason)


Work = LiveAttempt | Batch
"""What one call of a handler runs."""


def notify_each(work: Work, notify: Callable[[], object]) -> None:
    """Call this where an attempt in it is told to stop."""
    for one in work.members if isinstance(work, Batch) else [work]:
        one.on_interrupt = lambda _attempt, _reason: notify()
