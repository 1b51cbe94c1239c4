"""What threads, `buffer` and `submit` gather into few writes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from mongoq import (
    ConfigurationError,
    DuplicateTask,
    InvalidTask,
    Queue,
    QueueClosed,
    StorageRefused,
    StorageUnavailable,
    Task,
)
from mongoq.embedded.server import EmbeddedServer
from tests.work.producing import numbers

THREADS = 16


def of_threads(call: Callable[[int], Task]) -> list[Task | BaseException | None]:
    """What each of 16 calls at once returned or raised."""
    together = threading.Barrier(THREADS)

    def one(number: int) -> Task:
        together.wait(20)
        return call(number)

    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(one, number) for number in range(THREADS)]
        return [future.exception() or future.result() for future in futures]


class Inserts(CommandListener):
    """Counts the writes that a client sends."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: CommandStartedEvent) -> None:
        self.count += event.command_name == "insert"

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def test_the_tasks_of_many_threads_are_all_there_with_fewer_writes(server: EmbeddedServer, queue: Queue) -> None:
    inserts = Inserts()
    with MongoClient[Any](server.uri, event_listeners=[inserts]) as client:
        producer = Queue(client.get_database("mongoq"), namespace=queue.namespace)
        producer.new({"n": -1})
        with producer.buffer() as buffer:

            def produce(number: int) -> Task:
                made = [buffer.new({"n": 50 * number + place}, priority=number) for place in range(50)]
                assert [task.tags["n"] for task in made] == list(range(50 * number, 50 * number + 50))
                return made[-1]

            ended = of_threads(produce)
        assert all(isinstance(task, Task) and task.priority == number for number, task in enumerate(ended))
    assert numbers(queue) == list(range(-1, 50 * THREADS))
    assert inserts.count < 25 * THREADS


def test_of_many_threads_that_want_one_key_one_gets_it_and_all_can_have_its_task(queue: Queue) -> None:
    with queue.buffer() as buffer:
        ended = of_threads(lambda number: buffer.new({"n": number}, key="one"))
        (winner,) = [task for task in ended if isinstance(task, Task)]
        assert [type(error) for error in ended if error is not winner] == [DuplicateTask] * (THREADS - 1)

        skipped = of_threads(lambda number: buffer.new({"n": -1}, key="one", on_conflict="skip"))
        assert {task.tags["n"] for task in skipped if isinstance(task, Task)} == {winner.tags["n"]}
        assert len(queue.tasks()) == 1


def test_a_task_that_the_server_refuses_does_not_hurt_its_group(server: EmbeddedServer, queue: Queue) -> None:
    queue.new()
    with MongoClient[Any](server.uri) as client:
        validator = {"tags.n": {"$ne": 3}}
        client["mongoq"].command("collMod", f"{queue.namespace}.tasks", validator=validator)
    with queue.buffer() as buffer:
        ended = of_threads(lambda number: buffer.new({"n": number}, key="one" if number in (5, 6) else None))
    assert isinstance(ended[3], StorageRefused)
    assert "validator" in str(ended[3])
    assert sorted(type(ended[place]) is DuplicateTask for place in (5, 6)) == [False, True]
    assert len([task for task in ended if isinstance(task, Task)]) == THREADS - 2


def test_no_server_is_told_to_every_thread() -> None:
    with (
        Queue("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50") as queue,
        queue.buffer() as buffer,
    ):
        ended = of_threads(lambda number: buffer.new({"n": number}))
    assert {type(error) for error in ended} == {StorageUnavailable}


def test_a_buffer_ends_with_its_block(queue: Queue) -> None:
    with queue.buffer(max_delay=0) as buffer:
        assert queue.get(buffer.new(priority=3).key).priority == 3
    with pytest.raises(QueueClosed):
        buffer.new()
    with pytest.raises(ConfigurationError, match="max_delay"):
        queue.buffer(max_delay=-1).__enter__()


def test_a_worker_of_the_same_queue_hears_of_what_is_buffered(queue: Queue, events: Any) -> None:
    queue.start(lambda task: task.tags["n"])
    events.wait("wakeups.watching")
    with queue.buffer() as buffer:
        key = buffer.new({"n": 7}).key
        events.wait("tasks.finished")
    assert queue.get(key).result == 7


def test_submitted_tasks_are_all_there_in_their_order_with_few_writes(server: EmbeddedServer, queue: Queue) -> None:
    inserts = Inserts()
    with MongoClient[Any](server.uri, event_listeners=[inserts]) as client:
        producer = Queue(client.get_database("mongoq"), namespace=queue.namespace)
        futures = [producer.submit({"n": number}, priority=1) for number in range(2_000)]
        made = [future.result(60) for future in futures]
    assert [task.tags["n"] for task in made] == list(range(2_000))
    assert [task.key for task in made] == [task.key for task in queue.tasks(limit=None)]
    assert made[7].run_at == queue.get(made[7].key).run_at
    assert inserts.count < 200


def test_a_submitted_task_has_an_error_of_its_own(queue: Queue) -> None:
    queue.submit({"n": 0})  # the others come while it is written
    first, taken, skipped, other = (
        queue.submit({"n": 1}, key="a"),
        queue.submit({"n": 2}, key="a"),
        queue.submit({"n": 3}, key="a", on_conflict="skip"),
        queue.submit({"n": 4}, unique="u"),
    )
    with pytest.raises(InvalidTask, match="priority"):
        queue.submit(priority="high")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="did you mean 'priority'"):
        queue.submit(prioritty=1)  # type: ignore[call-arg]
    assert isinstance(taken.exception(20), DuplicateTask)
    assert skipped.result(60).tags == first.result(60).tags == {"n": 1}
    assert other.result(60).unique == "u"
    assert isinstance(queue.submit(unique="u").exception(20), DuplicateTask)
    assert numbers(queue) == [0, 1, 4]


def test_the_end_of_a_queue_waits_for_what_was_submitted(server: EmbeddedServer, queue: Queue) -> None:
    with Queue(server.uri, namespace=queue.namespace) as producer:
        futures = [producer.submit({"n": number}) for number in range(1_500)]
    assert all(future.done() for future in futures)
    assert numbers(queue) == list(range(1_500))
    with pytest.raises(QueueClosed):
        producer.submit()


def test_the_end_of_a_process_waits_for_what_was_submitted(server: EmbeddedServer, queue: Queue) -> None:
    code = "import sys; from mongoq import Queue; q = Queue(sys.argv[1], namespace=sys.argv[2])\n"
    code += "for n in range(1_500): q.submit({'n': n})"
    subprocess.run([sys.executable, "-c", code, server.uri, queue.namespace], check=True, timeout=60)
    assert numbers(queue) == list(range(1_500))


def test_a_worker_of_the_same_queue_hears_of_what_is_submitted(queue: Queue, events: Any) -> None:
    queue.start(lambda task: task.tags["n"])
    events.wait("wakeups.watching")
    key = queue.submit({"n": 7}).result(60).key
    events.wait("tasks.finished")
    assert queue.get(key).result == 7
