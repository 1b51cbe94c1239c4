"""Claims that wait for a task: one stream and one poll for all."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient, monitoring

from mongoq import Queue, QueueClosed, Task
from mongoq.embedded.server import EmbeddedServer

Make = Callable[..., Queue]


@pytest.fixture
def producer(make_queue: Make, queue: Queue) -> Queue:
    """Give another object on the same namespace, as another process would have."""
    return make_queue(namespace=queue.namespace)


def places(queue: Queue) -> dict[Any, Any]:
    """The places where somebody waits, or did."""
    hand: Any = queue._base.driver.run(queue._base.hand())
    known: dict[Any, Any] = hand._places._known
    return known


class Claimants:
    """Threads that wait for a task each, and what they got."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._threads: list[threading.Thread] = []
        self.got: list[Task | None] = []
        self.errors: list[Exception] = []

    def start(self, count: int, **options: Any) -> None:
        threads = [threading.Thread(target=self._claim, kwargs=options) for _ in range(count)]
        for thread in threads:
            thread.start()
        self._threads += threads

    def join(self, timeout: float = 60) -> None:
        for thread in self._threads:
            thread.join(timeout)
            assert not thread.is_alive()

    def _claim(self, **options: Any) -> None:
        try:
            self.got.append(self._queue.claim(**options))
        except QueueClosed as error:
            self.errors.append(error)


@pytest.fixture
def claimants(queue: Queue) -> Iterator[Claimants]:
    claimants = Claimants(queue)
    yield claimants
    queue.close()
    claimants.join()


def test_a_claim_that_waits_gets_what_another_process_enqueues_long_before_its_poll(
    queue: Queue, producer: Queue, events: Any, claimants: Claimants, until: Callable[..., None]
) -> None:
    waits = []
    for number in range(1, 6):
        claimants.start(1, timeout=30)
        events.wait("wakeups.watching", number)
        task = producer.new()
        until(lambda number=number: len(claimants.got) == number, why="the task is claimed")
        claimed = claimants.got[-1]
        assert claimed is not None
        assert claimed.key == task.key
        assert claimed.started_at is not None
        waits.append((claimed.started_at - task.created_at).total_seconds())
        until(lambda: not places(queue)[("default",), "[]"]._stream.open, why="nobody waits any more")
    # The poll comes after 5 s, or 1 s without a stream: a median far below it was no poll.
    assert sorted(waits)[2] < 0.25


def test_a_claim_that_waits_gets_a_task_when_it_falls_due_and_not_before(
    producer: Queue, events: Any, claimants: Claimants
) -> None:
    claimants.start(1, timeout=30)
    events.wait("wakeups.watching")
    due = producer.new(delay=0.4).run_at
    claimants.join()
    assert claimants.got[0] is not None
    assert claimants.got[0].started_at is not None
    assert timedelta(0) <= claimants.got[0].started_at - due < timedelta(seconds=5)


def test_a_claim_that_waits_gets_a_task_of_a_claimant_that_vanished(make_queue: Make) -> None:
    queue = make_queue(lease=1)
    key = queue.new().key
    vanished = queue.try_claim()
    assert vanished is not None
    rescued = queue.claim(timeout=30)
    assert rescued is not None
    assert (rescued.key, rescued.attempts, rescued.charged) == (key, 2, 1)


def test_a_claim_ends_empty_handed_at_its_timeout(queue: Queue) -> None:
    before = time.monotonic()
    assert queue.claim(timeout=0.3) is None
    assert time.monotonic() - before >= 0.3
    assert queue.claim(timeout=0) is None


def test_a_claim_that_waits_for_several_queues_takes_the_most_urgent_of_all(queue: Queue) -> None:
    queue.new(queue="a", priority=1)
    queue.new(queue="b", priority=2)
    queue.new(queue="c", priority=3)
    claimed = [queue.claim(["a", "b"], timeout=0) for _ in range(3)]
    assert [task and task.queue for task in claimed] == ["b", "a", None]


def test_closing_the_queue_ends_a_claim_that_waits(queue: Queue, events: Any, claimants: Claimants) -> None:
    claimants.start(3)
    events.wait("wakeups.watching")
    queue.close()
    claimants.join()
    assert len(claimants.errors) == 3


def test_those_who_wait_get_one_task_each_and_share_one_stream(
    queue: Queue, producer: Queue, events: Any, claimants: Claimants, until: Callable[..., None]
) -> None:
    claimants.start(8, timeout=60)
    until(lambda: places(queue) and _waiting(queue) == 8, why="all of them wait")
    events.wait("wakeups.watching")
    keys = {task.key for task in producer.new_many([{}] * 8)}
    claimants.join(60)
    assert Counter(task.key for task in claimants.got if task) == Counter(keys)
    assert len(places(queue)) == 1


def _waiting(queue: Queue) -> int:
    return sum(place._count for place in places(queue).values())


class Commands(monitoring.CommandListener):
    """How often each command was sent."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.counts[event.command_name] += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def test_one_task_does_not_send_all_who_wait_to_the_server(
    server: EmbeddedServer, producer: Queue, watch: Any, until: Callable[..., None]
) -> None:
    commands = Commands()
    with MongoClient[dict[str, Any]](server.uri, event_listeners=[commands]) as client:
        queue = Queue(client, namespace=producer.namespace)
        events, claimants = watch(queue), Claimants(queue)
        claimants.start(30)
        until(lambda: _waiting(queue) >= 29, why="all of them wait, but for the one that looks")
        events.wait("wakeups.watching")
        before = commands.counts["findAndModify"]
        started = time.monotonic()
        for number in range(1, 6):
            producer.new()
            until(lambda number=number: len(claimants.got) == number, why="one of them has it")
        polls = time.monotonic() - started + 5
        # Each task costs the claim that gets it and the one that finds no more; all 30 at once would be 150.
        assert commands.counts["findAndModify"] - before <= 5 * 4 + polls
        queue.close()
        claimants.join()


def test_a_lobby_that_nobody_uses_is_forgotten_for_the_sake_of_others(queue: Queue) -> None:
    for number in range(20):
        assert queue.claim(f"q{number}", timeout=0.001) is None
    assert len(places(queue)) <= 8
