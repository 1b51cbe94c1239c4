"""Made tasks, single handlers, asserts about what is enqueued, and recorded events."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from mongoq import AsyncQueue, Fail, Interruption, NewTask, Queue, Retry, Task, TaskError, TaskState
from mongoq.testing import (
    FrozenClock,
    Recorder,
    assert_enqueued,
    make_task,
    memory_async_queue,
    memory_queue,
    perform,
    perform_async,
    refute_enqueued,
)

NOW = FrozenClock().now()


def test_a_task_is_made_as_a_handler_gets_it() -> None:
    task = make_task({"user": 42})
    assert (task.tags, task.state, task.attempts, task.queue) == ({"user": 42}, TaskState.RUNNING, 1, "default")
    assert task.lease_until == NOW + timedelta(seconds=30)
    assert not task.cancelled


def test_what_is_not_given_of_a_task_fits_its_state() -> None:
    ready, done = make_task(state="ready"), make_task(state=TaskState.COMPLETED, result=7)
    assert (ready.token, ready.lease_until, ready.attempts, ready.started_at) == (None, None, 0, None)
    assert (done.token, done.finished_at, done.result) == (None, NOW, 7)
    error = TaskError("ValueError", "no", "", NOW, 1, "w")
    assert make_task(errors=(error,), retries=1).last_error is error
    assert make_task(token=None).token is None


def test_a_handler_is_performed_on_tags() -> None:
    ran = perform(lambda task: task.tags["user"] + 1, {"user": 41})
    assert (ran.result, ran.state, ran.error) == (42, TaskState.COMPLETED, None)


def test_a_failure_is_judged_by_the_options_that_the_task_carries() -> None:
    def fails(task: Task) -> None:
        raise ValueError("no")

    assert perform(fails).state is TaskState.SCHEDULED
    assert perform(fails).run_at == NOW + timedelta(seconds=10)
    ran = perform(fails, NewTask({"user": 1}, max_retries=0, queue="mail"))
    assert (ran.state, str(ran.error), ran.task.queue) == (TaskState.FAILED, "no", "mail")
    assert perform(fails, make_task(attempts=4)).run_at == NOW + timedelta(seconds=40)


def test_signals_and_follow_ups_of_a_single_handler_are_told() -> None:
    def handler(task: Task) -> list[NewTask]:
        if task.attempts == 1:
            raise Retry("later", delay=5)
        if task.attempts == 2:
            raise Fail("never")
        return [NewTask({"next": 1})]

    assert perform(handler).note == "later"
    assert perform(handler, attempts=2).state is TaskState.FAILED
    assert perform(handler, attempts=3).then[0].tags == {"next": 1}


def test_a_handler_can_be_told_to_stop() -> None:
    def handler(task: Task) -> None:
        task.raise_if_cancelled()

    assert perform(handler, interruption=Interruption.CANCEL).state is TaskState.CANCELLED
    assert perform(handler, interruption=Interruption.SHUTDOWN).state is TaskState.READY
    assert perform(handler).state is TaskState.COMPLETED


def test_a_coroutine_handler_is_performed_in_both_tempos() -> None:
    async def handler(attempt: Any, task: Task) -> int:
        await asyncio.sleep(0)
        return task.attempts

    assert perform(handler).result == 1
    assert asyncio.run(perform_async(handler, {"a": 1})).result == 1


def test_enqueued_tasks_are_asserted_by_queue_and_tags(mongoq_queue: Queue) -> None:
    mongoq_queue.new({"user": 1}, queue="mail")
    mongoq_queue.new({"user": 2, "kind": "welcome"}, queue="mail", delay=60)
    assert len(assert_enqueued(mongoq_queue, "mail")) == 2
    assert [task.tags["user"] for task in assert_enqueued(mongoq_queue, "mail", {"kind": "welcome"}, count=1)] == [2]
    assert_enqueued(mongoq_queue, where={"user": 1})
    refute_enqueued(mongoq_queue, "bills")
    refute_enqueued(mongoq_queue, "mail", {"user": 3})


def test_a_failed_assert_shows_what_is_enqueued(mongoq_queue: Queue) -> None:
    with pytest.raises(AssertionError, match="at least 1 of any queue wanted, 0 enqueued; nothing is enqueued"):
        assert_enqueued(mongoq_queue)
    mongoq_queue.new({"user": 1}, queue="mail")
    with pytest.raises(
        AssertionError, match=r"queue 'mail' with \{'user': 2\} wanted, 0 .*\n  mail: \{'user': 1\}, ready"
    ):
        assert_enqueued(mongoq_queue, "mail", {"user": 2})
    with pytest.raises(AssertionError, match="2 of queue 'mail' wanted, 1 enqueued"):
        assert_enqueued(mongoq_queue, "mail", count=2)
    with pytest.raises(AssertionError, match=r"none of queue 'mail' wanted, 1 enqueued.*\n  mail: "):
        refute_enqueued(mongoq_queue, "mail")
    task = mongoq_queue.try_claim("mail")
    assert task is not None
    mongoq_queue.complete(task)
    refute_enqueued(mongoq_queue, "mail")


def test_the_asserts_of_an_async_queue_are_awaited(mongoq_async_queue: AsyncQueue) -> None:
    async def test() -> None:
        await mongoq_async_queue.new({"user": 1})
        assert len(await assert_enqueued(mongoq_async_queue, count=1)) == 1
        with pytest.raises(AssertionError, match="none of any queue"):
            await refute_enqueued(mongoq_async_queue)

    asyncio.run(test())


def test_each_memory_queue_has_a_database_of_its_own() -> None:
    with memory_queue(max_retries=3) as one, memory_queue() as other:
        one.new()
        assert (one.size(), other.size(), one.namespace) == (1, 0, "test")
        assert one.time() == NOW

    async def test() -> None:
        async with memory_async_queue(namespace="mail") as queue:
            await queue.new()
            assert (await queue.size(), queue.namespace) == (1, "mail")

    asyncio.run(test())


def test_the_recorder_waits_for_the_events_of_a_worker(mongoq_queue: Queue) -> None:
    with Recorder(mongoq_queue) as events:
        handle = mongoq_queue.start(lambda task: None)
        mongoq_queue.new({"n": 1})
        [ended] = events.wait("task.ended")
        assert ended["task"].tags == {"n": 1}
        events.wait("tasks.finished")
        handle.stop()
    with pytest.raises(AssertionError, match=r"1 events 'task.lease_lost' wanted within 0 s, came: \["):
        events.wait("task.lease_lost", timeout=0)
