"""`new_many`, `load`, `submit` and `buffer` against a server."""

from __future__ import annotations

import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from mongoq import (
    ConfigurationError,
    DuplicateTask,
    InvalidTask,
    NewTask,
    Queue,
    QueueClosed,
    StorageRefused,
    StorageUnavailable,
    Task,
)
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.documents.drafting import CHUNK


def numbers(queue: Queue) -> list[int]:
    return sorted(task.tags["n"] for task in queue.tasks(limit=None))


def test_many_tasks_keep_their_order_across_chunks(queue: Queue) -> None:
    made = queue.new_many({"n": number} for number in range(2_500))

    assert [task.tags["n"] for task in made] == list(range(2_500))
    assert [task.key for task in made] == [task.key for task in queue.tasks(limit=None)]
    first = queue.try_claim()
    assert first is not None
    assert first.tags["n"] == 0


def buffered(queue: Queue) -> None:
    with queue.buffer() as buffer:
        buffer.new({}, delay=60)


@pytest.mark.parametrize(
    "enqueue",
    [
        lambda queue: queue.new({}, delay=60),
        lambda queue: queue.new_many([{}], delay=60),
        lambda queue: queue.load([{}], delay=60),
        buffered,
        lambda queue: queue.submit({}, delay=60).result(60),
    ],
    ids=["new", "new_many", "load", "buffer", "submit"],
)
def test_the_first_enqueue_goes_by_the_server_s_clock(queue: Queue, enqueue: Callable[[Queue], object]) -> None:
    clock: Any = queue._base.context.clock
    clock._offset -= 300  # a host that is slow, before its queue has asked the server
    enqueue(queue)
    (task,) = queue.tasks()
    assert 0 < (task.run_at - queue.time()).total_seconds() < 65


def test_the_first_enqueue_imports_nothing_that_the_import_of_mongoq_did_not_bring(
    queue: Queue, server: EmbeddedServer
) -> None:
    code = f"""
import sys, mongoq
with mongoq.Queue({server.uri!r}, namespace={queue.namespace!r}) as queue:
    before = set(sys.modules)
    queue.new({{"n": 1}}, priority=2, delay=0, max_retries=3)
    print([name for name in sys.modules if name.startswith("mongoq") and name not in before])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    assert queue.size() == 1


def test_no_tasks_are_none(queue: Queue) -> None:
    assert queue.new_many([]) == []
    assert queue.load(iter(())) == 0


def test_one_bad_task_of_a_list_leaves_nothing_behind(queue: Queue) -> None:
    tasks: list[dict[str, Any]] = [{"n": number} for number in range(2 * CHUNK)]

    with pytest.raises(InvalidTask, match=r"tasks\[2000\]\.tags\.n"):
        queue.new_many([*tasks, {"n": object()}])
    assert queue.size() == 0


@pytest.mark.parametrize("verb", ["new_many", "load"])
def test_one_bad_task_of_a_stream_says_what_was_enqueued_before_it(queue: Queue, verb: str) -> None:
    def tasks() -> Iterator[dict[str, Any]]:
        yield from ({"n": number} for number in range(2 * CHUNK + 3))
        yield {"n": object()}

    with pytest.raises(InvalidTask, match=r"tasks\[2003\]\.tags\.n") as caught:
        getattr(queue, verb)(tasks())
    assert caught.value.enqueued == 2 * CHUNK
    assert caught.value.__notes__ == ["tasks enqueued before it: 2,000"]
    assert numbers(queue) == list(range(2 * CHUNK))


def test_a_taken_key_among_many_is_named_and_those_before_it_exist(queue: Queue) -> None:
    queue.new({"n": -1}, key="b")

    with pytest.raises(DuplicateTask, match="'b'") as caught:
        queue.new_many(NewTask({"n": place}, key=key) for place, key in enumerate("abc"))
    assert (caught.value.key, caught.value.enqueued) == ("b", 1)
    assert numbers(queue) == [-1, 0]


def test_skip_enqueues_the_rest_and_returns_those_that_are_there_in_their_places(queue: Queue) -> None:
    here = [queue.new({"n": -1}, key="b"), queue.new({"n": -2}, unique="u")]
    tasks = [
        NewTask({"n": 0}, key="a", on_conflict="skip"),
        NewTask({"n": 1}, key="b", on_conflict="skip"),
        NewTask({"n": 2}, unique="u", on_conflict="skip"),
        NewTask({"n": 3}, key="a", on_conflict="skip"),
        NewTask({"n": 4}, on_conflict="skip"),
    ]

    made = queue.new_many(tasks)
    assert [task.tags["n"] for task in made] == [0, -1, -2, 0, 4]
    assert [task.key for task in made[1:3]] == [task.key for task in here]
    assert numbers(queue) == [-2, -1, 0, 4]


def test_a_load_that_broke_off_is_done_again_without_twins(queue: Queue) -> None:
    tasks = [NewTask({"n": number}, key=f"row-{number}", on_conflict="skip") for number in range(2_500)]
    queue.load(tasks[:1_300])

    assert queue.load(iter(tasks)) == 1_200
    assert numbers(queue) == list(range(2_500))


def test_the_options_of_a_load_are_those_of_new_many(queue: Queue) -> None:
    assert queue.load([{"n": 1}], queue="other", priority=7, on_conflict="skip") == 1
    assert [(task.queue, task.priority) for task in queue.tasks()] == [("other", 7)]
    with pytest.raises(TypeError, match=r"Queue.load\(\) has no option 'prioritty'; did you mean 'priority'\?"):
        queue.load([{}], prioritty=1)  # type: ignore[call-arg]


def test_a_stream_is_not_held_in_memory(queue: Queue) -> None:
    held: list[int] = []

    def tasks() -> Iterator[dict[str, Any]]:
        for number in range(20):
            tracemalloc.reset_peak()
            yield from ({"text": f"{number}{place}" + 1_000 * "x"} for place in range(CHUNK))
            held.append(tracemalloc.get_traced_memory()[1])

    queue.new()
    tracemalloc.start()
    try:
        assert queue.load(tasks()) == 20 * CHUNK
    finally:
        tracemalloc.stop()
    assert max(held[10:]) < 1.5 * max(held[2:6])


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
