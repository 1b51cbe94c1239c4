"""`new_many` and `load` against a server."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mongoq import (
    DuplicateTask,
    InvalidTask,
    NewTask,
    Queue,
)
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.documents.drafting import CHUNK
from tests.work.producing import numbers


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
