"""Bounded queues: what is enqueued beyond `max_size` waits for room, or is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq import ConfigurationError, NewTask, Queue, QueueFull
from mongoq.core.clock import FrozenClock
from mongoq.storage.operations.namespace.depth import GRANT_FOR
from proving.tempos import Face

Make = Callable[..., Face]


def test_a_full_queue_refuses_at_once_what_does_not_wait(make: Make) -> None:
    queue = make(max_size=5)
    for n in range(3):
        queue.new({"n": n})
    for n in range(2):
        queue.new({"n": n}, delay=60)  # what is scheduled waits too
    with pytest.raises(QueueFull, match=r"the queue 'default' has no room: 5 tasks may wait in it \(max_size\)"):
        queue.new()
    assert queue.size() == 5
    assert queue.new(queue="other").queue == "other", "each queue has room of its own"


def test_a_task_that_was_claimed_makes_room(make: Make) -> None:
    queue = make(max_size=1)
    queue.new()
    assert queue.claim(timeout=0)
    assert queue.new(wait=60), "it may have been counted a moment ago"
    with pytest.raises(QueueFull):
        queue.new()


def test_who_waits_is_let_in_when_there_is_room(make: Make, make_queue: Callable[..., Queue]) -> None:
    queue = make(max_size=2)
    worker = make_queue(namespace=queue.namespace)
    queue.new_many([{}] * 2)
    let_in: list[str] = []
    waiting = threading.Thread(target=lambda: let_in.append(queue.new({"late": True}, wait=60).key))
    waiting.start()
    waiting.join(0.2)
    assert not let_in
    task = worker.claim(timeout=0)
    assert task is not None
    waiting.join(60)
    assert len(let_in) == 1
    assert queue.count(state="ready") == 2


def test_who_waits_in_vain_is_told_how_long(make: Make) -> None:
    queue = make(max_size=1)
    queue.new()
    began = time.monotonic()
    with pytest.raises(QueueFull, match=r"no room after [0-9]+\.[0-9] s"):
        queue.new(wait=timedelta(seconds=1))
    assert time.monotonic() - began >= 1


def test_many_are_enqueued_as_room_comes(make: Make, make_queue: Callable[..., Queue], until: Any) -> None:
    queue = make(max_size=100)
    worker = make_queue(namespace=queue.namespace)
    most: list[int] = []
    made: list[int] = []
    producer = threading.Thread(target=lambda: made.append(queue.load(({"n": n} for n in range(1_000)), wait=60)))
    producer.start()
    until(lambda: worker.count(state="ready") >= 90, why="it is filled")
    ran: list[int] = []
    handle = worker.start(lambda task: ran.append(task.tags["n"]), workers=1)
    while producer.is_alive():
        most.append(worker.count(state="ready"))
    producer.join()
    until(lambda: not worker.size(), why="all has run")
    handle.stop()
    assert made == [1_000]
    assert sorted(ran) == list(range(1_000))
    assert max(most, default=0) <= 105


def test_a_load_that_finds_no_room_says_how_far_it_came(make: Make) -> None:
    queue = make(max_size=50)
    with pytest.raises(QueueFull) as full:
        queue.new_many([{}] * 200)
    assert full.value.enqueued == queue.size()
    assert 45 <= queue.size() <= 50


def test_what_is_submitted_into_a_full_queue_has_the_error_as_its_result(make: Make) -> None:
    queue = make(max_size=3)
    queue.new_many([{}] * 3)
    if queue.tempo == "blocking":
        with pytest.raises(QueueFull):
            queue.whole.submit({}).result(60)
        with queue.whole.buffer() as buffer, pytest.raises(QueueFull):
            buffer.new({})
    else:

        async def both() -> None:
            with pytest.raises(QueueFull):
                await queue.whole.submit({})
            async with queue.whole.buffer() as buffer:
                with pytest.raises(QueueFull):
                    await buffer.new({})

        queue.settled(both)
    assert queue.size() == 3


def test_follow_ups_and_changes_are_not_refused(make: Make, make_queue: Callable[..., Queue]) -> None:
    queue = make(max_size=1)
    queue.new()
    queue.modify(insert=[NewTask(), NewTask()])
    assert queue.size() == 3
    worker = make_queue(namespace=queue.namespace, max_size=1)
    worker.run(lambda task: [NewTask(queue="next")] * 2, burst=True)
    assert queue.size("next") == 6


def test_room_that_a_dead_process_held_comes_back(make: Make, make_queue: Callable[..., Queue]) -> None:
    clock = FrozenClock()
    queue = make(max_size=10, clock=clock)
    queue.new()
    dead = make_queue(namespace=queue.namespace, max_size=10, clock=clock)
    assert dead._base.rooms is not None
    dead._base.driver.run(dead._base.rooms.admit("default", 9, 0))  # and it dies before it enqueues
    with pytest.raises(QueueFull):
        queue.new_many([{}] * 9)
    clock.advance(GRANT_FOR + timedelta(milliseconds=1))
    assert len(queue.new_many([{}] * 9)) == 9
    assert queue.size() == 10


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "many"])
def test_a_size_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^max_size: "):
        Queue("mongodb://nowhere", max_size=wrong)


def test_a_wait_that_is_no_duration_is_refused_before_anything_is_sent(make: Make) -> None:
    queue = make()
    with pytest.raises(ConfigurationError, match=r"^wait: "):
        queue.new(wait=-1)
    with pytest.raises(ConfigurationError, match=r"^wait: "):
        queue.load([{}], wait="long")
