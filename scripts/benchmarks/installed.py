"""`drain.default`: `mongoq worker` with no option but what it is to run; of the same command with its best settings.

Both keep completed tasks for an hour, as the command does by default. The rate is that between the start of the first
handler and the last ending, by the times in the tasks, so that the start of the process is not in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.drain import expect_empty
from benchmarks.report import Row, rounds
from benchmarks.setting import Setting

BEST: Final = ("--workers", "1")
"""Four handlers, or 1,000, 4,000 or 8,000 tasks claimed ahead instead of 0.1 s of work, drained no faster."""


def installed(setting: Setting) -> list[Row]:
    """Measure both by turns."""
    default, best = rounds(setting.rounds(), partial(drained, setting, ()), partial(drained, setting, BEST))
    return [Row("drain.default", "tasks/s", default, best)]


def drained(setting: Setting, options: tuple[str, ...] = ()) -> float:
    """Tasks/s of `mongoq worker` with these options."""
    count = setting.count(100_000)
    with setting.place(keep=3_600) as place:
        place.fill(count)
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        where = {"MONGOQ_URI": setting.uri, "MONGOQ_NAMESPACE": place.queue.namespace, "PYTHONPATH": path}
        command = [sys.executable, "-m", "mongoq", "worker", "benchmarks.handlers:no_op", "--burst", *options]
        done = subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"mongoq worker failed: {done.stderr[-1_000:]}")
        expect_empty(place.queue)
        instants: dict[str, Any] = {"first": {"$min": "$hold.started_at"}, "last": {"$max": "$finished_at"}}
        (ran,) = place.tasks.aggregate([{"$group": {"_id": None, "count": {"$sum": 1}, **instants}}])
        if ran["count"] != count:
            raise AssertionError(f"{ran['count']} of {count} tasks were kept")
        return float(count / (ran["last"] - ran["first"]).total_seconds())
