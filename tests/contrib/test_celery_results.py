"""What the calls of `mongoq.contrib.celery` tell of themselves, how they end, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from mongoq import ConfigurationError, Queue
from mongoq.contrib import celery
from mongoq.contrib.celery import AsyncResult, Reject, chain, group, shared_task, signature
from mongoq.testing import FrozenClock, memory_queue, run_due

SENT: list[Any] = []
NOW = datetime.now(UTC).replace(microsecond=0)


@shared_task(name="tests.results.add")
def add(x: int, y: int = 0) -> int:
    return x + y


@shared_task(name="tests.results.refuse", autoretry_for=(LookupError,), dont_autoretry_for=(KeyError,))
def refuse(kind: str) -> None:
    raise {"key": KeyError, "reject": Reject}[kind](kind)


@shared_task(name="tests.results.later", bind=True)
def later(self: Any) -> None:
    if not self.request.retries:
        raise self.retry(eta=(NOW + timedelta(hours=2)).replace(tzinfo=None))


@shared_task(name="tests.results.told")
def told(*given: Any) -> None:
    SENT.append(given)


@pytest.fixture
def queue() -> Iterator[Queue]:
    SENT.clear()
    with memory_queue(clock=FrozenClock(NOW)) as queue:
        queue.include(celery.tasks)
        yield queue


def test_the_result_of_a_group_tells_of_all_its_calls_and_revokes_them(queue: Queue) -> None:
    good, bad = group(add.s(1), add.s(2)).delay(), group(add.s(1), refuse.s("key")).delay()
    assert not good.ready()
    with pytest.raises(TimeoutError, match="has not finished within 0"):
        good.get(timeout=0)
    run_due(queue)
    assert (good.ready(), good.successful(), good.failed()) == (True, True, False)
    assert (bad.ready(), bad.successful(), bad.failed(), bad.completed_count()) == (True, False, True, 1)
    assert {one.task_id for one in good} == {one.id for one in good}
    waiting = group(add.s(1), add.s(2)).delay()
    waiting.revoke()
    assert [one.state for one in waiting] == ["REVOKED"] * 2
    assert set(waiting) == {AsyncResult(one.id) for one in waiting}


def test_an_error_that_is_not_to_be_retried_and_a_rejected_task_end_at_once(queue: Queue) -> None:
    made = [refuse.delay("key"), refuse.delay("reject")]
    run_due(queue)
    assert [(one.state, queue.get(one.id).attempts) for one in made] == [("FAILURE", 1)] * 2


def test_a_retry_at_an_instant_without_a_zone_is_in_utc(queue: Queue) -> None:
    made = later.delay()
    run_due(queue, advance=False)
    waits = queue.get(made.id).run_at - NOW
    assert made.state == "RETRY"
    assert timedelta(hours=1) < waits <= timedelta(hours=2)


def test_links_and_options_of_a_signature_are_those_of_its_call(queue: Queue) -> None:
    add.s(1).set(queue="mail", priority=3).link(told.s("sum")).link_error(told.s()).delay()
    (task,) = queue.tasks(queue="mail")
    assert task.priority == 3
    run_due(queue, queues=["mail", "default"])
    assert SENT == [(1, "sum")], "no error, no callback for errors"
    refuse.s("key").on_error(told.s()).delay()
    run_due(queue)
    request, error, traceback = SENT[1]
    assert (request.args, "KeyError" in str(error), "KeyError" in traceback) == (["key"], True, True)


def test_a_task_whose_result_before_it_was_deleted_fails_and_says_so(queue: Queue) -> None:
    made = chain(add.s(1), add.s(2).set(countdown=60)).delay()
    first = next(task for task in queue.tasks() if task.key != made.id)
    run_due(queue, advance=False)
    queue.delete(first.key)
    run_due(queue)
    assert made.state == "FAILURE"
    assert f"the results of {first.key} are gone" in made.traceback


def test_what_a_call_cannot_be_is_named_before_anything_is_written(queue: Queue) -> None:
    for wrong, named in [
        (add.s(1).link(add.s(2)).new_task, "a call without links"),
        (add.s(1).on_error(told.si()).delay, "the task has to be told whether one has failed"),
        (signature("tests.results.elsewhere"), "a task of this process"),
        (chain, "a task at least"),
    ]:
        with pytest.raises(ConfigurationError, match=named):
            cast("Callable[[], object]", wrong)()
    with pytest.raises(TypeError, match="takes its options by name"):
        shared_task("a name")  # type: ignore[call-overload]
    assert queue.count() == 0
