"""A handler's own transaction, by hand."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import (
    LeaseLost,
    NewTask,
    Queue,
    TaskState,
)
from mongoq.core.judging.verdict import Released
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.operations import finish, leases

Client = MongoClient[dict[str, Any]]


def test_a_task_s_own_transaction_is_not_the_bound_one(queue: Queue, client: Client, orders: Any) -> None:
    task = claimed(queue)
    with client.start_session() as bound:
        if not hasattr(bound, "bind"):
            pytest.skip("this PyMongo cannot bind a session")
        with bound.bind(end_session=False), suppress(ZeroDivisionError), bound.start_transaction():
            queue._base.context.clock.doubt()  # the server's clock is asked outside of any transaction
            with queue.transaction(task) as session:
                orders.insert_one({"_id": 1}, session=session)
            raise ZeroDivisionError
    assert (queue.get(task.key).state, orders.count_documents({})) == (TaskState.COMPLETED, 1)


def claimed(queue: Queue, **options: Any) -> Any:
    queue.new(**options)
    return queue.try_claim()


def test_writes_and_completion_take_effect_together(queue: Queue, orders: Any) -> None:
    task = claimed(queue)
    with queue.transaction(task, {"sent": True}) as session:
        orders.insert_one({"_id": 1}, session=session)
        assert (queue.get(task.key).state, orders.count_documents({})) == (TaskState.RUNNING, 0)
    done = queue.get(task.key)
    assert (done.state, done.result, orders.count_documents({})) == (TaskState.COMPLETED, {"sent": True}, 1)


def test_an_error_in_the_block_undoes_both(queue: Queue, orders: Any) -> None:
    task = claimed(queue)
    with suppress(ZeroDivisionError), queue.transaction(task) as session:
        orders.insert_one({"_id": 1}, session=session)
        raise ZeroDivisionError
    assert (queue.get(task.key).state, orders.count_documents({})) == (TaskState.RUNNING, 0)
    queue.complete(task)


@pytest.mark.parametrize("keep", [0, 3600])
def test_who_has_lost_the_lease_does_not_enter_the_block(client: Client, orders: Any, keep: float) -> None:
    with Queue(client, namespace=f"t-{secrets.token_hex(4)}", keep_completed=keep) as queue:
        task = claimed(queue)
        queue.release(task)
        with pytest.raises(LeaseLost), queue.transaction(task) as session:
            orders.insert_one({"_id": 1}, session=session)
        assert (queue.get(task.key).state, orders.count_documents({})) == (TaskState.READY, 0)


@pytest.mark.parametrize("keep", [0, 3600])
def test_a_lease_that_is_lost_after_its_renewal_stops_the_transaction(
    client: Client, orders: Any, monkeypatch: pytest.MonkeyPatch, keep: float
) -> None:
    renew_each = leases.renew_each

    def renew_and_lose(context: Context, tasks: Any, lease: Any) -> Op[None]:
        yield from renew_each(context, tasks, lease)
        yield from finish.settle(context, tasks, Released(), "w")

    with Queue(client, namespace=f"t-{secrets.token_hex(4)}", keep_completed=keep) as queue:
        task = claimed(queue)
        monkeypatch.setattr(leases, "renew_each", renew_and_lose)
        with pytest.raises(LeaseLost), queue.transaction(task) as session:
            orders.insert_one({"_id": 1}, session=session)
        assert (queue.get(task.key).state, orders.count_documents({})) == (TaskState.READY, 0)


def test_follow_ups_join_the_handler_s_own_transaction(queue: Queue) -> None:
    task = claimed(queue)
    with queue.transaction(task) as session:
        queue.new(key="next", session=session)
        queue.modify(insert=[NewTask(key="last")], session=session)
    assert {found.key: found.state.value for found in queue.tasks()} == {
        task.key: "completed", "next": "ready", "last": "ready",
    }  # fmt: skip


def test_a_transaction_waits_for_no_renewal_and_is_tried_again_beside_one(queue: Queue, orders: Any) -> None:
    """The first write of the transaction may meet a renewal: that is nobody's fault, and is tried again."""
    task = claimed(queue)
    stop = threading.Event()

    def renew() -> None:
        with suppress(LeaseLost):  # the last one comes after the completion
            while not stop.is_set():
                queue.renew(task, 60)

    renewer = threading.Thread(target=renew)
    renewer.start()
    try:
        with queue.transaction(task) as session:
            stop.set()
            orders.insert_one({"_id": 1}, session=session)
    except LeaseLost:
        pytest.fail("the lease was its own all the time")
    finally:
        stop.set()
    renewer.join(60)
    assert queue.get(task.key).state is TaskState.COMPLETED
