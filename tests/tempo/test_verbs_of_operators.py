"""The verbs of operators, in both tempos."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mongoq import (
    ConfigurationError,
    NewTask,
    TaskNotFound,
    TaskState,
    WrongState,
)
from proving.tempos import Face

Make = Callable[..., Face]


def test_looking(queue: Face) -> None:
    queue.new_many([NewTask(queue=name) for name in ("a", "a", "b")])
    assert queue.count(queue="a") == 2
    assert queue.size("a") == 2
    assert queue.queues() == {"a": 2, "b": 1}
    assert queue.stats(prefix="b")["b"].ready == 1
    assert len(queue.tasks(queue="a")) == 2
    assert queue.workers() == []
    assert queue.namespace in queue.namespaces()
    assert queue.standalone() is False
    assert abs(queue.time() - datetime.now(UTC)) < timedelta(seconds=30)
    assert queue.namespace in repr(queue.whole)


def test_operating_by_key(queue: Face) -> None:
    for key in "abcde":
        queue.new(key=key)
    assert queue.update("a", priority=5).priority == 5
    assert queue.cancel("a").state is TaskState.CANCELLED
    assert queue.rerun("a").state is TaskState.READY
    assert queue.delete("b") == 1
    with pytest.raises(TaskNotFound):
        queue.delete("b")
    assert queue.move("c", "other") == 1
    held = queue.try_claim()
    with pytest.raises(WrongState):
        queue.delete(held.key)


def test_operating_on_all_that_match(queue: Face) -> None:
    queue.new_many([{"n": n} for n in range(4)])
    with pytest.raises(ConfigurationError):
        queue.cancel_all()
    assert queue.move_all("other", where={"n": 0}) == 1
    assert queue.cancel_all(queue="other") == 1
    assert queue.rerun_all(state="cancelled") == 1
    assert queue.delete_all(queue="other") == 1
    for task in queue.claim_many(3):
        queue.fail(task, "no")
    assert queue.rerun_all() == 3
    queue.complete(queue.claim_many(2))
    assert queue.purge() == 2
    assert queue.size() == 1


def test_operating_on_tasks_by_their_error_and_by_time(queue: Face) -> None:
    """Finished tasks go by their end, others by when they were enqueued; `until` is not included."""
    queue.new_many([{"n": n} for n in range(4)], max_retries=0)
    for task in queue.claim_many(3):
        queue.fail(task, ValueError("no") if task.tags["n"] else KeyError("n"))
    failed = sorted(queue.tasks(state="failed"), key=lambda task: task.finished_at)
    # A second for two estimates of the server's time: a task that is read has not finished before it started.
    first, last = failed[0].finished_at - timedelta(seconds=1), failed[-1].finished_at
    assert queue.count(state="failed", error="ValueError") == 2
    assert queue.count(state="failed", since=first, until=last + timedelta(milliseconds=1)) == 3
    assert queue.count(state="failed", until=first) == 0
    assert queue.rerun_all(error="OSError") == 0
    assert queue.rerun_all(since=last + timedelta(milliseconds=1)) == 0
    assert queue.rerun_all(error="KeyError", since=first) == 1
    assert queue.count(error="KeyError") == 1
    assert queue.cancel_all(error="KeyError") == 1
    assert queue.move_all("other", since=failed[0].created_at) == 1
    assert queue.delete_all(error="ValueError") == 2
    with pytest.raises(ConfigurationError, match="since"):
        queue.cancel_all(since="yesterday")


def test_redriving(make: Make) -> None:
    queue = make(error_queue=True)
    queue.new()
    queue.fail(queue.try_claim(), "no")
    assert queue.redrive("default/err") == 1
    assert queue.size("default") == 1


def test_initialising(queue: Face) -> None:
    assert f"{queue.namespace}.tasks.claim" in queue.init()
    assert queue.init() == []
