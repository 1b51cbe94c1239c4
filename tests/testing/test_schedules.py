"""Schedules of a user's code, on a queue without a server and a clock that is moved."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mongoq import (
    AsyncTasks,
    Attempt,
    ConfigurationError,
    NewTask,
    Queue,
    Schedule,
    ScheduleNotFound,
    Tasks,
)
from mongoq.testing import FrozenClock, memory_async_queue, memory_queue, run_due


def queue_at(*start: int) -> Queue:
    return memory_queue(clock=FrozenClock(datetime(*start, tzinfo=UTC)))  # type: ignore[misc, arg-type]


def hours(ran: list[Any]) -> list[str]:
    """The ticks of what ran, as day and time in UTC."""
    return [f"{one.task.key[-10:-8]} {one.task.key[-7:-5]}:{one.task.key[-5:-3]}" for one in ran]


def test_a_function_runs_at_each_tick_of_its_expression() -> None:
    queue = queue_at(2026, 3, 28)
    seen: list[float | None] = []

    @queue.cron("30 2 * * *", tz="Europe/Zurich", max_retries=3)
    def nightly(attempt: Attempt) -> None:
        seen.append(attempt.time_left())

    ran = run_due(queue, until=timedelta(days=3))
    assert hours(ran) == ["28 01:30", "29 01:00", "30 00:30"], "at the end of the gap on the 29th"
    assert len(seen) == 3
    assert ran[0].task.policy["max_retries"] == 3
    assert queue.time() == datetime(2026, 3, 31, tzinfo=UTC)


def test_a_task_function_below_keeps_its_options_and_a_module_needs_no_queue() -> None:
    tasks = Tasks()

    @tasks.cron(every=timedelta(hours=6), tz=ZoneInfo("Europe/Zurich"))
    @tasks.task(queue="chores", priority=4)
    def tidy(days: int = 30) -> int:
        return days

    queue = queue_at(2026, 1, 1)
    queue.include(tasks)
    (first, *_) = ran = run_due(queue, until=timedelta(days=1))
    assert hours(ran) == ["01 06:00", "01 12:00", "01 18:00", "02 00:00"]
    assert (first.task.queue, first.task.priority, first.result) == ("chores", 4, 30)
    assert tidy() == 30


def test_without_an_end_the_clock_is_moved_to_one_tick() -> None:
    queue = queue_at(2026, 1, 1)
    queue.schedule("hourly", "@hourly", NewTask())
    assert [hours(run_due(queue, lambda task: None)) for _ in range(2)] == [["01 01:00"], ["01 02:00"]]
    assert run_due(queue, lambda task: None, advance=False) == []


def test_schedules_are_listed_changed_paused_resumed_and_deleted() -> None:
    queue = queue_at(2026, 1, 1)
    made = queue.schedule("b", "0 3 * * *", NewTask({"n": 1}, queue="r"), tz="Europe/Zurich", jitter=60)
    assert queue.schedule("b", "0 3 * * *", NewTask({"n": 1}, queue="r"), tz="Europe/Zurich", jitter=60) == made
    queue.schedule("a", every=60, task=NewTask(), catch_up="all")
    assert [(one.name, one.overlap) for one in queue.schedules()] == [("a", "queue"), ("b", "skip")]

    edited = queue.schedule("b", "0 4 * * *")
    assert (edited.tz, edited.jitter, edited.task.queue) == ("Europe/Zurich", timedelta(minutes=1), "r")
    assert edited.next_at == datetime(2026, 1, 1, 3, tzinfo=UTC)
    assert queue.schedule("b", every=30).cron is None

    paused = queue.pause_schedule("b", reason="deploy")
    assert (paused.paused, paused.reason, paused.next_at) == (True, "deploy", None)
    assert queue.schedule("b", "0 5 * * *").paused
    assert queue.resume_schedule("b").next_at == datetime(2026, 1, 1, 5, tzinfo=UTC), "an interval has no zone"

    queue.delete_schedule("a")
    assert [one.name for one in queue.schedules()] == ["b"]
    for act in (queue.delete_schedule, queue.pause_schedule, queue.resume_schedule):
        with pytest.raises(ScheduleNotFound, match="'a'"):
            act("a")


@pytest.mark.parametrize(
    "options, wrong",
    [
        ({"cron": "* * *"}, "cron: '\\* \\* \\*' is not a cron expression"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "@daily", "tz": "Mars/Base"}, "tz: 'Mars/Base' is not a time zone"),
        ({"cron": "@daily", "every": 60}, "cron: 'both cron and every'"),
        ({}, "cron: 'neither cron nor every'"),
        ({"every": 0.5}, "every: 0.5 is not at least 1 second"),
        ({"cron": "@daily", "catch_up": "lates"}, "did you mean 'latest'"),
        ({"cron": "@daily", "catch_up": "all", "overlap": "skip"}, "overlap: 'skip' is not 'queue'"),
        ({"cron": "@daily", "jitter": -1}, "jitter: -1"),
        ({"cron": "@daily", "task": None}, "task: nothing is not given"),
        ({"cron": "@daily", "task": {"n": 1}}, "task: {'n': 1} is not a NewTask"),
        ({"cron": "@daily", "task": NewTask(key="k", delay=3)}, "task.key: 'k' is not None"),
        ({"cron": "@daily", "name": "a b"}, "name: 'a b' is not a name"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said_before_anything_is_written(options: dict[str, Any], wrong: str) -> None:
    queue = queue_at(2026, 1, 1)
    with pytest.raises(ConfigurationError, match=wrong):
        queue.schedule(**{"name": "s", "task": NewTask(), **options})
    assert queue.schedules() == []


def test_what_is_wrong_with_a_decorated_function_is_said_when_it_is_defined() -> None:
    queue = queue_at(2026, 1, 1)

    def needs(user: int) -> None: ...

    def print_nothing() -> None: ...

    with pytest.raises(ConfigurationError, match="without arguments"):
        queue.cron("@daily")(needs)
    with pytest.raises(ConfigurationError, match="neither cron nor every"):
        queue.cron()(print_nothing)
    with pytest.raises(TypeError, match="did you mean 'priority'"):
        queue.cron("@daily", priorty=3)  # type: ignore[call-arg]

    @queue.task
    def known() -> None: ...

    with pytest.raises(ConfigurationError, match="give it to task"):
        queue.cron("@daily", priority=3)(known)
    queue.cron("@daily")(known)
    with pytest.raises(ConfigurationError, match="a second schedule 'known'"):
        queue.cron("@hourly")(known)


def test_an_awaited_queue_has_the_same() -> None:
    async def body() -> None:
        tasks = AsyncTasks()

        @tasks.cron("0 */8 * * *")
        async def rounds() -> str:
            return "done"

        queue = memory_async_queue(clock=FrozenClock(datetime(2026, 1, 1, tzinfo=UTC)))
        queue.include(tasks)
        ran = await run_due(queue, until=timedelta(days=1))
        assert [one.result for one in ran] == ["done"] * 3
        (known,) = await queue.schedules()
        assert isinstance(known, Schedule)
        assert (known.name, known.last_key) == ("rounds", "cron:rounds:20260102T000000Z")
        assert (await queue.pause_schedule("rounds")).paused
        await queue.close()

    asyncio.run(body())
