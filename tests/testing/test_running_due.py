"""`run_due`: what is due runs in the calling thread, and the clock is moved to what becomes due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from mongoq import (
    AsyncQueue,
    Attempt,
    ConfigurationError,
    DuplicateTask,
    Fail,
    Modification,
    Move,
    NewTask,
    Queue,
    Retry,
    Signpost,
    Snooze,
    Task,
    TaskState,
)
from mongoq.core.clock import FrozenClock, ServerClock
from mongoq.testing import Recorder, memory_async_queue, memory_queue, perform, run_due


def test_all_that_is_due_runs_in_the_order_of_claims(mongoq_queue: Queue) -> None:
    mongoq_queue.new({"n": 1})
    mongoq_queue.new({"n": 2}, priority=5)
    mongoq_queue.new({"n": 3})
    done = run_due(mongoq_queue, lambda task: task.tags["n"])
    assert [(ran.result, ran.state) for ran in done] == [(n, TaskState.COMPLETED) for n in (2, 1, 3)]
    assert mongoq_queue.get(done[0].task.key).result == 2
    assert mongoq_queue.empty()


def test_retries_are_run_when_the_clock_is_moved_to_them(mongoq_queue: Queue, mongoq_clock: FrozenClock) -> None:
    task = mongoq_queue.new(max_retries=2)
    began = mongoq_clock.now()

    def fails(task: Task) -> None:
        raise ValueError(f"attempt {task.attempts}")

    done = run_due(mongoq_queue, fails)
    assert [str(ran.error) for ran in done] == ["attempt 1", "attempt 2", "attempt 3"]
    assert [ran.state for ran in done] == [TaskState.SCHEDULED, TaskState.SCHEDULED, TaskState.FAILED]
    assert mongoq_clock.now() - began == timedelta(seconds=30), "10 s and 20 s of backoff"
    assert mongoq_queue.get(task.key).retries == 3


def test_without_advance_only_what_is_due_now_runs(mongoq_queue: Queue, mongoq_clock: FrozenClock) -> None:
    mongoq_queue.new({"n": 1})
    mongoq_queue.new({"n": 2}, delay=60)
    assert [ran.task.tags["n"] for ran in run_due(mongoq_queue, lambda task: None, advance=False)] == [1]
    mongoq_clock.advance(60)
    assert [ran.task.tags["n"] for ran in run_due(mongoq_queue, lambda task: None, advance=False)] == [2]


def test_signals_snoozes_and_moves_do_what_they_do_in_a_worker(mongoq_queue: Queue) -> None:
    seen: list[tuple[str, int]] = []

    def handler(task: Task) -> None:
        seen.append((task.queue, task.attempts))
        if task.queue == "later":
            return
        if task.attempts == 1:
            raise Snooze(5, "not yet")
        if task.attempts == 2:
            raise Retry(delay=7)
        raise Move("later")

    mongoq_queue.new()
    done = run_due(mongoq_queue, handler, queues=["default", "later"])
    assert [queue for queue, _ in seen] == ["default", "default", "default", "later"]
    assert [ran.note for ran in done] == ["not yet", None, None, None]
    assert done[2].queue == "later"


def test_what_a_handler_returns_follows_and_runs_too(mongoq_queue: Queue) -> None:
    def handler(task: Task) -> NewTask | str:
        return NewTask({"step": 2}) if task.tags["step"] == 1 else "done"

    mongoq_queue.new({"step": 1})
    first, second = run_due(mongoq_queue, handler)
    assert first.then[0].tags == {"step": 2}
    assert second.result == "done"


def test_a_change_that_is_refused_leaves_nothing_behind(mongoq_queue: Queue) -> None:
    other = mongoq_queue.new({"other": True}, queue="else")
    mongoq_queue.update(other.key, priority=1)
    mongoq_queue.new(max_retries=0)
    change = Modification(insert=[NewTask(queue="else")], delete=[other])  # at a version that has gone
    [ran] = run_due(mongoq_queue, lambda task: change)
    assert ran.state is TaskState.FAILED
    assert [task.tags for task in mongoq_queue.tasks(queue="else")] == [{"other": True}]


def test_a_task_whose_worker_vanished_is_rescued_after_its_lease(
    mongoq_queue: Queue, mongoq_clock: FrozenClock
) -> None:
    mongoq_queue.new()
    assert mongoq_queue.try_claim() is not None
    began = mongoq_clock.now()
    [ran] = run_due(mongoq_queue, lambda task: "rescued")
    assert ran.result == "rescued"
    assert mongoq_clock.now() - began == timedelta(seconds=31)


def test_a_handler_that_fails_for_ever_is_told(mongoq_queue: Queue) -> None:
    mongoq_queue.new()

    def fails(task: Task) -> None:
        raise ValueError("no")

    with pytest.raises(AssertionError, match=r"5 attempts ran .* is due still.*ValueError\('no'\).*max_retries="):
        run_due(mongoq_queue, fails, limit=5)
    assert mongoq_queue.stats()["default"].running == 0, "the last claim is given back"


def test_what_fails_the_test_itself_passes_on_and_frees_the_task(mongoq_queue: Queue) -> None:
    mongoq_queue.new()
    with pytest.raises(pytest.fail.Exception, match="the test's own"):
        run_due(mongoq_queue, lambda task: pytest.fail("the test's own"))
    assert mongoq_queue.stats()["default"].ready == 1


def test_a_clock_that_runs_cannot_be_advanced() -> None:
    with memory_queue(clock=ServerClock()) as queue:
        queue.new()
        with pytest.raises(ConfigurationError, match="FrozenClock"):
            run_due(queue, lambda task: None)
        assert len(run_due(queue, lambda task: None, advance=False)) == 1


def test_a_handler_is_needed(mongoq_queue: Queue) -> None:
    with pytest.raises(ConfigurationError, match="no task functions"):
        run_due(mongoq_queue)


def test_coroutines_run_to_their_end_for_a_queue_that_blocks(mongoq_queue: Queue) -> None:
    async def handler(task: Task) -> str:
        await asyncio.sleep(0)
        return "awaited"

    mongoq_queue.new()
    assert [ran.result for ran in run_due(mongoq_queue, handler)] == ["awaited"]


def test_a_coroutine_within_a_running_loop_has_to_be_awaited(mongoq_queue: Queue) -> None:
    async def handler(task: Task) -> None:
        pytest.fail("it is not run")

    async def test() -> None:
        with pytest.raises(ConfigurationError, match="await it: with an AsyncQueue"):
            run_due(mongoq_queue, handler)
        with pytest.raises(ConfigurationError, match="perform_async"):
            perform(handler)
        assert len(run_due(mongoq_queue, lambda task: None)) == 1, "a plain function may run, and the task is free"

    mongoq_queue.new()
    asyncio.run(test())


def test_an_async_queue_is_awaited_and_runs_coroutines_on_the_callers_loop(mongoq_async_queue: AsyncQueue) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()

        async def handler(task: Task) -> str:
            assert asyncio.get_running_loop() is loop
            if task.attempts == 1:
                raise Retry(delay=1)
            if task.tags["n"] == 1:
                await mongoq_async_queue.new({"n": 2})
            return f"done {task.tags['n']}"

        await mongoq_async_queue.new({"n": 1}, unique="u")
        with pytest.raises(DuplicateTask):
            await mongoq_async_queue.new(unique="u")
        done = await run_due(mongoq_async_queue, handler)
        assert [ran.result for ran in done] == [None, "done 1", None, "done 2"]

    asyncio.run(test())


def test_a_handler_may_take_its_attempt_and_ask_for_time(mongoq_queue: Queue) -> None:
    mongoq_queue.new(deadline=30)
    [ran] = run_due(mongoq_queue, lambda attempt, task: attempt.time_left())
    assert 0 < ran.result <= 30


def test_the_events_are_those_of_a_worker(mongoq_queue: Queue) -> None:
    mongoq_queue.new()
    with Recorder(mongoq_queue) as events:
        run_due(mongoq_queue, lambda task: 7)
    assert events.names == [Signpost.CLAIMED, Signpost.STARTED, Signpost.ENDED, Signpost.FINISHED]
    assert events["tasks.finished"][0]["count"] == 1
    mongoq_queue.new()
    run_due(mongoq_queue, lambda task: 8)
    assert len(events["task.started"]) == 1, "nothing is recorded after the block"


def test_a_fail_signal_ends_a_task(mongoq_queue: Queue) -> None:
    def handler(task: Task) -> None:
        raise Fail("bad address")

    mongoq_queue.new()
    [ran] = run_due(mongoq_queue, handler)
    assert (ran.state, ran.note) == (TaskState.FAILED, "bad address")


def test_the_hooks_of_the_queue_hold(mongoq_queue: Queue) -> None:
    seen: list[str] = []

    @mongoq_queue.lifespan
    def opened() -> Iterator[str]:
        seen.append("open")
        yield "shared"
        seen.append("closed")

    @mongoq_queue.middleware
    def noted(task: Task) -> Iterator[None]:
        seen.append("before")
        yield
        seen.append("after")

    def handler(attempt: Attempt, task: Task) -> Any:
        return attempt.state

    mongoq_queue.new()
    (done,) = run_due(mongoq_queue, handler)
    assert done.result == "shared"
    assert seen == ["open", "before", "after", "closed"]


def test_an_async_lifespan_opens_on_the_loop_of_the_test() -> None:
    async def body() -> None:
        async with memory_async_queue() as queue:

            @queue.lifespan
            async def opened() -> AsyncIterator[asyncio.AbstractEventLoop]:
                yield asyncio.get_running_loop()

            async def handler(attempt: Attempt, task: Task) -> Any:
                return attempt.state is asyncio.get_running_loop()

            await queue.new()
            (done,) = await run_due(queue, handler)
            assert done.result is True

    asyncio.run(body())
