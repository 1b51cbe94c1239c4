"""`idle`: what a worker without work costs: commands/s that it sends, and its CPU time in % of one core.

Commands are counted in the worker process by the driver's own listener, which does not see the driver's
monitoring of the server; the CPU time includes it.
"""

from __future__ import annotations

import time

from benchmarks.fleet import Fleet
from benchmarks.report import Row
from benchmarks.setting import Setting
from benchmarks.worker import Spec

SETTLING = 10.0


def idle(setting: Setting) -> list[Row]:
    """Watch a fresh worker process in every round, after it has settled."""
    watched = [_watched(setting) for _ in range(setting.rounds())]
    return [
        Row("idle.commands", "1/s", [commands for commands, _ in watched]),
        Row("idle.cpu", "%", [cpu for _, cpu in watched]),
    ]


def _watched(setting: Setting) -> tuple[float, float]:
    seconds = setting.duration(20)
    with setting.place() as place, Fleet(setting.uri, [Spec(place.queue.namespace, watch=True)]) as fleet:
        place.queue.new()  # it has worked once, as any worker has
        fleet.go()
        time.sleep(min(SETTLING, seconds))
        before = fleet.facts()
        time.sleep(seconds)
        after = fleet.facts()
    took = after["now"] - before["now"]
    return (after["commands"] - before["commands"]) / took, 100 * (after["cpu"] - before["cpu"]) / took
