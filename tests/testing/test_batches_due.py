"""Batch handlers without a server: `run_due` gathers what is due, as a worker would, and logs a last failure."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from mongoq import Fail, Queue, Retry, Stop, Task
from mongoq.testing import memory_queue, run_due


@pytest.fixture
def queue() -> Iterator[Queue]:
    with memory_queue() as opened:
        yield opened


def test_run_due_gathers_the_tasks_of_a_batch_function_and_ends_each(queue: Queue) -> None:
    sizes: list[int] = []

    @queue.task(batch=3, max_retries=1, backoff=0)
    def index(documents: list[str]) -> list[int | Fail | Retry]:
        sizes.append(len(documents))
        said: dict[str, Fail | Retry] = {"bad": Fail("no document"), "busy": Retry(delay=0)}
        return [said.get(document, len(document)) for document in documents]

    @queue.task
    def plain(number: int) -> int:
        return number

    handles = [index.new(document) for document in ("a", "bad", "ccc", "busy", "eeeee")]
    plain.new(1)
    ran = run_due(queue)

    assert sizes == [3, 2, 1], "the last attempt of one that failed is alone"
    assert [one.result for one in ran if one.task.name == "plain"] == [1]
    states = [queue.get(handle.key).state.value for handle in handles]
    assert states == ["completed", "failed", "completed", "failed", "completed"]
    assert [handle.result(timeout=0) for handle in (handles[0], handles[2], handles[4])] == [1, 3, 5]


def test_run_due_gives_a_plain_handler_lists(queue: Queue) -> None:
    queue.new_many({"n": number} for number in range(5))
    sizes: list[int] = []

    async def handler(tasks: list[Task]) -> list[int]:
        sizes.append(len(tasks))
        return [task.tags["n"] for task in tasks]

    assert [one.result for one in run_due(queue, handler, batch=2)] == [0, 1, 2, 3, 4]
    assert sizes == [2, 2, 1]


def test_an_error_of_the_test_gives_back_the_whole_batch(queue: Queue) -> None:
    queue.new_many([{}] * 3)

    def fails_the_test(tasks: list[Task]) -> None:
        pytest.fail("not so")

    with pytest.raises(pytest.fail.Exception, match="not so"):
        run_due(queue, fails_the_test, batch=3)

    def stops(tasks: list[Task]) -> list[Stop | None]:
        return [Stop("disk full"), None, None]

    with pytest.raises(Stop, match="disk full"):
        run_due(queue, stops, batch=3)
    assert (queue.count(state="ready"), queue.count(state="completed")) == (1, 2)
    assert {task.charged for task in queue.tasks(state="ready")} == {0}


def test_a_last_failure_is_logged_as_by_a_worker(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    queue.new(max_retries=1, backoff=0, failure_message="call the operators")

    def fails(task: Task) -> None:
        raise ValueError(f"attempt {task.attempts}")

    with caplog.at_level(logging.ERROR, "mongoq"):
        run_due(queue, fails)
    (record,) = caplog.records
    assert record.getMessage().startswith("call the operators: ")
    assert "attempt 1: ValueError: attempt 1; attempt 2: ValueError: attempt 2" in record.getMessage()
