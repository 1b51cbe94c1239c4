"""`flow`: what parents and batches cost, and how soon they are followed.

`flow.fanin`: from the end of the last of 10,000 members, which ends when the ends of all others are written, to the
start of the callback, beside the time from a plain
`new` to the start of its handler, in one worker that runs in this process. `flow.commands`: commands beyond those of
the same tasks without a batch, for each flush. `flow.chain`: a chain of 1,000, the time for each link, beside the same.
`flow.drain`: tasks without parents and batches where the namespace has both, beside one that has neither.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from typing import Any

from benchmarks.report import Row, rounds
from benchmarks.setting import Place, Setting
from mongoq import NewTask, Signpost, Task
from mongoq.core.lifecycle import Event

SAMPLES = 50
PATIENCE = 300.0


def flow(setting: Setting) -> list[Row]:
    """Measure each side in a namespace of its own."""
    members, links = setting.count(10_000), max(10, setting.count(10_000) // 10)
    fanin, chain, plain = rounds(
        setting.rounds(), lambda: _fanin(setting, members), lambda: _chain(setting, links), lambda: _plain(setting)
    )
    with_flow, without = rounds(
        setting.rounds(), lambda: _drain(setting, uses=True), lambda: _drain(setting, uses=False)
    )
    extra = [_extra(setting, members)]
    return [
        Row("flow.fanin", "ms", fanin, plain),
        Row("flow.commands", "commands", extra),
        Row("flow.chain", "ms", chain, plain),
        Row("flow.drain", "tasks/s", with_flow, without),
    ]


class _Watch:
    """When the handlers of a worker started and ended, and how many flushes and commands there were."""

    def __init__(self) -> None:
        self.started: dict[int, float] = {}
        self.ended = 0.0
        self.flushes = itertools.count()
        self.done = threading.Event()
        self.last = -1
        self.alone = 0
        """The member that waits until the endings of all the others are written."""
        self.written = 0

    def handle(self, task: Task) -> None:
        """Note a start; the task numbered `last` is the last."""
        number = task.tags["n"]
        while 0 < number == self.alone and self.written < number:
            time.sleep(0.001)
        self.started[number] = time.monotonic()
        if number == self.last:
            self.done.set()
        elif number >= 0:
            self.ended = time.monotonic()

    def tell(self, name: str, said: Any) -> None:
        """Count the flushes, and the endings in them."""
        if name == Signpost.FINISHED:
            next(self.flushes)
            # What was given back, as of a claim whose reply was late, is told here too.
            self.written += sum(verdict.event is Event.COMPLETE for _, verdict in said["endings"])

    def wait(self) -> None:
        """Until the last one has started."""
        if not self.done.wait(PATIENCE):
            raise AssertionError("the last task never started")


def _fanin(setting: Setting, members: int) -> float:
    with setting.place(keep=3600) as place:
        watch = _Watch()
        watch.last, watch.alone = -2, members - 1
        with place.queue.batch(then=NewTask({"n": -2})) as batch:
            batch.new_many({"n": number} for number in range(members))
        place.queue.telemetry.subscribe(watch.tell)
        handle = place.queue.start(watch.handle, workers=2)
        watch.wait()
        handle.stop()
        return (watch.started[-2] - watch.ended) * 1000


def _chain(setting: Setting, links: int) -> float:
    with setting.place(keep=3600) as place:
        watch = _Watch()
        watch.last = links - 1
        keys = [Task.new_key() for _ in range(links)]
        place.queue.new_many(
            [
                NewTask({"n": n}, key=key, after=keys[n - 1 : n], delay=2 if n == 0 else None)
                for n, key in enumerate(keys)
            ]
        )
        handle = place.queue.start(watch.handle, workers=1)
        watch.wait()
        handle.stop()
        return (watch.started[links - 1] - watch.started[0]) / (links - 1) * 1000


def _plain(setting: Setting) -> float:
    with setting.place(keep=3600) as place:
        watch = _Watch()
        handle = place.queue.start(watch.handle, workers=1)
        waits = []
        for number in range(SAMPLES):
            time.sleep(0.05)
            watch.done.clear()
            watch.last = number
            sent = time.monotonic()
            place.queue.new({"n": number})
            watch.wait()
            waits.append(watch.started[number] - sent)
        handle.stop()
        return statistics.median(waits) * 1000


def _extra(setting: Setting, members: int) -> float:
    """Commands for each flush beyond those of the same tasks without a batch."""
    counts = []
    for batched in (True, False):
        with setting.place(keep=3600) as place:
            counts.append(_counted(setting, place, members, batched=batched))
    (sent, flushes), (plain, plain_flushes) = counts
    return sent / flushes - plain / plain_flushes


def _counted(setting: Setting, place: Place, members: int, *, batched: bool) -> tuple[int, int]:
    watch = _Watch()
    watch.last = -2
    tags = ({"n": number} for number in range(members))
    if batched:
        with place.queue.batch(then=NewTask({"n": -2})) as batch:
            batch.new_many(tags)
    else:
        place.queue.new_many(tags)
        place.queue.new({"n": -2}, priority=-1)
    stop = place.queue.telemetry.subscribe(watch.tell)
    before = _commands(setting)
    handle = place.queue.start(watch.handle, workers=1)
    watch.wait()
    handle.stop()
    stop()
    return _commands(setting) - before, max(1, next(watch.flushes))


def _commands(setting: Setting) -> int:
    """How many reads and writes the server has served."""
    served = setting.client.admin.command("serverStatus")["opcounters"]
    return int(served["query"] + served["update"] + served["insert"] + served["delete"] + served["command"])


def _drain(setting: Setting, *, uses: bool) -> float:
    with setting.place() as place:
        if uses:
            place.queue.new(key="parent", delay=86_400, queue="aside")
            place.queue.new_many([{"n": n} for n in range(1_000)], after=["parent"], queue="aside")
            with place.queue.batch(then=NewTask(queue="aside")) as batch:
                batch.new_many([{"n": n} for n in range(1_000)], queue="aside")
        place.fill(setting.count(10_000) * 10)
        return _drained(place)


def _drained(place: Place) -> float:
    size = place.queue.size("default")
    began = time.perf_counter()
    place.queue.run(lambda _: None, burst=True)
    rate = size / (time.perf_counter() - began)
    if place.queue.size("default"):
        raise AssertionError("the burst ended before the queue was empty")
    return rate
