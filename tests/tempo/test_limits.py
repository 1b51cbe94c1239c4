"""Limits: how many tasks of a group run at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import ConfigurationError, InvalidTask, LimitNotFound, NewTask, TaskState, WrongState
from mongoq.core.clock import FrozenClock
from mongoq.core.explaining.why import why
from proving.tempos import Face


def claimed(queue: Face, count: int = 10) -> list[Any]:
    return list(queue.claim_many(count))


def numbers(tasks: list[Any]) -> list[int]:
    return [task.tags["n"] for task in tasks]


def test_no_more_of_a_group_run_at_once_than_the_limit_says(queue: Face) -> None:
    queue.limit("tenant", concurrency=2, by="tenant")
    queue.new_many(({"tenant": f"t{n % 2}", "n": n} for n in range(8)), limits="tenant")
    first = claimed(queue)
    assert numbers(first) == [0, 1, 2, 3]
    assert claimed(queue) == []
    assert queue.count(state="parked") == 4
    every = queue.limit_stats()["tenant"]
    assert (every.running, every.waiting, every.groups_running, every.groups_waiting, every.fullest) == (4, 4, 2, 2, 2)
    queue.complete(first[0])
    assert numbers(claimed(queue)) == [4]
    queue.fail(first[1], "no")
    assert numbers(claimed(queue)) == [5]
    queue.release(first[2])
    assert numbers(claimed(queue)) == [2], "a released task is older than those that wait"


def test_a_claim_passes_over_what_has_no_room(queue: Face) -> None:
    queue.limit("stripe", concurrency=1)
    queue.new_many(({"n": n} for n in range(300)), limits="stripe", priority=1)
    queue.new({"n": 300})
    assert queue.try_claim().tags["n"] == 0
    assert queue.try_claim().tags["n"] == 300
    assert queue.count(state="parked") == 299


def test_the_most_urgent_of_those_that_wait_is_next(queue: Face) -> None:
    queue.limit("stripe", concurrency=1)
    for n, priority in enumerate([0, 1, 5, 3]):
        queue.new({"n": n}, priority=priority, limits=["stripe"])
    order = []
    while task := queue.try_claim():
        order.append(task.tags["n"])
        assert queue.try_claim() is None
        queue.complete(task)
    assert order == [2, 3, 1, 0]


def test_a_task_under_several_limits_needs_room_in_each(queue: Face) -> None:
    queue.limit("stripe", concurrency=3)
    queue.limit("tenant", concurrency=1, by="tenant")
    queue.new_many(({"tenant": n // 2, "n": n} for n in range(8)), limits=["stripe", "tenant"])
    first = claimed(queue)
    assert numbers(first) == [0, 2, 4]
    queue.complete(first[0])
    assert set(numbers(claimed(queue))) <= {1, 6}
    assert queue.count(state="running") == 3


def test_a_limit_is_changed_while_tasks_wait(queue: Face) -> None:
    queue.limit("stripe", concurrency=1)
    queue.new_many(({"n": n} for n in range(12)), limits="stripe")
    assert len(claimed(queue)) == 1
    queue.limit("stripe", concurrency=5)
    more = claimed(queue)
    assert len(more) == 4
    queue.limit("stripe", concurrency=3)
    for count, task in enumerate(more, start=1):
        queue.complete(task)
        running = queue.count(state="running")
        got = claimed(queue)
        assert running + len(got) == max(3, 5 - count)


def test_a_limit_that_is_deleted_holds_nobody(queue: Face) -> None:
    queue.limit("stripe", concurrency=1)
    queue.new_many(({"n": n} for n in range(5)), limits="stripe")
    assert len(claimed(queue)) == 1
    queue.delete_limit("stripe")
    assert len(claimed(queue)) == 4
    with pytest.raises(LimitNotFound):
        queue.delete_limit("stripe")


def test_a_line_is_strict_and_halts_behind_a_task_that_waits_for_its_retry(queue: Face) -> None:
    queue.limit("account", concurrency=1, by="account", order="fifo")
    queue.new_many(({"account": n % 2, "n": n} for n in range(6)), limits="account", max_retries=3)
    queue.new({"account": 0, "n": 6}, limits="account", priority=9)
    first = claimed(queue)
    assert numbers(first) == [0, 1]
    queue.retry(first[0], "later", delay=60)
    queue.complete(first[1])
    assert numbers(claimed(queue)) == [3], "the other line goes on"
    halted = {group.value: group.behind for group in queue.limit_state("account")}
    assert halted == {"0": first[0].key, "1": None}
    queue.update(first[0].key, delay=0)
    order = []
    while task := queue.try_claim():
        order.append(task.tags["n"])
        queue.complete(task)
    assert order == [0, 2, 4, 6]


def test_the_slot_of_a_lost_lease_comes_back(make: Callable[..., Face]) -> None:
    clock = FrozenClock()
    queue = make(clock=clock, lease=30)
    queue.limit("stripe", concurrency=1)
    queue.new_many(({"n": n} for n in range(2)), limits="stripe")
    assert numbers(claimed(queue)) == [0]
    assert claimed(queue) == []
    clock.advance(29)
    assert claimed(queue) == []
    clock.advance(2.5)
    assert len(claimed(queue)) == 1


def test_a_task_claimed_by_its_key_needs_room_as_any(queue: Face) -> None:
    queue.limit("stripe", concurrency=1)
    queue.new_many([NewTask(key=key, limits="stripe") for key in ("a", "b")])
    held = queue.claim(key="a")
    with pytest.raises(WrongState, match="stripe"):
        queue.claim(key="b")
    queue.complete(held)
    assert queue.claim(key="b").key == "b"


def test_what_waits_for_room_can_be_cancelled_moved_and_changed(queue: Face) -> None:
    queue.limit("stripe", concurrency=1)
    queue.new_many([NewTask({"n": n}, key=f"k{n}", limits="stripe") for n in range(5)])
    held = queue.try_claim()
    assert queue.try_claim() is None
    assert queue.get("k1").waits_for == "stripe"
    assert "the limit stripe has no room" in str(why(queue.get("k1"), [], []))
    assert queue.get("k1").limits == {"stripe": 1}
    queue.cancel("k1")
    queue.update("k2", priority=-1)
    queue.delete("k3")
    queue.complete(held)
    assert queue.try_claim().key == "k4"
    assert queue.get("k1").state == TaskState.CANCELLED
    assert queue.get("k2").state == TaskState.PARKED


def test_the_state_of_a_limit_shows_who_runs_and_who_waits(queue: Face) -> None:
    queue.limit("tenant", concurrency=2, by="tenant")
    queue.limit("tenants", concurrency=1)
    queue.new_many(({"tenant": "a"} for _ in range(5)), limits="tenant")
    queue.new({"tenant": "b"}, limits=["tenant", "tenants"])
    claimed(queue)
    groups = {group.value: (group.running, group.waiting) for group in queue.limit_state("tenant")}
    assert groups == {"a": (2, 3), "b": (1, 0)}
    assert [one.name for one in queue.limits()] == ["tenant", "tenants"]
    with pytest.raises(LimitNotFound):
        queue.limit_state("nobody")


def test_what_is_wrong_with_a_limit_is_told_before_anything_is_written(queue: Face) -> None:
    for options in ({}, {"concurrency": 0}, {"concurrency": 2, "order": "fifo"}, {"concurrency": 1, "by": "a.b"}):
        with pytest.raises(ConfigurationError):
            queue.limit("stripe", **options)
    assert queue.limits() == []
    queue.limit("stripe", concurrency=1)
    with pytest.raises(ConfigurationError, match="by=None"):
        queue.limit("stripe", concurrency=1, by="tenant")
    for wrong in ("strip", ["stripe", "a b"], {"stripe": 0}, 7):
        with pytest.raises(InvalidTask, match="limits"):
            queue.new({"n": 1}, limits=wrong)
    with pytest.raises(InvalidTask, match="stripe"):
        queue.modify(insert=[NewTask(limits="strip")])
    assert queue.size() == 0


def test_a_change_inserts_tasks_under_limits(queue: Face) -> None:
    queue.limit("stripe", concurrency=1)
    queue.modify(insert=[NewTask({"n": n}, limits="stripe") for n in range(3)])
    assert len(claimed(queue)) == 1


def test_workers_keep_within_a_limit_and_leave_nothing_behind(queue: Face) -> None:
    queue.limit("tenant", concurrency=2, by="tenant")
    lock, present, most = threading.Lock(), Counter[str](), Counter[str]()

    def handler(task: Any) -> None:
        tenant = task.tags["tenant"]
        with lock:
            present[tenant] += 1
            most[tenant] = max(most[tenant], present[tenant])
        threading.Event().wait(0.002)
        with lock:
            present[tenant] -= 1

    queue.new_many(({"tenant": f"t{n % 5}"} for n in range(60)), limits="tenant")
    queue.run(handler, burst=True, workers=20)
    assert queue.empty()
    assert len(most) == 5
    assert max(most.values()) <= 2


@pytest.mark.parametrize("how", ["cancel", "delete", "cancel_all"])
def test_a_line_goes_on_at_once_when_its_head_is_taken_away(queue: Face, how: str) -> None:
    queue.limit("account", concurrency=1, by="account", order="fifo")
    head = queue.new({"account": 1, "n": 0}, limits="account", delay=3600)
    queue.new_many(({"account": 1, "n": n} for n in (1, 2)), limits="account")
    assert claimed(queue) == []
    assert queue.count(state="parked") == 2
    if how == "cancel_all":
        queue.cancel_all(state="scheduled")
    else:
        getattr(queue, how)(head.key)
    assert queue.count(state="ready") == 1, "no sweep was needed"
    assert numbers(claimed(queue)) == [1]


def test_a_change_that_ends_a_running_task_gives_its_slot_to_the_next_at_once(queue: Face) -> None:
    queue.limit("stripe", concurrency=1)
    queue.new_many(({"n": n} for n in range(3)), limits="stripe")
    first = queue.try_claim()
    assert claimed(queue) == []
    queue.modify(delete=[first])
    assert queue.count(state="ready") == 1, "no sweep was needed"
    assert numbers(claimed(queue)) == [1]
