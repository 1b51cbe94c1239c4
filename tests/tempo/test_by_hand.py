"""Claims by hand and their endings, in both tempos."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mongoq import (
    AlreadyFinished,
    LeaseLost,
    MaxRetriesExceeded,
    NewTask,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    TaskNotCompleted,
    TaskState,
)
from mongoq.core.judging.verdict import Released
from mongoq.storage.operations import finish
from proving.tempos import Face


def test_claiming(queue: Face) -> None:
    assert queue.try_claim() is None
    assert queue.claim(timeout=0) is None
    assert queue.claim(timeout=0.05) is None
    queue.new_many([NewTask(key=key, tags={"n": n}) for n, key in enumerate("abcd")])
    assert queue.try_claim(where={"n": 2}).key == "c"
    assert queue.claim(timeout=60).key == "a"
    assert [task.key for task in queue.claim_many(5, claimant="me")] == ["b", "d"]
    assert {task.key for task in queue.tasks(claimant="me")} == {"b", "d"}
    assert {task.key for task in queue.tasks(mine=True)} == {"a", "c"}


def test_renewing(queue: Face) -> None:
    queue.new()
    task = queue.try_claim(lease=1)
    queue.renew(task, lease=60)
    assert queue.get(task.key).lease_until - datetime.now(UTC) > timedelta(seconds=40)
    queue.complete(task)
    with pytest.raises(LeaseLost):
        queue.renew(task)


ENDINGS: dict[str, tuple[Callable[[Face, Any], Any], TaskState]] = {
    "complete": (lambda queue, task: queue.complete(task, {"r": 1}), TaskState.COMPLETED),
    "fail": (lambda queue, task: queue.fail(task, "no"), TaskState.FAILED),
    "retry": (lambda queue, task: queue.retry(task, ValueError("no"), delay=60), TaskState.SCHEDULED),
    "snooze": (lambda queue, task: queue.snooze(task, 60), TaskState.SCHEDULED),
    "release": (lambda queue, task: queue.release(task), TaskState.READY),
    "move": (lambda queue, task: queue.move(task, "other"), TaskState.READY),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_endings(queue: Face, ending: str) -> None:
    end, state = ENDINGS[ending]
    key = queue.new().key
    task = queue.try_claim()
    end(queue, task)
    assert queue.get(key).state is state
    end(queue, task)  # as after a lost reply
    with pytest.raises(LeaseLost):
        queue.renew(task)


def test_an_ending_after_another_one_says_that_the_task_has_finished(queue: Face) -> None:
    queue.new_many([{}, {}])
    first, second = queue.claim_many(2)
    queue.complete([first, second])
    with pytest.raises(AlreadyFinished, match=r"1 task\(s\) had ended already"):
        queue.retry(first, "again")
    with pytest.raises(AlreadyFinished) as caught:
        queue.fail([first, second], "no")
    assert set(caught.value.keys) == {first.key, second.key}
    assert {task.state for task in queue.tasks()} == {TaskState.COMPLETED}


def let_expire(queue: Face, task: Any) -> None:
    """Release it, and look for work when its time is over."""
    queue.release(task)
    queue.update(task.key, expires_at=datetime.now(UTC) + timedelta(seconds=0.2))
    assert queue.wait(task.key, timeout=0.5) is None, "nobody has looked"
    assert queue.try_claim() is None


ENDED: dict[str, tuple[Callable[[Face, Any], Any], type[TaskNotCompleted], str]] = {
    "fail": (lambda queue, task: queue.fail(task, ValueError("no")), TaskFailed, "1 attempt: ValueError: no"),
    "retries": (lambda queue, task: queue.retry(task, "no"), MaxRetriesExceeded, "1 attempt: Retry: no"),
    "cancel": (lambda queue, task: queue.cancel(task.key) and queue.release(task), TaskCancelled, "was cancelled"),
    "expire": (let_expire, TaskExpired, "has expired at 20"),
}


@pytest.mark.parametrize("how", ENDED)
def test_a_task_that_did_not_complete_is_raised_by_a_wait_that_checks(make: Callable[..., Face], how: str) -> None:
    end, kind, story = ENDED[how]
    queue = make(max_retries=0)
    key = queue.new().key
    task = queue.try_claim()
    assert queue.wait(key, timeout=0.1, check=True) is None, "it has not ended yet"
    end(queue, task)
    with pytest.raises(TaskNotCompleted, match=story) as caught:
        queue.wait(key, timeout=60, check=True)
    assert (type(caught.value), caught.value.task.key) == (kind, key)
    assert queue.wait(key).finished


def test_a_wait_that_checks_returns_what_completed(queue: Face) -> None:
    key = queue.new().key
    queue.complete(queue.try_claim(), 7)
    assert queue.wait(key, check=True).result == 7


def test_a_task_is_kept_alive_in_a_block(queue: Face) -> None:
    queue.new()
    task = queue.try_claim(lease=1)
    with queue.within(queue.keepalive(task, lease=1)) as kept:
        assert queue.wait(task, timeout=2) is None, "two leases"
        assert kept.lost == ()
        queue.complete(task)
    assert queue.get(task.key).state is TaskState.COMPLETED


def test_a_block_tells_of_a_lease_that_was_lost(queue: Face) -> None:
    queue.new()
    task = queue.try_claim()
    with pytest.raises(LeaseLost), queue.within(queue.keepalive(task, lease=3)) as kept:
        queue.whole._base.run(_released(queue, task))
        queue.wait(task, timeout=2)
        assert kept.lost == (task.key,)


def _released(queue: Face, task: Any) -> Any:
    """Release a task as another process does: the block is not told."""
    return finish.settle(queue.whole._base.context, [task], Released(), "other")


def test_a_block_that_raises_raises_its_own_error(queue: Face) -> None:
    queue.new()
    task = queue.try_claim()
    with pytest.raises(ZeroDivisionError), queue.within(queue.keepalive(task)):
        raise ZeroDivisionError


def test_a_stream_of_claims_completes_what_it_goes_on_from(queue: Face) -> None:
    queue.new_many([{"n": n} for n in range(3)])
    assert [task.tags["n"] for task in queue.each(queue.claims(timeout=0.05))] == [0, 1, 2]
    assert queue.count(state="completed") == 3


def test_a_stream_of_claims_releases_what_it_is_left_with(queue: Face) -> None:
    queue.new(key="a")
    stream: Any = queue.each(queue.claims(timeout=1))
    assert next(stream).key == "a"
    stream.close()
    assert queue.get("a").state is TaskState.READY
    assert queue.get("a").uncharged == 1


def test_a_body_that_ends_its_task_otherwise_goes_on(queue: Face) -> None:
    queue.new_many([{"n": n} for n in range(2)])
    for task in queue.each(queue.claims(timeout=0.05)):
        queue.fail(task, "no")
    assert queue.count(state="failed") == 2
