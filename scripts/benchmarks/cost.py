"""`cost`: what one task costs from its claim to its end, deleted and kept: commands, bytes, CPU of client and server.

The limit is the least that the protocol needs: the bare driver's pipelined loop over the same tasks, in a process of
its own as the worker is. `cost.single` is that of tasks which come one by one, by `new` in this process, to an idle
worker, with that of `new`; it has no limit.

The server counts commands and bytes (`network.numRequests`, `bytesIn`, `bytesOut`, the entries of its oplog), and the
operating system the CPU time; what the server does for nobody is taken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from bson import Timestamp

from benchmarks import filling
from benchmarks.drain import expect_empty
from benchmarks.fleet import Fleet
from benchmarks.report import Row
from benchmarks.server import cpu_seconds
from benchmarks.setting import Setting
from benchmarks.worker import Spec

KEPT = 3_600
QUIET = 1.0
PAUSE = 0.02
"""Seconds between two tasks that come one by one: the worker is idle again."""
PATIENCE = 30.0


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
    singles = [_single(setting) for _ in range(setting.rounds())]
    return rows + [
        Row(f"cost.single.{field}", unit, [getattr(one, field) for one in singles]) for field, unit in UNITS.items()
    ]


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
    return _of_each(count, spent, told["cpu"], beside)


def _single(setting: Setting) -> Cost:
    count = max(1, setting.count(50_000) // 100)
    with setting.place() as place, Fleet(setting.uri, [Spec(place.queue.namespace)]) as fleet:
        fleet.go()
        place.queue.new()
        _come(fleet, 1)
        time.sleep(QUIET)
        quiet = _spent(setting, lambda: time.sleep(QUIET))
        before = fleet.facts()

        def work() -> None:
            for tags in filling.tags(count):
                time.sleep(PAUSE)
                place.queue.new(tags)
            _come(fleet, 1 + count)

        spent = _spent(setting, work)
        after = fleet.facts()
    beside = quiet[3] / QUIET * (after["now"] - before["now"])
    return _of_each(count, spent, after["cpu"] - before["cpu"], beside)


def _come(fleet: Fleet, count: int) -> None:
    """Return once so many tasks have been run."""
    deadline = time.monotonic() + PATIENCE
    while fleet.facts()["done"] < count:
        if time.monotonic() > deadline:
            raise AssertionError("a task has not come to the worker")
        time.sleep(0.05)


def _of_each(count: int, spent: tuple[float, float, float, float], client: float, beside: float) -> Cost:
    """What one task costs, without what the server uses beside."""
    commands, wire, oplog, server = spent
    return Cost(
        commands / count * 1_000,
        wire / count,
        oplog / count,
        client / count * 1e6,
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
