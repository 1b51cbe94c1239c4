from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq import Interruption, InvalidTask, LeaseLost, Queue, StorageUnavailable, Task, TaskState
from mongoq.worker.manual.keepalive import Keepalive


def claimed(queue: Queue, count: int, **options: Any) -> list[Task]:
    queue.new_many([{}] * count, **options)
    return queue.claim_many(count)


@pytest.fixture
def renewed(queue: Queue, until: Callable[..., None]) -> Callable[[Keepalive, Task], None]:
    """Wait until a task has been renewed for longer than two of its leases, and none was lost."""

    def wait(kept: Keepalive, task: Task) -> None:
        first = queue.get(task.key).lease_until
        assert first is not None

        def longer() -> bool:
            kept.check()
            now = queue.get(task.key).lease_until
            return now is not None and now - first > timedelta(seconds=2)

        until(longer, why="the task is renewed")

    return wait


def test_kept_tasks_outlive_their_lease_and_go_when_the_block_ends(
    queue: Queue, renewed: Callable[..., None], until: Callable[..., None]
) -> None:
    tasks = claimed(queue, 3, lease=1)
    with queue.keepalive(tasks) as kept:
        renewed(kept, tasks[0])
        assert queue.claim_many(3) == []  # it would rescue them, had they not been renewed
        assert {task.key for task in queue.tasks(mine=True)} == {task.key for task in tasks}
    until(lambda: queue.claim_many(3), why="nobody renews them any more")


def test_a_block_holds_for_the_lease_it_is_given(queue: Queue) -> None:
    (task,) = claimed(queue, 1, lease=1)
    with queue.keepalive(task, 300):
        until = queue.get(task.key).lease_until
        assert until is not None
        assert (until - queue.time()).total_seconds() > 250


def test_a_lease_that_is_lost_is_told_inside_the_block_and_raised_at_its_end(
    queue: Queue, collection: Any, until: Callable[..., None]
) -> None:
    tasks = claimed(queue, 2)

    def work() -> None:
        with queue.keepalive(tasks) as kept:
            collection.update_one({"_id": tasks[0].key}, {"$set": {"hold.token": "another's"}})
            until(lambda: kept.lost, why="the loss is seen")
            assert kept.lost == (tasks[0].key,)
            assert tasks[0].interruption is Interruption.LEASE_LOST
            assert not tasks[1].cancelled
            with pytest.raises(LeaseLost):
                kept.check()
            queue.complete(tasks[1])

    with pytest.raises(LeaseLost) as raised:
        work()
    assert raised.value.keys == (tasks[0].key,)


def test_what_the_block_raises_itself_comes_before_a_lost_lease(
    queue: Queue, collection: Any, until: Callable[..., None]
) -> None:
    (task,) = claimed(queue, 1)

    def work() -> None:
        with queue.keepalive(task) as kept:
            collection.delete_one({"_id": task.key})
            until(lambda: kept.lost, why="the loss is seen")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()


def test_tasks_that_are_ended_inside_the_block_are_not_lost(queue: Queue, renewed: Callable[..., None]) -> None:
    tasks = claimed(queue, 5, keep_completed=0, lease=1)
    with queue.keepalive(tasks) as kept:
        queue.complete(tasks[0])
        queue.fail(tasks[1], "no")
        queue.snooze(tasks[2], 60)
        queue.release(tasks[3])
        renewed(kept, tasks[4])  # it has looked by then
        assert queue.get(tasks[4].key).state is TaskState.RUNNING
        queue.complete(tasks[4])


def test_a_task_that_is_not_held_is_refused_at_the_beginning(queue: Queue) -> None:
    tasks = claimed(queue, 2)
    queue.release(tasks[1])
    with pytest.raises(LeaseLost) as lost, queue.keepalive(tasks):
        pytest.fail("the block is not entered")
    assert lost.value.keys == (tasks[1].key,)


def test_a_task_that_cannot_be_renewed_at_the_beginning_is_refused_too(queue: Queue, collection: Any) -> None:
    (task,) = claimed(queue, 1)
    with collection.database.client.start_session() as session, session.start_transaction():
        collection.update_one({"_id": task.key}, {"$inc": {"depended": 1}}, session=session)
        with pytest.raises(StorageUnavailable, match=task.key), queue.keepalive(task, 60):
            pytest.fail("the block is not entered")
    with queue.keepalive(task, 60):
        queue.complete(task)


def test_a_cancel_request_is_told_by_the_task(queue: Queue, until: Callable[..., None]) -> None:
    (task,) = claimed(queue, 1)
    with queue.keepalive(task) as kept:
        queue.cancel(task.key)
        until(lambda: task.cancelled, why="the request is seen")
        assert task.interruption is Interruption.CANCEL
        assert kept.lost == ()
        queue.release(task)
    assert queue.get(task.key).state is TaskState.CANCELLED


def test_a_lease_that_cannot_be_renewed_in_time_counts_as_lost(queue: Queue) -> None:
    (task,) = claimed(queue, 1)
    with queue.keepalive(task) as kept:
        (attempt,) = kept._runtime.ledger.all()
        attempt.lease_until = 0.0  # as if no renewal had got through since
        assert list(kept.lost) == [task.key]
        queue.complete(task)
    assert not kept.lost


def test_what_a_change_only_depends_on_is_kept(queue: Queue, renewed: Callable[..., None]) -> None:
    held, other = claimed(queue, 2, lease=1)
    with queue.keepalive([held, other]) as kept:
        queue.modify(depend=[held], delete=[other])
        renewed(kept, held)
    queue.complete(held)


def test_what_could_not_be_ended_is_reported_when_it_is_lost(
    queue: Queue, collection: Any, until: Callable[..., None]
) -> None:
    (task,) = claimed(queue, 1, lease=1)
    with contextlib.suppress(LeaseLost), queue.keepalive(task) as kept:
        with pytest.raises(InvalidTask):
            queue.complete(task, object())
        collection.update_one({"_id": task.key}, {"$set": {"hold.token": "another's"}})
        until(lambda: kept.lost, why="the loss is noticed")
    assert kept.lost == (task.key,)
