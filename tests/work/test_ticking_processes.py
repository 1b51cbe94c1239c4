"""Processes that race for ticks while they are killed and frozen: each tick is enqueued once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mongoq import NewTask, Queue, Task
from mongoq.embedded.server import EmbeddedServer
from mongoq.scheduling.due import key_of
from proving.tiers import long_but_for

CHANCE = random.Random(7)  # noqa: S311 -- no secret
PROGRAM = Path(__file__).parent / "ticking_process.py"


class Ticking:
    """Processes that tick; `meddle` kills or freezes one of them."""

    def __init__(self, uri: str, namespace: str, count: int) -> None:
        self._command = [sys.executable, str(PROGRAM), uri, namespace]
        self.killed = self.frozen = 0
        self.running = [self._start() for _ in range(count)]
        self._asleep: list[tuple[float, subprocess.Popen[str]]] = []

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)

    def await_all(self) -> None:
        for one in self.running:
            assert one.stdout is not None
            assert one.stdout.readline() == "ticking\n"

    def meddle(self) -> None:
        self.thaw(time.monotonic())
        awake = [one for one in self.running if one not in [asleep for _, asleep in self._asleep]]
        victim = CHANCE.choice(awake or self.running)
        if CHANCE.random() < 0.4:
            victim.kill()
            self.killed += 1
            self.running[self.running.index(victim)] = self._start()
            self._reap(victim)
        elif victim in awake:
            victim.send_signal(signal.SIGSTOP)
            self.frozen += 1
            self._asleep.append((time.monotonic() + CHANCE.uniform(0.2, 2), victim))

    def thaw(self, until: float) -> None:
        for entry in [entry for entry in self._asleep if entry[0] <= until]:
            self._asleep.remove(entry)
            entry[1].send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.thaw(float("inf"))
        for one in self.running:
            one.kill()
            self._reap(one)

    def _reap(self, one: subprocess.Popen[str]) -> None:
        self._asleep = [entry for entry in self._asleep if entry[1] is not one]
        one.wait()
        if one.stdout is not None:
            one.stdout.close()


@pytest.fixture
def ticking(server: EmbeddedServer) -> Iterator[Callable[[str, int], Ticking]]:
    """Give `ticking(namespace, count)`: processes that tick, killed afterwards."""
    made: list[Ticking] = []

    def start(namespace: str, count: int) -> Ticking:
        made.append(Ticking(server.uri, namespace, count))
        made[-1].await_all()
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.mark.parametrize("size", long_but_for([(12, 4, 6)], [(12, 4, 6), (300, 20, 120)]), ids=str)
def test_each_tick_is_enqueued_once_by_processes_that_are_killed_and_frozen(
    make_queue: Callable[..., Queue],
    ticking: Callable[[str, int], Ticking],
    until: Callable[..., None],
    size: tuple[int, int, float],
) -> None:
    schedules, processes, seconds = size
    queue = make_queue(keep_completed=0)
    names = [f"s{place}" for place in range(schedules)]
    made = [queue.schedule(name, "* * * * * *", NewTask(), catch_up="all") for name in names]
    ran: list[str] = []
    handle = queue.start(lambda task: ran.append(_alone(task)), workers=4)
    fleet = ticking(queue.namespace, processes)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        fleet.meddle()
        threading.Event().wait(0.1)
    fleet.thaw(float("inf"))
    enough = queue.time() + timedelta(seconds=1)
    until(lambda: all((one.last_at or enough) > enough for one in queue.schedules()), why="all went on")
    last = {one.name: queue.pause_schedule(one.name).last_at for one in made}
    until(queue.empty, timeout=200, why="all have run")
    handle.stop(0)

    assert fleet.killed > 2
    assert fleet.frozen > 2
    expected = {
        key_of(one.name, tick)
        for one in made
        if one.next_at is not None and (until_ := last[one.name]) is not None
        for tick in one.timing.within(one.next_at, until_)
    }
    assert len(expected) >= schedules * seconds
    assert {key: count for key, count in Counter(ran).items() if count > 1} == {}, "enqueued twice"
    assert expected - set(ran) == set(), "missed"
    assert set(ran) - expected == set()


def _alone(task: Task) -> str:
    assert task.attempts == 1
    return task.key
