"""`cron.race`: 1,000 schedules that tick each second, and 20 processes that enqueue what is due.

Two processes are killed or frozen each second, and in the middle the clock of every fourth one goes 3 s wrong. The
figures are the ticks that were missed and those that were enqueued twice, of all between the first and the last.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.report import Row
from benchmarks.setting import Place, Setting
from mongoq import NewTask, Queue, Schedule
from mongoq.core.clock import ServerClock
from mongoq.scheduling.due import key_of
from mongoq.storage.operations.schedules.tick import tick

SCHEDULES = 1_000
PROCESSES = 20
SECONDS = 30.0
STEP = 3.0
PATIENCE = 300.0


def cron(setting: Setting) -> list[Row]:
    """Race once in each round."""
    missed, doubled = zip(*(_raced(setting) for _ in range(setting.rounds(1))), strict=True)
    return [Row("cron.race.missed", "ticks", missed), Row("cron.race.doubled", "ticks", doubled)]


def _raced(setting: Setting) -> tuple[float, float]:
    (count,) = setting.sizes(PROCESSES)
    with setting.place() as place:
        names = [f"s{number}" for number in range(setting.count(SCHEDULES))]
        first = {name: place.queue.schedule(name, "* * * * * *", NewTask(), catch_up="all").next_at for name in names}
        ran: list[str] = []
        handle = place.queue.start(lambda task: ran.append(task.key), workers=2)
        processes = [_start(setting, place, wrong=number % 4 == 0) for number in range(count)]
        try:
            _meddle(setting, place, processes)
            _await_all(place)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        last = {name: place.queue.pause_schedule(name) for name in names}
        while place.queue.size():
            time.sleep(0.1)
        handle.stop()
        return _judged(setting, first, last, ran)


def _start(setting: Setting, place: Place, *, wrong: bool) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    step_after = setting.duration(SECONDS) / 2 if wrong else float("inf")
    command = [sys.executable, "-m", "benchmarks.cron", place.queue.namespace, str(step_after)]
    return subprocess.Popen(command, env={**os.environ, "MONGOQ_URI": setting.uri, "PYTHONPATH": path})


def _meddle(setting: Setting, place: Place, processes: list[subprocess.Popen[bytes]]) -> None:
    """Kill or freeze one of them twice a second; one that was killed is started again, a frozen one goes on later."""
    chance, end = random.Random(7), time.monotonic() + setting.duration(SECONDS)  # noqa: S311 -- no secret
    asleep: dict[int, float] = {}
    while (now := time.monotonic()) < end:
        for number in [number for number, until in asleep.items() if until < now]:
            processes[number].send_signal(signal.SIGCONT)
            del asleep[number]
        number = chance.randrange(len(processes))
        if number not in asleep:
            if chance.random() < 0.5:
                processes[number].kill()
                processes[number].wait()
                processes[number] = _start(setting, place, wrong=number % 4 == 0)
            else:
                processes[number].send_signal(signal.SIGSTOP)
                asleep[number] = now + chance.uniform(0.2, 3)
        time.sleep(0.5)
    for number in asleep:
        processes[number].send_signal(signal.SIGCONT)


def _await_all(place: Place) -> None:
    """Until every schedule has gone on beyond this moment."""
    enough, deadline = place.queue.time(), time.monotonic() + PATIENCE
    while any(one.last_at is None or one.last_at < enough for one in place.queue.schedules()):
        if time.monotonic() > deadline:
            raise AssertionError("the schedules fall behind: fewer, by --tasks, or more cores")
        time.sleep(0.2)


def _judged(
    setting: Setting, first: dict[str, datetime | None], last: dict[str, Schedule], ran: list[str]
) -> tuple[float, float]:
    """How many ticks were missed, and how many runs were too many: tasks are deleted when they have run."""
    expected: set[str] = set()
    for name, since in first.items():
        until = last[name].last_at
        assert since is not None
        assert until is not None
        expected |= {key_of(name, instant) for instant in last[name].timing.within(since, until)}
    setting.note(f"cron.race: {len(expected):,} ticks of {len(first):,} schedules")
    return float(len(expected - set(ran))), float(len(ran) - len(expected & set(ran)))


class SteppedClock(ServerClock):
    """The server's time, until it goes wrong."""

    def __init__(self, after: float) -> None:
        super().__init__()
        self._steps_at = time.monotonic() + after

    def measured(self, server: Any, sent: float, received: float) -> None:
        """Take the server's time, or what a host would whose clock has been set wrongly."""
        super().measured(server, sent, received)
        if time.monotonic() > self._steps_at:
            self._offset += STEP


def main(namespace: str, step_after: str) -> None:
    """Enqueue what schedules say, over and over, until killed."""
    with Queue(namespace=namespace, clock=SteppedClock(float(step_after))) as queue:
        parent = os.getppid()
        while os.getppid() == parent:
            base: Any = queue._base  # noqa: SLF001 -- no worker does nothing else
            base.run(tick(base.context))
            time.sleep(random.uniform(0, 0.05))  # noqa: S311 -- no secret


if __name__ == "__main__":
    main(*sys.argv[1:])
