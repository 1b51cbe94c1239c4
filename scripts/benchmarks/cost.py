"""`cost`: what one task costs from its claim to its end, deleted and kept: commands, bytes, CPU of client and server.

The limit is the least that the protocol needs: the bare driver's pipelined loop over the same tasks, in a process of
its own as the worker is. The server counts commands and bytes (`network.numRequests`, `bytesIn`, `bytesOut`, the
entries of its oplog), and the operating system the CPU time; what the server does for nobody is taken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from bson import Timestamp

from benchmarks.drain import expect_empty
from benchmarks.fleet import Fleet
from benchmarks.report import Row
from benchmarks.server import cpu_seconds
from benchmarks.setting import Setting
from benchmarks.worker import Spec

KEPT = 3_600
QUIET = 1.0


class Cost(NamedTuple):
    """What one task costs."""

    commands: float
    """For 1,000 tasks."""
    wire: float
    oplog: float
    client: float
    server: float


UNITS = {"commands": "per 1,000", "wire": "bytes", "oplog": "bytes", "client": "µs", "server": "µs"}


def cost(setting: Setting) -> list[Row]:
    """Measure a worker and the least, by turns."""
    rows = []
    for how, keep in (("delete", 0), ("keep", KEPT)):
        ours: Callable[[], Cost] = partial(_cost, setting, keep, "")
        least: Callable[[], Cost] = partial(_cost, setting, keep, how)
        measured = [(ours(), least()) for _ in range(setting.rounds())]
        for field, unit in UNITS.items():
            figures, limits = ([getattr(pair[side], field) for pair in measured] for side in (0, 1))
            rows.append(Row(f"cost.{how}.{field}", unit, figures, limits))
    return rows


def _cost(setting: Setting, keep: float, loop: str) -> Cost:
    count = setting.count(50_000)
    with setting.place(keep=keep) as place:
        place.fill(count)
        with Fleet(setting.uri, [Spec(place.queue.namespace, burst=True, keep=keep, raw=loop)]) as fleet:
            quiet = _spent(setting, lambda: time.sleep(QUIET))
            told: dict[str, Any] = {}

            def work() -> None:
                fleet.go()
                told.update(fleet.hear())

            spent = _spent(setting, work)
        expect_empty(place.queue)
    if told["done"] != count:
        raise AssertionError(f"{told['done']} of {count} tasks were done")
    beside = quiet[3] / QUIET * (told["ended"] - told["began"])
    commands, wire, oplog, server = spent
    return Cost(
        commands / count * 1_000,
        wire / count,
        oplog / count,
        told["cpu"] / count * 1e6,
        max(0.0, server - beside) / count * 1e6,
    )


def _spent(setting: Setting, work: Callable[[], object]) -> tuple[float, float, float, float]:
    """Commands, bytes on the wire, bytes of oplog and CPU seconds of the server meanwhile."""
    before, began = _counted(setting), _now(setting)
    work()
    after = _counted(setting)
    commands, wire, cpu = (late - early for early, late in zip(before, after, strict=True))
    return commands, wire, _logged(setting, began), cpu


def _counted(setting: Setting) -> tuple[float, float, float]:
    network = setting.client.admin.command("serverStatus")["network"]
    return network["numRequests"], network["bytesIn"] + network["bytesOut"], cpu_seconds(setting.client)


def _now(setting: Setting) -> Timestamp:
    moment: Timestamp = setting.client.admin.command("hello")["lastWrite"]["opTime"]["ts"]
    return moment


def _logged(setting: Setting, since: Timestamp) -> int:
    """Bytes of the oplog's entries since then."""
    pipeline: list[dict[str, Any]] = [
        {"$match": {"ts": {"$gt": since}, "op": {"$ne": "n"}}},
        {"$group": {"_id": None, "bytes": {"$sum": {"$bsonSize": "$$ROOT"}}}},
    ]
    rows = list(setting.client["local"]["oplog.rs"].aggregate(pipeline))
    return rows[0]["bytes"] if rows else 0
