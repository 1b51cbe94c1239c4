"""`fleet`: many busy processes on one queue; of as many that have a queue each.

On few cores the processes themselves are the limit: what is compared is the cost of sharing a queue. `fleet.N.two` sets
the same figure beside two processes alone.
"""

from __future__ import annotations

from functools import partial

from benchmarks.contention import overall
from benchmarks.drain import expect_empty
from benchmarks.fleet import Fleet
from benchmarks.report import Row, rounds
from benchmarks.setting import Setting
from benchmarks.worker import Spec


def fleet(setting: Setting) -> list[Row]:
    """Measure every size, by turns."""
    rows = []
    for size in setting.sizes(8, 32, 64):
        shared, apart, two = rounds(
            setting.rounds(),
            partial(_drained, setting, ["default"] * size),
            partial(_drained, setting, [f"q{number}" for number in range(size)]),
            partial(_drained, setting, ["default"] * 2),
        )
        rows += [Row(f"fleet.{size}", "tasks/s", shared, apart), Row(f"fleet.{size}.two", "tasks/s", shared, two)]
    return rows


def _drained(setting: Setting, queues: list[str]) -> float:
    """Tasks/s of one process for each of these queues, all of which hold the same number of tasks together."""
    with setting.place() as place:
        lines = sorted(set(queues))
        for queue in lines:
            place.fill(max(1, setting.count(100_000) // len(lines)), queue=queue)
        specs = [Spec(place.queue.namespace, burst=True, queues=[queue]) for queue in queues]
        with Fleet(setting.uri, specs) as processes:
            processes.go()
            rate = overall([processes.hear() for _ in specs])
        expect_empty(place.queue)
        return rate
