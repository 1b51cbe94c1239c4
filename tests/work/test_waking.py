from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from mongoq import Queue, TaskState
from mongoq.core import clock
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import connect
from mongoq.storage.drivers.steps import Stepper
from mongoq.storage.drivers.streaming.change_stream import ChangeStream
from mongoq.storage.operations.watch import News, new_work

Make = Callable[..., Queue]


class Opened(CommandListener):
    """Counts the streams that a client opens."""

    def __init__(self) -> None:
        self.streams = 0

    def started(self, event: CommandStartedEvent) -> None:
        self.streams += event.command_name == "aggregate"

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@pytest.fixture
def producer(make_queue: Make, queue: Queue) -> Queue:
    """Give another object on the same namespace, as another process would have."""
    return make_queue(namespace=queue.namespace)


def waits(producer: Queue, events: Any, rounds: int = 8) -> list[float]:
    """Enqueue tasks one by one; the seconds from each enqueue to its claim."""
    seconds = []
    for number in range(1, rounds + 1):
        events.wait("wakeups.watching")
        task = producer.new()
        started = events.wait("task.started", number)[-1]["task"]
        assert started.key == task.key
        seconds.append((started.started_at - task.created_at).total_seconds())
        events.wait("tasks.finished", number)
    return sorted(seconds)


def test_an_idle_worker_starts_what_another_process_enqueues_long_before_its_poll(
    queue: Queue, producer: Queue, events: Any
) -> None:
    queue.start(lambda task: None)
    # The poll comes after 5 s, or 1 s without a stream: a median far below it was no poll.
    assert waits(producer, events)[4] < 0.25


def test_a_task_delayed_by_another_process_starts_when_it_is_due(queue: Queue, producer: Queue, events: Any) -> None:
    queue.start(lambda task: None)
    events.wait("wakeups.watching")
    late = []
    for number in range(1, 4):
        due = producer.new(delay=0.4).run_at
        started = events.wait("task.started", number)[-1]["task"].started_at
        late.append((started - due).total_seconds())
    assert min(late) >= 0
    assert sorted(late)[1] < 0.3


def test_news_goes_on_after_the_collection_was_dropped_and_the_cursors_killed(
    queue: Queue, producer: Queue, events: Any, collection: Any
) -> None:
    queue.start(lambda task: None)
    waits(producer, events, 1)
    collection.drop()
    events.wait("wakeups.watching", 2)
    producer.init()
    producer.new()
    events.wait("tasks.finished", 2)


def test_a_look_for_news_may_take_longer_than_the_client_s_sockets_wait(queue: Queue, server: EmbeddedServer) -> None:
    opened = Opened()
    with MongoClient[Any](server.uri, socketTimeoutMS=200, event_listeners=[opened]) as client:
        stream = ChangeStream(
            BlockingDriver(connect(client), Stepper(clock.ServerClock())).run,
            queue._base.context,
            new_work(["default"]),
            await_seconds=0.6,
        )
        stream.begin()
        assert stream.wait() is None
        assert stream.open
        made = queue.new()
        assert stream.wait() == News(TaskState.READY, made.key, "default")
        stream.end()
    assert opened.streams == 1, "the driver did not have to open it again"


def test_an_idle_worker_hears_of_tasks_that_are_moved_to_it_and_of_tasks_put_forward(
    queue: Queue, producer: Queue, events: Any
) -> None:
    queue.start(lambda task: None)
    waits = []
    for number in range(1, 7):
        moved = number % 2
        key = producer.new(queue="elsewhere").key if moved else producer.new(delay=300).key
        events.wait("wakeups.watching")
        asked = producer.time()
        if moved:
            producer.move(key, to="default")
        else:
            producer.update(key, delay=0)
        started = events.wait("task.started", number)[-1]["task"]
        assert started.key == key
        waits.append((started.started_at - asked).total_seconds())
        events.wait("tasks.finished", number)
    # Polls come after 5 s, looks for what is due after 10 s: most were neither.
    assert sorted(waits)[3] < 0.5
