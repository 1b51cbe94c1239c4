"""Judge the loops of a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from mongoq.core.host.health import WorkerHealth

READY_FOR: Final = 30.0
"""Seconds for which an answer of the server counts: an idle worker beats every 10 s."""
ASKING: Final = ("fetcher", "heartbeat")
"""The loops whose step without an error shows that the server answers."""


class Turning(Protocol):
    """A loop, as far as its health is concerned."""

    name: str
    well_at: float

    @property
    def turns(self) -> bool:
        """Whether its thread lives, and is not stuck in a step."""


def health_of(loops: Mapping[str, Turning], now: float, *, stopped: bool, ending: bool) -> WorkerHealth:
    """The health of one worker."""
    if stopped:
        return WorkerHealth(live=False, ready=False, reason="the worker has stopped")
    if ending:
        return WorkerHealth(live=True, ready=False, reason="the worker ends: it claims nothing more")
    stuck = sorted(name for name, loop in loops.items() if not loop.turns)
    if stuck:
        return WorkerHealth(live=False, ready=False, reason=f"these loops do not turn: {', '.join(stuck)}")
    ago = now - max(loops[name].well_at for name in ASKING)
    if ago > READY_FOR:
        since = f"for {ago:.0f} s" if ago < float("inf") else "yet"
        return WorkerHealth(live=True, ready=False, reason=f"MongoDB has not answered {since}")
    return WorkerHealth(live=True, ready=True)
