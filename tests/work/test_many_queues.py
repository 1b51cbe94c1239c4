"""One worker that serves more queues than a claim can name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import ConfigurationError, NewTask, Queue

NAMES = [f"tenant/{number}" for number in range(1_500)]


def test_priorities_are_strict_across_all_queues_of_a_worker(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(workers=1)
    tasks = [
        NewTask({"n": number}, queue=name, priority=number * 7919 % 50)
        for number, name in enumerate(NAMES[:1_200:3] * 2)
    ]
    queue.new_many([NewTask(queue="foreign", priority=99), *tasks])
    seen: list[int] = []
    queue.run(lambda task: seen.append(task.priority), queues=NAMES, burst=True, prefetch=0)
    assert len(seen) == len(tasks)
    assert seen == sorted(seen, reverse=True)
    assert queue.size("foreign") == queue.size() == 1


def test_every_queue_of_a_worker_gets_its_turn(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(workers=2)
    queue.load(({"n": number} for number in range(3_000)), queue=NAMES[0])
    queue.new_many(NewTask(queue=name) for name in NAMES[1:301])
    queue.run(lambda task: None, queues=NAMES, burst=True)
    assert queue.size() == 0


def test_an_idle_worker_starts_what_comes_to_one_of_its_queues(
    make_queue: Callable[..., Queue], until: Callable[..., None]
) -> None:
    queue = make_queue(workers=1)
    heard = threading.Event()
    watching = threading.Event()
    queue.telemetry.subscribe(lambda name, _fields: watching.set() if name == "wakeups.watching" else None)
    queue.start(lambda task: heard.set(), queues=NAMES)
    assert watching.wait(60)
    queue.new(queue=NAMES[-1])
    assert heard.wait(60)


def test_functions_of_other_names_do_not_hide_those_that_it_knows(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(workers=1)
    seen: list[Any] = []

    @queue.task(name="known")
    def known(n: int) -> None:
        seen.append(n)

    queue.new_many(NewTask(name="unknown", queue=name, priority=9) for name in NAMES[:250])
    queue.new(NewTask({"n": 1}, name="known", queue=NAMES[240]))
    queue.run(queues=NAMES, burst=True)
    assert seen == [1]
    assert queue.size() == 250


def test_more_queues_than_a_worker_can_serve_are_refused(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue()
    many = [f"q{number}" for number in range(10_001)]
    with pytest.raises(ConfigurationError, match="1 to 10,000 queue names"):
        queue.start(lambda task: None, queues=many)
    with pytest.raises(ConfigurationError, match="1 to 100 queue names"):
        queue.try_claim(many[:101])


def test_paused_queues_neither_run_nor_hold_up_the_others(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(workers=1)
    for name in NAMES[:3]:
        queue.pause(name)
    queue.new_many(NewTask(queue=name, priority=9 if name in NAMES[:3] else 0) for name in NAMES[:9])
    queue.run(lambda task: None, queues=NAMES, burst=True)
    assert queue.size() == 3
