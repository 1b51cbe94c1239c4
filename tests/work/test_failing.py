"""What becomes of a failure: retried or not, told in a field of the task and in one line of the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from mongoq import ConfigurationError, Failure, Queue, Task, TaskState

MakeQueue = Callable[..., Queue]


def ended(queue: Queue, key: str) -> tuple[str, str | None]:
    task = queue.get(key)
    return task.state.value, task.failure and task.failure.value


def test_rules_of_the_queue_of_the_run_and_of_the_task_hold_in_every_executor(
    make_queue: MakeQueue, importable: ModuleType, run: Any
) -> None:
    queue = make_queue(workers=1, backoff=600, no_retry_on=importable.is_for_good)
    for error in ("value", "busy", "for good"):
        queue.new({"error": error}, key=error)
    queue.new({"error": "busy"}, key="own", no_retry_on=importable.Busy)
    queue.new({"error": "value"}, key="own by name", retry_on="Busy")
    queue.new({"error": "wrapped"}, key="wrapped")
    run(queue, "fails_by_name")
    assert ended(queue, "value") == ended(queue, "busy") == ("scheduled", None)
    assert ended(queue, "for good") == ended(queue, "own") == ended(queue, "own by name") == ("failed", "not_retried")
    assert ended(queue, "wrapped") == ("failed", "handler")
    told = queue.get("wrapped").last_error
    assert told is not None
    assert (told.type, told.message) == ("RuntimeError", "outer")

    queue.new({"error": "value"}, key="of this run")
    run(queue, "fails_by_name", retry_on=importable.Busy)
    assert ended(queue, "of this run") == ("failed", "not_retried")


def test_a_predicate_that_children_cannot_import_is_refused(queue: Queue, importable: ModuleType) -> None:
    with pytest.raises(ConfigurationError, match=r"no_retry_on: <function .* at the top level of a module"):
        queue.run(importable.returns, executor="processes", no_retry_on=lambda error: True)


def test_a_failed_task_tells_why_until_it_is_run_again(make_queue: MakeQueue) -> None:
    queue = make_queue(max_retries=0)
    queue.new(key="a")
    assert queue.get("a").failure is None
    queue.run(lambda task: 1 / 0, burst=True)
    assert queue.get("a").failure is Failure.EXHAUSTED
    queue.rerun("a")
    assert queue.get("a").failure is None
    task = queue.try_claim()
    assert task is not None
    queue.fail(task, "no use")
    assert queue.get("a").failure is Failure.HANDLER


def test_a_dead_letter_tells_why_it_came_there(make_queue: MakeQueue) -> None:
    queue = make_queue(max_retries=0, error_queue=True)
    queue.new(key="a")
    queue.run(lambda task: 1 / 0, burst=True)
    dead = queue.get("a")
    assert (dead.queue, dead.state, dead.failure) == ("default/err", TaskState.READY, Failure.EXHAUSTED)
    queue.redrive("default/err")
    assert queue.get("a").failure is None


def test_a_foreign_document_that_is_set_aside_was_refused(queue: Queue, collection: Any) -> None:
    collection.insert_one({"_id": "a", "queue": "default", "state": "ready", "priority": "high", "version": 1})
    queue.new(key="b")
    queue.run(lambda task: None, burst=True)
    assert ended(queue, "a") == ("failed", "refused")


def test_the_last_failure_logs_one_record_with_the_errors_of_all_attempts(
    make_queue: MakeQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue = make_queue(max_retries=2, backoff=0, failure_message="the invoice was not sent")
    queue.new(key="a")

    def failing(task: Task) -> None:
        raise ValueError(f"number {task.attempts}")

    queue.run(failing, burst=True)
    ours = [record for record in caplog.records if record.name == "mongoq.worker"]
    (record,) = [record for record in ours if record.levelno == logging.ERROR]
    assert record.getMessage() == (
        "the invoice was not sent: task a of default has failed (its retries are used up): "
        "attempt 1: ValueError: number 1; attempt 2: ValueError: number 2; attempt 3: ValueError: number 3"
    )
    assert sum("failed with ValueError" in record.getMessage() for record in ours) == 2, "those that ran again"
    facts = vars(record)
    assert (facts["task_key"], facts["task_queue"], facts["task_failure"]) == ("a", "default", "exhausted")
    assert [error.message for error in facts["task_errors"]] == ["number 1", "number 2", "number 3"]


def test_a_task_may_bring_a_failure_message_of_its_own(make_queue: MakeQueue, caplog: pytest.LogCaptureFixture) -> None:
    queue = make_queue(max_retries=0, failure_message="by the queue")
    queue.new(key="a", failure_message="by the task")
    queue.run(lambda task: 1 / 0, burst=True)
    assert "by the task: task a of default has failed" in caplog.text
    assert "by the queue" not in caplog.text


def test_a_task_function_has_rules_and_predicates_of_its_own_in_every_executor(
    make_queue: MakeQueue, importable: ModuleType, run: Any, request: pytest.FixtureRequest
) -> None:
    queue = make_queue(workers=1, retry_on=ValueError)
    name = "fails_on_a_loop" if "asyncio" in request.node.name else "fails"
    queue.include(importable.TASKS)
    for error in ("value", "busy", "for good"):
        queue.new({"error": error}, key=error, name=name, retry_on="Busy")
    run(queue, "fails")
    assert ended(queue, "busy") == ("scheduled", None)
    assert ended(queue, "value") == ended(queue, "for good") == ("failed", "not_retried")


def test_a_task_function_may_have_a_function_as_its_backoff(make_queue: MakeQueue) -> None:
    queue = make_queue(workers=1)

    @queue.task(backoff=lambda attempt: 600 * attempt)
    def fails() -> None:
        raise ValueError("no")

    key = fails.new().key
    queue.run(burst=True)
    assert 500 < (queue.get(key).run_at - queue.time()).total_seconds() <= 600


def test_a_predicate_of_a_function_that_children_cannot_import_is_refused(queue: Queue, importable: ModuleType) -> None:
    queue.include(importable.LAMBDAS)
    with pytest.raises(ConfigurationError, match=r"no_retry_on: <function .* at the top level of a module"):
        queue.run(executor="processes")
