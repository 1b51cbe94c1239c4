"""Tasks that are claimed, renewed and ended by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from mongoq import ConfigurationError, LeaseLost, Queue, TaskState

Make = Callable[..., Queue]


def test_a_claim_holds_for_the_lease_it_asks_for_under_the_name_it_gives(queue: Queue) -> None:
    queue.new_many([{}] * 4, lease=9)
    claimed = [queue.try_claim(lease=5, claimant="me"), queue.claim(lease=5, claimant="me")]
    claimed += queue.claim_many(1, lease=5, claimant="me")
    for task in claimed:
        assert task is not None
        assert task.lease_until is not None
        assert task.started_at is not None
        assert task.lease_until - task.started_at == timedelta(seconds=5)
        assert queue.get(task.key).lease_until == task.lease_until
    assert [task.worker for task in queue.tasks(claimant="me")] == ["me"] * 3
    own = queue.try_claim()
    assert own is not None
    assert [task.key for task in queue.tasks(mine=True)] == [own.key]
    with pytest.raises(ConfigurationError, match="give mine or claimant, not both"):
        queue.tasks(mine=True, claimant="other")
    for verb in (queue.try_claim, queue.claim, partial(queue.claim_many, 1)):
        with pytest.raises(ConfigurationError, match="claimant"):
            verb(claimant="")
    assert own.worker == queue.claimant


def test_the_claimant_of_a_queue_object_can_be_named(make_queue: Make) -> None:
    queue = make_queue(claimant="crawler-7")
    queue.new()
    task = queue.try_claim()
    assert task is not None
    assert task.worker == queue.claimant == "crawler-7"
    with pytest.raises(ConfigurationError, match="claimant"):
        make_queue(claimant="")


def test_claims_by_tags_take_only_tasks_that_have_them(queue: Queue) -> None:
    queue.new_many([{"tenant": "other"}] * 5, priority=9)
    for number in range(4):
        queue.new({"tenant": "acme", "n": number})
    where = {"tenant": "acme"}
    claimed = [queue.try_claim(where=where), queue.claim(where=where, timeout=0)]
    claimed += queue.claim_many(10, where=where)
    assert [task and task.tags["n"] for task in claimed] == [0, 1, 2, 3]
    assert queue.claim(where=where, timeout=0.05) is None
    with pytest.raises(ConfigurationError, match="where"):
        queue.claim(where={"$where": "1"})


def test_a_batch_by_hand_is_the_most_urgent_first_and_never_more_than_asked_for(queue: Queue) -> None:
    for priority in (1, 3, 2):
        queue.new(priority=priority)
    assert [task.priority for task in queue.claim_many(2)] == [3, 2]
    assert [task.priority for task in queue.claim_many(2)] == [1]
    assert queue.claim_many(2) == []
    with pytest.raises(ConfigurationError, match="limit"):
        queue.claim_many(0)


def test_a_batch_by_hand_brings_what_has_just_fallen_due(queue: Queue, until: Callable[..., None]) -> None:
    due = queue.new(delay=0.05).run_at
    until(lambda: queue.time() >= due, why="its time has come")
    assert len(queue.claim_many(5)) == 1


def test_renewing_many_names_those_that_are_lost_and_renews_the_others(queue: Queue) -> None:
    queue.new_many([{}] * 4)
    tasks = queue.claim_many(3)
    tasks.append(queue.try_claim())  # type: ignore[arg-type]
    queue.complete(tasks[1])
    with pytest.raises(LeaseLost) as lost:
        queue.renew(tasks, 600)
    assert lost.value.keys == (tasks[1].key,)
    for task in (tasks[0], tasks[2], tasks[3]):
        now = queue.get(task.key)
        assert now.lease_until is not None
        assert task.lease_until is not None
        assert now.lease_until - task.lease_until > timedelta(seconds=500)
    with pytest.raises(LeaseLost):
        queue.renew(queue.new())
    with pytest.raises(ConfigurationError, match="at least 1 second"):
        queue.renew(tasks, 0.5)


def test_a_renewal_without_a_length_is_for_the_task_s_own(queue: Queue) -> None:
    queue.new(lease=100)
    queue.new(lease=200)
    tasks = queue.claim_many(2, lease=5)
    queue.renew(tasks)
    for task, length in zip(tasks, (100, 200), strict=True):
        until = queue.get(task.key).lease_until
        assert until is not None
        # A lease counts from the most that the server's time can be.
        assert timedelta(seconds=length - 10) < until - queue.time() <= timedelta(seconds=length + 1)


def test_several_tasks_end_in_one_go(queue: Queue) -> None:
    queue.new_many([{}] * 9)
    done, failed, released, moved = (queue.claim_many(2) for _ in range(4))
    queue.complete(done, "fine")
    queue.fail(failed, ValueError("broken"))
    queue.release(released)
    assert queue.move(moved, "elsewhere") == 2
    assert [queue.get(task.key).result for task in done] == ["fine"] * 2
    for task in failed:
        error = queue.get(task.key).last_error
        assert error is not None
        assert (error.type, error.message) == ("ValueError", "broken")
    assert {queue.get(task.key).state for task in released} == {TaskState.READY}
    assert {queue.get(task.key).queue for task in moved} == {"elsewhere"}
    with pytest.raises(LeaseLost) as lost:
        queue.release([*done, *queue.claim_many(1)])
    assert set(lost.value.keys) == {task.key for task in done}
    for wrong in ("a key", [1], None):
        with pytest.raises(ConfigurationError, match="claimed"):
            queue.complete(wrong)  # type: ignore[arg-type]
