from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from mongoq.core.judging.verdict import Released
from mongoq.core.lifecycle import TaskState
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.operations import sweep
from mongoq.storage.operations.claiming.first import try_claim
from mongoq.storage.operations.claiming.many import claim_batch, claim_many


def test_a_batch_prefers_the_higher_priority_then_the_older_then_the_first(store: Any) -> None:
    now = store.clock.now()
    store.new(key="low", priority=-1, run_at=now - timedelta(days=9))
    store.new(key="new", priority=5)
    store.new(key="old", priority=5, run_at=now - timedelta(seconds=1))
    store.new(key="first", priority=2**62)

    assert [task.key for task in store.claim(10)] == ["first", "old", "new", "low"]


def test_a_claim_by_hand_prefers_the_higher_priority(store: Any) -> None:
    for priority in (1, 3, 2):
        store.new(priority=priority)

    claimed = [store.claim_one() for _ in range(4)]
    assert [task and task.priority for task in claimed] == [3, 2, 1, None]


def test_priority_counts_across_all_queues_asked_for(store: Any) -> None:
    for queue, priority in (("a", 1), ("b", 2), ("c", 9), ("a", 3)):
        store.new(queue=queue, priority=priority)

    assert [(t.queue, t.priority) for t in store.claim(10, queues=("a", "b"))] == [("a", 3), ("b", 2), ("a", 1)]


def test_what_a_claim_returns_is_what_is_stored(store: Any) -> None:
    store.new(tags={"n": 1})
    task = store.claim(worker="host:1:x")[0]

    assert store.get(task.key) == replace(task, token=None)
    assert store.document(task.key)["hold"]["token"] == task.token
    assert (task.state, task.attempts, task.worker, task.version) == (TaskState.RUNNING, 1, "host:1:x", 2)
    assert task.lease_until == store.clock.now() + timedelta(seconds=30)
    assert len(task.token or "") == 32


def test_the_lease_is_the_one_the_task_carries(store: Any) -> None:
    store.new(lease=5)
    store.new()
    now = store.clock.now()

    assert {task.lease_until - now for task in store.claim(2)} == {timedelta(seconds=5), timedelta(seconds=30)}
    store.new(lease=5)
    by_hand = store.claim_one()
    assert by_hand is not None
    assert store.document(by_hand.key)["hold"]["until"] == now + timedelta(seconds=5)


def test_a_task_past_its_expiry_is_expired_not_run(store: Any) -> None:
    late, later = (store.new(expires_at=store.clock.now() + timedelta(seconds=5)).key for _ in range(2))
    good = store.new().key
    store.clock.advance(5)

    assert [task.key for task in store.claim(1)] == []  # the head was late; the next claim looks further
    assert [task.key for task in store.claim(2)] == [good]
    assert store.get(late).state is store.get(later).state is TaskState.EXPIRED
    assert store.get(late).attempts == 0


def test_by_hand_too_an_expired_task_is_passed_over(store: Any) -> None:
    late = store.new(expires_at=store.clock.now() + timedelta(seconds=5)).key
    good = store.new().key
    store.clock.advance(5)

    claimed = store.claim_one()
    assert claimed is not None
    assert claimed.key == good
    assert store.get(late).state is TaskState.EXPIRED


def test_an_empty_claim_by_hand_promotes_what_is_due_first(store: Any) -> None:
    key = store.new(delay=60).key
    assert store.claim_one() is None
    store.clock.advance(60)

    claimed = store.claim_one()
    assert claimed is not None
    assert claimed.key == key


def test_a_task_goes_to_exactly_one_of_many_claimants(store: Any) -> None:
    store.new_many([NewTask() for _ in range(2_000)])
    taken: Counter[str] = Counter()
    lost = []

    def claim_all(name: str) -> None:
        while True:
            claim = store.run(claim_many(store.context, ClaimRequest(("default",), name, 50), poison_budget=16))
            taken.update(task.key for task in claim.tasks)
            lost.append(claim.lost)
            if not claim.more:
                return

    threads = [threading.Thread(target=claim_all, args=(f"w{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == store.collection.count_documents({"state": "running"}) == 2_000
    assert set(taken.values()) == {1}
    assert sum(lost), "the claimants never met: the test shows nothing"


def test_a_claim_by_hand_finds_what_is_due_behind_more_than_one_sweep_of_other_queues(store: Any) -> None:
    wanted = ClaimRequest(("default",), "w", 5)
    for claim in (try_claim, claim_batch):
        store.new_many([NewTask(queue="other", delay=1) for _ in range(sweep.BATCH)])
        store.new(delay=2)
        store.clock.advance(60)
        assert store.run(claim(store.context, wanted))


def lose(store: Any, count: int) -> None:
    """Claim so many tasks in a process that vanishes."""
    assert len(store.claim(count)) == count
    store.clock.advance(32)
    store.run(sweep.rescue(store.context))


def test_a_process_holds_few_suspects_and_they_do_not_stand_in_the_way(store: Any) -> None:
    suspected = {store.new(priority=9).key for _ in range(20)}
    lose(store, 20)
    ordinary = {store.new().key for _ in range(3)}

    first = store.claim(40)
    assert [task.lost_leases for task in first] == [1] * 16 + [0] * 3
    assert {task.key for task in first[:16]} < suspected
    assert {task.key for task in first[16:]} == ordinary
    assert store.claim(40, poison_budget=0) == []
    assert len(store.claim(40, poison_budget=3)) == 3


def test_who_lost_two_leases_is_the_only_suspect_of_its_process(store: Any) -> None:
    for _ in range(3):
        store.new(priority=9)
    lose(store, 3)
    lose(store, 2)
    ordinary = store.new().key

    claimed = store.claim(10)
    assert [task.lost_leases for task in claimed] == [2, 0]
    assert claimed[1].key == ordinary
    assert [task.lost_leases for task in store.claim(10, poison_budget=15)] == [1]


def test_a_claim_says_whether_more_may_be_ready(store: Any) -> None:
    for _ in range(3):
        store.new()

    def more(limit: int) -> bool:
        claim = store.run(claim_many(store.context, ClaimRequest(("default",), "w", limit), poison_budget=16))
        return bool(claim.more)

    assert [more(2), more(2)] == [True, False]


def test_tasks_of_different_versions_are_claimed_in_one_go(make_store: Callable[..., Any]) -> None:
    store = make_store()
    keys = {store.new().key for _ in range(4)}
    for task in store.claim(2):
        store.end(task, Released())

    assert {task.key for task in store.claim(10)} == keys


def behind(store: Any, limit: int, skip: int) -> Any:
    return store.run(claim_many(store.context, ClaimRequest(("default",), "w", limit), poison_budget=16, skip=skip))


def test_a_batch_behind_the_head_leaves_the_head_where_all_have_one_priority(store: Any) -> None:
    keys = [store.new(key=f"t{number}").key for number in range(6)]
    claim = behind(store, 2, skip=3)
    assert (claim.skipped, [task.key for task in claim.tasks]) == (True, keys[3:5])
    assert [task.key for task in store.claim(9)] == [*keys[:3], keys[5]]


def test_a_batch_behind_the_head_is_taken_at_the_head_where_that_is_more_urgent(store: Any) -> None:
    store.new(key="urgent", priority=1)
    for number in range(6):
        store.new(key=f"t{number}")
    claim = behind(store, 2, skip=3)
    assert (claim.skipped, [task.key for task in claim.tasks]) == (False, ["urgent", "t0"])


def test_a_batch_behind_the_head_is_what_is_left_there_or_taken_at_the_head(store: Any) -> None:
    for number in range(4):
        store.new(key=f"t{number}")
    claim = behind(store, 2, skip=3)
    assert (claim.skipped, [task.key for task in claim.tasks]) == (True, ["t3"])
    claim = behind(store, 1, skip=3)
    assert (claim.skipped, [task.key for task in claim.tasks]) == (False, ["t0"])
    store.new(key="t4")
    aside = claim_many(store.context, ClaimRequest(("default",), "w", 2), poison_budget=0, skip=2, at_head=False)
    assert store.run(aside).tasks == [], "an aide leaves the head alone"
