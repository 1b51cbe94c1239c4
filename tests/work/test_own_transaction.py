"""A handler's own transaction: its writes and its completion are one, in every executor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import ConfigurationError, LeaseLost, Queue, Task, TaskState
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.operations import sweep
from tests.work.transactions import buying, orders_of

MakeQueue = Callable[..., Queue]


@pytest.mark.parametrize("keep", [0, 3600])
def test_a_handler_s_writes_and_its_completion_are_one(
    queue: Queue, server: EmbeddedServer, events: Any, run: Any, keep: int
) -> None:
    key = buying(queue, server, keep=keep)
    run(queue, "buys")
    assert orders_of(queue).count_documents({}) == 1
    if keep:
        task = queue.get(key)
        assert (task.state, task.result, task.attempts) == (TaskState.COMPLETED, {"bought": 0}, 1)
    else:
        assert queue.tasks() == []
    assert not events.of("task.lease_lost"), "its own return does not end it a second time"


def test_a_handler_that_fails_in_its_transaction_leaves_nothing(
    queue: Queue, server: EmbeddedServer, orders: Any, run: Any
) -> None:
    key = buying(queue, server, fails=True)
    run(queue, "buys")
    task = queue.get(key)
    assert (task.state, task.retries, orders.count_documents({})) == (TaskState.SCHEDULED, 1, 0)


def test_a_transaction_outlives_its_lease(make_queue: MakeQueue, server: EmbeddedServer, watch: Any, run: Any) -> None:
    """MongoDB's lock on the task takes the place of the lease: no renewal, no rescue, no second run."""
    queue = make_queue(lease=1, workers=1)
    events = watch(queue)
    key = buying(queue, server, wait=2.5, linger=1.0)
    run(queue, "buys")
    task = queue.get(key)
    assert (task.state, task.attempts) == (TaskState.COMPLETED, 1)
    assert orders_of(queue).count_documents({}) == 1
    assert not events.of("task.lease_lost")
    assert not events.of("storage.lost"), "no renewal waits behind the transaction"


def test_a_worker_whose_lease_went_to_another_writes_no_row(queue: Queue, orders: Any) -> None:
    """The worker is as good as frozen between its claim and its transaction: the task was rescued meanwhile."""
    key = queue.new().key
    told: list[BaseException] = []
    begun, go_on = threading.Event(), threading.Event()

    def handler(task: Task) -> None:
        begun.set()
        assert go_on.wait(60)
        try:
            with queue.transaction(task) as session:
                orders.insert_one({"_id": task.key}, session=session)
        except LeaseLost as error:
            told.append(error)
            raise

    handle = queue.start(handler, workers=1)
    assert begun.wait(60)
    past = {"$set": {"hold.until": queue.time().replace(year=2020)}}
    queue._base.driver.connection.database[f"{queue.namespace}.tasks"].update_one({"_id": key}, past)
    queue._base.driver.run(sweep.rescue(queue._base.context))
    other = queue.try_claim()
    assert other is not None
    go_on.set()
    with queue.transaction(other, "the other's") as session:
        orders.insert_one({"_id": "by the other"}, session=session)
    handle.stop(timeout=60)
    assert len(told) == 1
    assert [row["_id"] for row in orders.find()] == ["by the other"]
    assert (queue.get(key).state, queue.get(key).result) == (TaskState.COMPLETED, "the other's")


def test_what_follows_the_transaction_does_not_undo_it(
    queue: Queue, orders: Any, events: Any, caplog: pytest.LogCaptureFixture
) -> None:
    key = queue.new().key

    def handler(task: Task) -> None:
        with queue.transaction(task) as session:
            orders.insert_one({"_id": task.key}, session=session)
        raise ValueError("after all")

    queue.run(handler, burst=True)
    assert (queue.get(key).state, orders.count_documents({})) == (TaskState.COMPLETED, 1)
    assert "is completed; its handler then raised ValueError: after all" in caplog.text
    assert not events.of("task.lease_lost")


def test_what_is_no_task_is_refused_by_name(queue: Queue) -> None:
    with pytest.raises(ConfigurationError, match="task: 'k' is not a task"), queue.transaction("k"):  # type: ignore[arg-type]
        pytest.fail("the block is not entered")
