"""The soft end: `shutdown` finishes what is there and takes nothing new, `drain` lets what runs end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mongoq import AsyncQueue, ConfigurationError, NewTask, Queue, QueueClosed, Task, TaskState, shutdown
from proving.tempos import Face

Make = Callable[..., Face]


@pytest.fixture
def look(make_queue: Callable[..., Queue]) -> Queue:
    """A queue object of its own, which looks at what another has left."""
    return make_queue()


class Gate:
    """A function that waits at a gate, so that a test decides when it goes on."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.told: list[bool] = []

    def __call__(self, task: Task) -> str:
        self.entered.set()
        self.opened.wait(30)
        self.told.append(task.cancelled)
        return "done"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def beside(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start a call in a thread of its own, and what it returns."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    return thread, results


def shut(*queues: Face, **options: Any) -> Any:
    whole = [queue.whole for queue in queues]
    return queues[0].settled(lambda: shutdown(*whole, **options))


def test_a_shutdown_finishes_what_is_ready_and_refuses_what_is_new(
    make: Make, look: Queue, gate: Gate, until: Callable[..., None]
) -> None:
    queue = make(workers=1, namespace=look.namespace)
    keys = [queue.new(priority=-n).key for n in range(5)]
    later = queue.new(delay=3_600).key
    queue.start(gate, executor="threads")
    gate.entered.wait(30)
    thread, finished = beside(lambda: shut(queue))
    base = queue.whole._base
    until(lambda: base.shutting_down)
    enqueues: list[Callable[[], Any]] = [
        queue.new,
        queue.submit,
        lambda: queue.new_many([{}]),
        lambda: queue.load([{}]),
        lambda: queue.modify(insert=[NewTask()]),
    ]
    for enqueue in enqueues:
        with pytest.raises(QueueClosed, match="takes no new tasks"):
            enqueue()
    assert queue.get(keys[0]).state is TaskState.RUNNING, "what looks and acts goes on"
    gate.opened.set()
    thread.join(60)

    assert finished == [True]
    assert [look.get(key).state for key in keys] == [TaskState.COMPLETED] * 5
    assert not any(gate.told), "no handler was told to stop"
    assert look.get(later).state is TaskState.SCHEDULED
    with pytest.raises(QueueClosed, match="was closed"):
        queue.get(later)


def test_a_shutdown_gives_up_at_its_timeout_and_gives_back_what_is_left(make: Make, look: Queue, gate: Gate) -> None:
    queue = make(workers=1, grace=0.1, namespace=look.namespace)
    keys = [queue.new(priority=-n).key for n in range(3)]
    queue.start(gate, executor="threads")
    gate.entered.wait(30)
    assert shut(queue, timeout=0.2) is False
    assert [(task.state, task.charged) for task in map(look.get, keys)] == [(TaskState.READY, 0)] * 3


def test_a_shutdown_finishes_several_queues_side_by_side(make: Make, make_queue: Callable[..., Queue]) -> None:
    looks = [make_queue() for _ in range(2)]
    queues = [make(workers=1, namespace=look.namespace) for look in looks]
    met = threading.Barrier(2)
    for queue in queues:
        queue.new_many([{"n": n} for n in range(2)])
        queue.start(lambda task: met.wait(30) and None, executor="threads")
    assert shut(*queues) is True
    assert [look.stats()["default"].completed for look in looks] == [2, 2]


def test_a_shutdown_enqueues_what_handlers_return_to_follow(make: Make, look: Queue) -> None:
    queue = make(workers=1, namespace=look.namespace)
    queue.new({"n": 3})
    queue.start(lambda task: [NewTask({"n": task.tags["n"] - 1})] if task.tags["n"] else None, executor="threads")
    assert shut(queue) is True
    assert look.stats()["default"].completed == 4


def test_a_shutdown_of_a_queue_without_workers_closes_it(queue: Face) -> None:
    queue.new()
    assert shut(queue) is True
    with pytest.raises(QueueClosed):
        queue.size()


def test_a_shutdown_takes_queues_of_one_tempo(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue()
    with pytest.raises(ConfigurationError, match="an AsyncQueue, as the others"):
        shutdown(queue, AsyncQueue("mongodb://nowhere"))  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="'mail' is not a Queue"):
        shutdown("mail")  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="timeout"):
        shutdown(queue, timeout=-1)
    assert queue.new().key, "nothing was done"


def test_a_drained_worker_lets_what_runs_end_and_starts_nothing_more(queue: Face, gate: Gate) -> None:
    first, second = queue.new(priority=1).key, queue.new().key
    handle = queue.start(gate, workers=1, executor="threads")
    gate.entered.wait(30)
    assert queue.settled(lambda: handle.drain(timeout=0.05)) is False, "its handler still runs"
    assert not handle.stopped
    gate.opened.set()
    assert queue.settled(handle.drain) is True
    assert handle.stopped
    assert gate.told == [False], "it was not told to stop"
    assert (queue.get(first).state, queue.get(first).result) == (TaskState.COMPLETED, "done")
    assert (queue.get(second).state, queue.get(second).charged) == (TaskState.READY, 0)
    assert queue.settled(lambda: handle.drain(1)) is True, "one that has stopped is drained"
