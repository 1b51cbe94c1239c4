"""Whether a worker of this process lives and works, for the probes of whoever runs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["WorkerHealth"]


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """How the workers of a queue object in this process are."""

    live: bool
    """Whether their loops turn: False means that only a restart helps. An outage of MongoDB does not make it False."""
    ready: bool
    """Whether each claimed, polled or beat with success within the last 30 s, and does not end."""
    reason: str = ""
    """What is wrong; empty where nothing is."""


def together(healths: Iterable[WorkerHealth]) -> WorkerHealth:
    """The health of several workers: as good as the worst of them."""
    found = list(healths)
    if not found:
        return WorkerHealth(live=True, ready=False, reason="no worker runs yet")
    reasons = [one.reason for one in found if one.reason]
    return WorkerHealth(all(one.live for one in found), all(one.ready for one in found), "; ".join(reasons))
