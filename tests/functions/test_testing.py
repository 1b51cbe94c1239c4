"""The helpers of `mongoq.testing` take task functions: perform one, ask for its calls, run what is due."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from mongoq import AsyncTasks, Attempt, Done, InvalidTask, Queue, Retry, Tasks
from mongoq.core.signals import Interruption
from mongoq.testing import assert_enqueued, memory_async_queue, memory_queue, perform, refute_enqueued, run_due

tasks = Tasks()
awaited = AsyncTasks()


@tasks.task(queue="bills", max_retries=1)
def bill(order: int, due: date) -> Decimal:
    if order < 0:
        raise Retry("the bank is closed", delay=3600)
    mail.new(order)
    return Decimal("1.10")


@tasks.task
def mail(order: int, copies: list[str] | None = None) -> None: ...


@tasks.task
async def watched(attempt: Attempt, number: int) -> str:
    return f"{number}: {attempt.interruption}"


@tasks.task
def split(order: int) -> Done[date]:
    return Done(date(2026, 8, 1), then=[mail.call(order)])


@awaited.task
async def greet(name: str) -> str:
    return name.upper()


@pytest.fixture
def queue() -> Iterator[Queue]:
    with memory_queue() as opened:
        opened.include(tasks)
        yield opened


def test_a_function_is_performed_by_way_of_what_would_be_stored(queue: Queue) -> None:
    ran = perform(bill, 7, due=date(2026, 8, 1))
    assert (ran.state, ran.result) == ("completed", Decimal("1.10"))
    assert (ran.task.name, dict(ran.task.tags)) == ("bill", {"order": 7, "due": "2026-08-01"})

    again = perform(bill, -1, due=date(2026, 8, 1))
    assert (again.state, again.note) == ("scheduled", "the bank is closed")
    last = perform(bill, bill.call(-1, date(2026, 8, 1)), attempts=2)
    assert last.state == "failed"
    with pytest.raises(InvalidTask, match=r"bill\(due\): nothing"):
        perform(bill, 7)  # type: ignore[call-overload]


def test_a_performed_function_is_told_to_stop() -> None:
    told = perform(watched, watched.call(3), interruption=Interruption.CANCEL)
    assert told.result == "3: cancel"


def test_calls_are_asked_for_by_their_arguments(queue: Queue) -> None:
    mail.new(7, copies=["ada"])
    mail.new(8)

    (found,) = assert_enqueued(mail, order=7)
    assert found.tags["copies"] == ["ada"]
    assert len(assert_enqueued(mail)) == 2
    refute_enqueued(bill)
    refute_enqueued(mail, order=9)
    with pytest.raises(AssertionError, match=r"(?s)at least 1 of mail\(order=9\) wanted, 0.*mail \{'order': 7"):
        assert_enqueued(mail, order=9)
    with pytest.raises(InvalidTask, match="did you mean 'order'"):
        assert_enqueued(mail, ordr=9)


def test_what_is_due_runs_through_the_functions_and_what_they_enqueue(queue: Queue) -> None:
    bill.new(7, date(2026, 8, 1))
    ran = run_due(queue)

    assert [(one.task.name, one.result) for one in ran] == [("bill", Decimal("1.10")), ("mail", None)]
    split.new(3)
    first, second = run_due(queue)
    assert (first.result, first.then[0].name, second.task.tags["order"]) == (date(2026, 8, 1), "mail", 3)


def test_tasks_return_to_their_queue_when_a_test_closes_its_own(queue: Queue) -> None:
    with memory_queue() as own:
        own.include(tasks)
        mail.new(1)
        assert own.size() == 1
    mail.new(2)
    assert queue.size() == 1
    assert mail.queue is queue


def test_a_queue_of_an_application_is_included_in_that_of_a_test(queue: Queue) -> None:
    with memory_queue() as own:
        own.include(queue)
        mail.new(1)
        assert [one.state for one in run_due(own)] == ["completed"]
    assert queue.empty()


def test_functions_of_an_awaited_queue_are_asked_for_on_the_loop() -> None:
    async def main() -> None:
        async with memory_async_queue() as queue:
            queue.include(awaited)
            await greet.new("ada")
            assert len(await assert_enqueued(greet, name="ada")) == 1
            await refute_enqueued(greet, name="bob")
            assert [one.result for one in await run_due(queue)] == ["ADA"]

    asyncio.run(main())
