"""Batch handlers: one call for many tasks, each with a lease, a result, a failure and a cancel of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mongoq import Attempt, ConfigurationError, Done, Fail, NewTask, Queue, Retry, Snooze, Task, TaskState

S = TaskState

MakeQueue = Callable[..., Queue]


def states(queue: Queue) -> dict[str, TaskState]:
    return {task.key: task.state for task in queue.tasks(limit=None)}


@pytest.mark.parametrize("executor", ["threads", "asyncio"])
def test_a_handler_takes_many_tasks_and_each_has_its_result(queue: Queue, executor: str) -> None:
    queue.new_many([{"n": n} for n in range(25)])
    sizes = []

    def doubled(tasks: list[Task]) -> list[int]:
        sizes.append(len(tasks))
        return [2 * task.tags["n"] for task in tasks]

    async def awaited(tasks: list[Task]) -> list[int]:
        await asyncio.sleep(0)
        return doubled(tasks)

    queue.run(doubled if executor == "threads" else awaited, batch=10, wait=0.2, burst=True)
    assert sorted(sizes) == [5, 10, 10]
    assert all(task.result == 2 * task.tags["n"] and task.state is S.COMPLETED for task in queue.tasks())


def test_each_task_of_a_batch_ends_as_its_entry_says(queue: Queue) -> None:
    fates: dict[str, Any] = {
        "none": None,
        "fails": Fail("no such user"),
        "errs": ValueError("odd"),
        "retries": Retry(delay=60),
        "snoozes": Snooze(60),
        "follows": Done(7, then=[NewTask(key="followed", delay=60)]),
    }
    for key in fates:
        queue.new(key=key, max_retries=1, backoff=60)
    queue.run(lambda tasks: [fates[task.key] for task in tasks], batch=10, wait=0.2, burst=True)
    assert states(queue) == {
        "none": S.COMPLETED, "fails": S.FAILED, "errs": S.SCHEDULED, "retries": S.SCHEDULED, "snoozes": S.SCHEDULED,
        "follows": S.COMPLETED, "followed": S.SCHEDULED,
    }  # fmt: skip
    assert [queue.get(key).retries for key in ("errs", "retries", "snoozes")] == [1, 1, 0]
    assert queue.get("errs").errors[-1].message == "odd"
    assert queue.get("follows").result == 7


def test_what_a_batch_handler_raises_each_task_has_raised(queue: Queue) -> None:
    queue.new_many([{}] * 3, max_retries=0)

    def breaks(tasks: list[Task]) -> None:
        raise OSError(f"{len(tasks)} at once")

    queue.run(breaks, batch=3, burst=True)
    errors = [task.errors[-1] for task in queue.tasks()]
    assert [error.message for error in errors] == ["3 at once"] * 3
    assert all("in breaks" in error.traceback for error in errors), "each has the whole traceback"


@pytest.mark.parametrize("returned", [[1], "ab", 7, {}])
def test_a_return_that_is_no_entry_for_each_task_fails_them(queue: Queue, returned: Any) -> None:
    queue.new_many([{}] * 2, max_retries=0)
    queue.run(lambda _: returned, batch=2, burst=True)
    assert {(task.state, task.errors[-1].type) for task in queue.tasks()} == {(S.FAILED, "TypeError")}
    assert "for 2 tasks: a batch handler returns None, or an entry for each" in queue.tasks()[0].errors[-1].message


def test_a_batch_waits_for_others_and_claims_what_comes(queue: Queue, until: Any) -> None:
    """The first task alone would have been a batch of one."""
    seen: list[int] = []
    handle = queue.start(lambda tasks: seen.append(len(tasks)), batch=3, wait=30)
    for _ in range(3):
        queue.new()
    until(lambda: seen == [3], why="the third task completes the batch")
    handle.stop()


def test_a_batch_takes_others_of_its_kind_before_what_is_more_urgent(make_queue: MakeQueue) -> None:
    """One slot, nothing claimed ahead: a batch is one unit of work, whatever else waits."""
    queue = make_queue(workers=1)
    ran: list[Any] = []

    @queue.task(batch=4, wait=0.2)
    def index(documents: list[str]) -> None:
        ran.append(documents)

    @queue.task
    def plain(number: int) -> None:
        ran.append(number)

    index.options(priority=9).new("first")
    for place in range(3):
        index.new(f"other {place}")
        plain.options(priority=5).new(place)
    queue.run(burst=True, prefetch=0)
    assert ran[0] == ["first", "other 0", "other 1", "other 2"]
    assert ran[1:] == [0, 1, 2]


def test_a_full_batch_takes_one_slot_and_leaves_the_other_free(make_queue: MakeQueue, until: Any) -> None:
    queue, over, ran = make_queue(workers=2), threading.Event(), []

    @queue.task(batch=50)
    def slow(numbers: list[int]) -> None:
        over.wait(30)

    @queue.task
    def quick(number: int) -> None:
        ran.append(number)

    queue.new_many(slow.call(n) for n in range(50))
    handle = queue.start()
    until(lambda: len(queue.tasks(state="running")) == 50, why="the batch is claimed")
    quick.new(1)
    until(lambda: ran == [1], why="a slot is free beside a batch of 50")
    over.set()
    until(lambda: set(states(queue).values()) == {S.COMPLETED}, why="the batch ends")
    handle.stop()


def paid(users: list[int], amounts: list[float]) -> list[str | Fail]:
    pairs = zip(users, amounts, strict=True)
    return [Fail("none left") if user == 3 else f"{user}: {amount}" for user, amount in pairs]


@pytest.mark.parametrize("executor", ["threads", "asyncio"])
def test_a_typed_function_of_lists(queue: Queue, executor: str) -> None:
    if executor == "threads":

        @queue.task(batch=10, wait=0.2, max_retries=0)
        def pay(attempts: list[Attempt], users: list[int], amounts: list[float]) -> list[str | Fail]:
            assert len(attempts) == len(users) == len(amounts)
            return paid(users, amounts)

    else:

        @queue.task(batch=10, wait=0.2, max_retries=0)
        async def pay(attempts: list[Attempt], users: list[int], amounts: list[float]) -> list[str | Fail]:
            await asyncio.sleep(0)
            return paid(users, amounts)

    handles = [pay.new(user, 1.5) for user in range(5)]
    odd = queue.new({"users": "no number", "amounts": 1.5}, name="pay", max_retries=0)
    queue.run(burst=True, executor=executor)
    assert handles[0].result(timeout=60) == "0: 1.5"
    assert queue.get(handles[3].key).errors[-1].message == "none left"
    assert queue.get(odd.key).errors[-1].type == "InvalidTask", "what fits no call does not reach the function"
    assert sum(state is S.COMPLETED for state in states(queue).values()) == 4


def test_middleware_runs_around_each_task_of_a_batch(queue: Queue) -> None:
    seen: list[str] = []

    @queue.middleware
    def traced(task: Task) -> Iterator[None]:
        if task.tags["n"] == 2:
            raise LookupError("not this one")
        try:
            value = yield
            seen.append(f"{task.tags['n']} returned {value}")
        except ValueError as error:
            raise KeyError("another") from error

    queue.new_many([{"n": n} for n in range(4)], max_retries=0)
    queue.run(
        lambda tasks: [ValueError() if task.tags["n"] == 1 else task.tags["n"] for task in tasks], batch=4, burst=True
    )
    assert seen == ["0 returned 0", "3 returned 3"]
    errors = {task.tags["n"]: task.errors[-1].type for task in queue.tasks() if task.errors}
    assert errors == {1: "KeyError", 2: "LookupError"}


def test_a_limit_counts_tasks(queue: Queue) -> None:
    queue.new_many([{}] * 10)
    assert queue.run_once(lambda _: None, batch=4, wait=0.2, limit=6)
    assert sum(state is S.COMPLETED for state in states(queue).values()) == 6


@pytest.mark.parametrize(
    "options, named",
    [
        ({"batch": 0}, "batch: 0"),
        ({"batch": 1_001}, "batch: 1001"),
        ({"batch": True}, "batch: True"),
        ({"batch": 5, "wait": 0}, "wait: 0"),
        ({"wait": 1}, "wait: 1 is not allowed without batch="),
    ],
)
def test_what_makes_no_batch_is_refused(queue: Queue, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        queue.run(print, burst=True, **options)


def test_functions_that_take_no_lists_are_refused(queue: Queue) -> None:
    with pytest.raises(ConfigurationError, match=r"one\(number\)"):

        @queue.task(batch=5)
        def one(number: int) -> None: ...

    with pytest.raises(ConfigurationError, match=r"handler\(tasks\)"):
        queue.run(lambda attempt, task: None, batch=5, burst=True)
