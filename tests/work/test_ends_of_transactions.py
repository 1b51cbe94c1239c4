"""How an attempt ends whose handler has, or had, a transaction of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from mongoq import Queue, Task, TaskState
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.operations import sweep
from mongoq.storage.operations.recovery import skip_locked
from tests.work.transactions import buying, orders_of

MakeQueue = Callable[..., Queue]
Until = Callable[..., None]


@pytest.fixture
def rescuing(make_queue: MakeQueue) -> Iterator[Callable[[Queue], None]]:
    """Give `rescuing(queue)`: from now on another process rescues whatever lease has run out, without a pause."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(queue: Queue) -> None:
        other = make_queue(namespace=queue.namespace)

        def rescue() -> None:
            while not stop.is_set():
                other._base.driver.run(sweep.rescue(other._base.context))

        threads.append(threading.Thread(target=rescue))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(60)


@pytest.mark.parametrize("deadline", [None, 1.5])
def test_a_failure_after_a_long_transaction_is_recorded(
    *, make_queue: MakeQueue, rescuing: Any, server: EmbeddedServer, watch: Any, run: Any, deadline: float | None
) -> None:
    queue = make_queue(lease=1, max_retries=0, deadline=deadline)
    events = watch(queue)
    rescuing(queue)
    key = buying(queue, server, wait=3.5, fails=True)
    run(queue, "buys")
    task = queue.get(key)
    assert (task.state, task.attempts, task.uncharged) == (TaskState.FAILED, 1, 0)
    assert [error.type for error in task.errors] == ["DeadlineExceeded" if deadline else "ValueError"]
    assert not events.of("task.lease_lost")


def test_a_process_that_dies_in_its_transaction_keeps_no_other_ending_waiting(
    make_queue: MakeQueue, server: EmbeddedServer, until: Until, watch: Any, importable: Any
) -> None:
    queue = make_queue(max_retries=0)
    events = watch(queue)
    queue.start(importable.buys, executor="processes", workers=2)
    victim = buying(queue, server, how="kill")
    events.wait("task.ended")
    others = [buying(queue, server, fails=True) for _ in range(5)]
    until(lambda: all(queue.get(key).finished for key in others), why="the others' endings are written")
    # MongoDB does not know yet that there is nobody to end the transaction.
    assert queue.get(victim).state is TaskState.RUNNING
    assert not events.of("storage.lost")


@pytest.mark.parametrize("kept", [False, True])
def test_a_failure_by_hand_after_a_long_transaction_is_recorded(
    make_queue: MakeQueue, rescuing: Any, *, kept: bool
) -> None:
    queue = make_queue(lease=1)
    rescuing(queue)
    queue.new()
    task = queue.claim()
    assert task is not None
    with queue.keepalive(task) if kept else nullcontext():
        with suppress(ZeroDivisionError), queue.transaction(task):
            threading.Event().wait(3.5)
            raise ZeroDivisionError
        queue.fail(task, "it was divided by zero")
    assert (queue.get(task.key).state, queue.get(task.key).attempts) == (TaskState.FAILED, 1)


def test_a_transaction_does_not_shorten_a_long_lease_by_hand(make_queue: MakeQueue) -> None:
    queue = make_queue()
    queue.new()
    task = queue.claim(lease=3600)
    assert task is not None
    assert task.lease_until is not None
    with suppress(ZeroDivisionError), queue.transaction(task):
        raise ZeroDivisionError
    lease_until = queue.get(task.key).lease_until
    assert lease_until is not None
    assert lease_until >= task.lease_until


def test_after_an_aborted_transaction_the_usual_lease_goes_on(make_queue: MakeQueue, until: Until) -> None:
    queue = make_queue(lease=2)
    key = queue.new().key
    held: list[float] = []

    def left() -> float:
        lease_until = queue.get(key).lease_until
        assert lease_until is not None
        return (lease_until - queue.time()).total_seconds()

    def handler(task: Task) -> None:
        with suppress(ZeroDivisionError), queue.transaction(task):
            held.append(left())
            raise ZeroDivisionError
        until(lambda: left() <= 2, why="it is brought back to its own length")
        until(lambda: task.cancelled or left() < 1.4, why="some of it has run")
        until(lambda: task.cancelled or left() > 1.4, why="it is renewed")
        assert not task.cancelled

    queue.run(handler, burst=True)
    assert queue.get(key).state is TaskState.COMPLETED
    assert held[0] > 60


def test_a_lease_that_lasts_is_not_renewed_for_a_transaction(make_queue: MakeQueue) -> None:
    queue = make_queue(lease=300)
    key = queue.new().key
    ends: list[Any] = []

    def handler(task: Task) -> None:
        with queue.transaction(task):
            ends.extend([task.lease_until, queue.get(key).lease_until])

    queue.run(handler, burst=True)
    assert len(set(ends)) == 1


@contextmanager
def inserted_by_another(orders: Any, key: str) -> Iterator[None]:
    """Let somebody else's transaction hold an order that is about to be made, and then abort it."""
    with orders.database.client.start_session() as session, session.start_transaction():
        orders.insert_one({"_id": key}, session=session)
        yield
        session.abort_transaction()


def test_a_write_conflict_in_a_transaction_costs_the_task_no_attempt(
    make_queue: MakeQueue, server: EmbeddedServer, until: Until, run: Any
) -> None:
    queue = make_queue(max_retries=0)
    key = buying(queue, server)
    orders = orders_of(queue)
    orders.insert_one({"_id": "first"})  # a collection is not made in the middle of the other's transaction

    worker = threading.Thread(target=run, args=(queue, "buys"), kwargs={"burst": False})
    with inserted_by_another(orders, key):
        worker.start()
        until(lambda: queue.get(key).uncharged >= 2, why="it is run again and again")
    until(lambda: queue.get(key).finished, why="it ends when nothing is in its way")
    queue.stop()
    worker.join(60)
    task = queue.get(key)
    assert (task.state, task.charged, task.retries, task.errors) == (TaskState.COMPLETED, 1, 0, ())
    assert "its transaction was aborted" in (task.note or "")
    assert orders.count_documents({"_id": key}) == 1


def test_by_hand_a_write_conflict_comes_with_its_label_and_the_block_may_be_tried_again(
    queue: Queue, orders: Any
) -> None:
    orders.insert_one({"_id": "first"})
    queue.new(key="k")
    task = queue.claim()
    assert task is not None
    with (
        inserted_by_another(orders, "k"),
        pytest.raises(PyMongoError) as caught,
        queue.transaction(task) as session,
    ):
        orders.insert_one({"_id": "k"}, session=session)
    assert caught.value.has_error_label("TransientTransactionError")
    with queue.transaction(task) as session:
        orders.insert_one({"_id": "k"}, session=session)
    assert queue.get("k").state is TaskState.COMPLETED


def test_a_worker_that_stops_ends_the_transactions_of_its_handlers(
    make_queue: MakeQueue, server: EmbeddedServer, run: Any, until: Until
) -> None:
    """Without that the task is held by the server for a minute, and leased for two."""
    queue = make_queue(grace=0.5)
    key = buying(queue, server, wait=6)
    other = make_queue(namespace=queue.namespace)
    context, database = other._base.context, other._base.driver

    def held() -> bool:
        return bool(database.run(skip_locked.still_held(context.tasks, [key])))

    worker = threading.Thread(target=run, args=(queue, "buys"), kwargs={"burst": False})
    worker.start()
    try:
        until(held, why="its transaction is open")
    finally:
        queue.stop()
    until(lambda: other.get(key).state is TaskState.READY, why="it is given back")
    assert (other.get(key).attempts, other.get(key).charged) == (1, 0)
    assert not held()
    claimed = other.try_claim()
    assert claimed is not None
    assert claimed.key == key, "nothing holds it"
    worker.join(60)
    assert orders_of(other).count_documents({}) == 0, "its writes are gone with it"


def test_a_worker_that_stops_leaves_a_transaction_that_was_committed(
    make_queue: MakeQueue, server: EmbeddedServer, run: Any, until: Until
) -> None:
    queue = make_queue(grace=0.5)
    key = buying(queue, server, linger=6)
    other = make_queue(namespace=queue.namespace)
    worker = threading.Thread(target=run, args=(queue, "buys"), kwargs={"burst": False})
    worker.start()
    try:
        until(lambda: other.get(key).finished, why="it is committed")
    finally:
        queue.stop()
    worker.join(60)
    assert (other.get(key).state, orders_of(other).count_documents({})) == (TaskState.COMPLETED, 1)
