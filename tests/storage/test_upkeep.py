from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.judging.backoff import Linear
from mongoq.core.judging.verdict import Raised, Returned
from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.operations import bulk, sweep
from mongoq.storage.operations.sweep import Swept

SECOND = timedelta(seconds=1)


def lose_lease(store: Any) -> int:
    store.clock.advance(31)
    swept: Swept = store.run(sweep.rescue(store.context))
    return swept.moved


def test_a_task_is_promoted_when_its_time_has_come_and_not_before(store: Any) -> None:
    key = store.new(delay=10).key
    store.new(delay=15)

    assert store.run(sweep.promote(store.context)) == Swept(0, 10 * SECOND)
    store.clock.advance(10)
    assert store.run(sweep.promote(store.context)).moved == 1
    assert store.get(key).state is TaskState.READY
    assert store.run(sweep.promote(store.context)) == Swept(0, 5 * SECOND)


def test_an_idle_sweep_has_nothing_in_sight(store: Any) -> None:
    for one in (sweep.promote, sweep.rescue, sweep.expire):
        assert store.run(one(store.context)) == Swept(0, None)


@pytest.mark.parametrize("threads", [1, 3])
def test_more_than_a_batch_is_promoted_also_by_several_at_once(store: Any, threads: int) -> None:
    store.new_many([NewTask(delay=1) for _ in range(2_300)])
    store.clock.advance(1)
    moved: list[int] = []

    def promote() -> None:
        while True:
            swept = store.run(sweep.promote(store.context))
            moved.append(swept.moved)
            if swept.next is None:
                return

    running = [threading.Thread(target=promote) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert sum(moved) == store.collection.count_documents({"state": "ready", "version": 2}) == 2_300


def test_a_lease_is_rescued_a_second_after_its_end(store: Any) -> None:
    store.new()
    task = store.claim()[0]
    store.clock.advance(30)

    assert store.run(sweep.rescue(store.context)) == Swept(0, SECOND)
    store.clock.advance(1)
    assert store.run(sweep.rescue(store.context)).moved == 1
    rescued = store.get(task.key)
    assert (rescued.state, rescued.charged, rescued.lost_leases) == (TaskState.READY, 0, 1)
    assert rescued.run_at == task.run_at


def test_a_sweep_looks_again_at_once_because_the_next_may_be_due_a_moment_later(store: Any) -> None:
    store.new()
    store.new()
    store.claim()
    store.clock.advance(0.1)
    store.claim()
    store.clock.advance(30.95)

    assert store.run(sweep.rescue(store.context)) == Swept(1, timedelta(0))
    assert store.run(sweep.rescue(store.context)) == Swept(0, timedelta(seconds=0.05))


def test_a_lease_lost_alone_is_charged_and_waits(make_store: Callable[..., Any]) -> None:
    store = make_store(max_retries=1, backoff=Linear(10))
    key = store.new().key
    for lost in (1, 2):
        store.claim()
        lose_lease(store)
        refunded = store.get(key)
        assert (refunded.state, refunded.charged, refunded.lost_leases) == (TaskState.READY, 0, lost)

    store.claim()
    lose_lease(store)
    charged = store.get(key)
    assert (charged.state, charged.charged, charged.lost_leases) == (TaskState.SCHEDULED, 1, 3)
    assert charged.run_at == store.clock.now() + 10 * SECOND
    assert charged.last_error is not None
    assert charged.last_error.type == "WorkerLost"

    store.clock.advance(10)
    assert store.claim_one() is not None
    lose_lease(store)
    assert (store.get(key).state, store.get(key).attempts) == (TaskState.FAILED, 4)


def test_five_lost_leases_in_a_row_end_a_task_whatever_its_retries(make_store: Callable[..., Any]) -> None:
    store = make_store(max_retries=None, backoff=Linear(0))
    key = store.new().key
    for _ in range(5):
        assert store.claim_one() is not None
        lose_lease(store)

    assert (store.get(key).state, store.get(key).lost_leases) == (TaskState.FAILED, 5)


def test_an_attempt_that_ends_in_its_worker_clears_the_suspicion(make_store: Callable[..., Any]) -> None:
    store = make_store(backoff=Linear(0))
    key = store.new().key
    store.claim()
    lose_lease(store)
    store.end(store.claim_one(), Raised(ValueError("alive")))

    assert store.get(key).lost_leases == 0


def test_a_batch_of_a_vanished_worker_is_refunded_as_a_whole(store: Any) -> None:
    store.new_many([NewTask(max_retries=0) for _ in range(1_200)])
    assert len(store.claim(1_200)) == 1_200
    store.clock.advance(31)

    assert store.run(sweep.rescue(store.context)).moved == 1_000
    assert store.run(sweep.rescue(store.context)).moved == 200
    assert store.collection.count_documents({"state": "ready", "uncharged": 1, "lost_leases": 1}) == 1_200


def test_a_cancelled_or_expired_task_of_a_vanished_worker_ends(store: Any) -> None:
    cancelled = store.new().key
    expired = store.new(expires_at=store.clock.now() + 5 * SECOND).key
    store.claim(2)
    store.run(bulk.cancel(store.context, cancelled))
    lose_lease(store)

    assert store.get(cancelled).state is TaskState.CANCELLED
    assert store.get(expired).state is TaskState.EXPIRED


def test_waiting_tasks_expire_and_running_ones_do_not(store: Any) -> None:
    running = store.new(expires_at=store.clock.now() + 5 * SECOND).key
    store.claim()
    ready = store.new(expires_at=store.clock.now() + 5 * SECOND).key
    scheduled = store.new(expires_at=store.clock.now() + 5 * SECOND, delay=4).key
    assert store.run(sweep.expire(store.context)) == Swept(0, 5 * SECOND)
    store.clock.advance(5)

    assert store.run(sweep.expire(store.context)).moved == 2
    assert {store.get(key).state for key in (ready, scheduled)} == {TaskState.EXPIRED}
    assert "purge_at" in store.document(ready)
    assert store.get(running).state is TaskState.RUNNING


def test_a_holder_that_comes_back_after_a_rescue_changes_nothing(store: Any) -> None:
    key = store.new().key
    frozen = store.claim()[0]
    lose_lease(store)
    other = store.claim(worker="other")[0]

    with pytest.raises(Exception, match="lease was lost"):
        store.end(frozen, Returned("stale"))
    store.end(other, Returned("fresh"))
    assert store.get(key).result == "fresh"
