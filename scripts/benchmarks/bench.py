"""The benchmarks, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.awaited import awaited
from benchmarks.churn import churn
from benchmarks.contention import contention
from benchmarks.cost import cost
from benchmarks.cron import cron
from benchmarks.crowd import fleet
from benchmarks.dashboard import dashboard
from benchmarks.depth import depth
from benchmarks.drain import drain
from benchmarks.enqueue import enqueue
from benchmarks.executors import executors
from benchmarks.fairness import fair
from benchmarks.flow import flow
from benchmarks.functions import functions
from benchmarks.idle import idle
from benchmarks.imports import imports
from benchmarks.installed import installed
from benchmarks.latency import latency
from benchmarks.limits import limits
from benchmarks.memory import memory
from benchmarks.modify import modify
from benchmarks.payload import payload
from benchmarks.peers import peers
from benchmarks.queues import queues
from benchmarks.report import Row
from benchmarks.setting import Setting
from benchmarks.sleeping import fleet_idle, fleet_one

BENCHMARKS: Final[dict[str, Callable[[Setting], list[Row]]]] = {
    "drain": drain,
    "drain.default": installed,
    "enqueue": enqueue,
    "latency": latency,
    "idle": idle,
    "depth": depth,
    "churn": churn,
    "contention": contention,
    "memory": memory,
    "executors": executors,
    "functions": functions,
    "import": imports,
    "modify": modify,
    "flow": flow,
    "limits": limits,
    "fair": fair,
    "cron": cron,
    "queues": queues,
    "cost": cost,
    "payload": payload,
    "async": awaited,
    "dashboard": dashboard,
    "peers": peers,
    "fleet": fleet,
    "fleet.idle": fleet_idle,
    "fleet.one": fleet_one,
}
