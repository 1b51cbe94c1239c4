"""What EntroQ promises of claims, listings and statistics, told in mongoq's words."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from mongoq import LeaseLost, Queue, Task, TaskNotFound, TaskState


def test_a_simple_sequence(client: Queue, other: Queue) -> None:
    assert client.queues() == {}
    assert client.try_claim("one") is None

    first = client.new({"n": 1}, queue="one")
    second = client.new({"n": 2}, queue="one")
    assert client.queues() == {"one": 2}
    assert [task.key for task in client.tasks(queue="one")] == [first.key, second.key]
    assert {task.attempts for task in client.tasks(queue="one")} == {0}

    mine = client.claim("one", timeout=60)
    assert mine is not None
    assert (mine.key, mine.tags, mine.attempts, mine.worker) == (first.key, {"n": 1}, 1, client.claimant)
    assert mine.version > first.version

    theirs = other.try_claim("one")
    assert theirs is not None
    assert theirs.key == second.key
    assert client.try_claim("one") is None, "both are held"
    assert [task.key for task in client.tasks(queue="one", mine=True)] == [first.key]
    assert [task.key for task in client.tasks(queue="one", claimant=other.claimant)] == [second.key]

    with pytest.raises(LeaseLost):
        client.complete(replace(theirs, token="a guess"))
    other.complete(theirs)
    client.complete(mine)
    assert client.empty("one")
    assert client.queues() == {"one": 0}


def test_a_lease_that_ran_out_lets_another_claim_and_refuses_the_first(client: Queue, other: Queue) -> None:
    client.new(queue="one")
    first = client.try_claim("one", lease=1)
    assert first is not None
    assert other.try_claim("one") is None
    second = other.claim("one", timeout=30)
    assert second is not None
    assert (second.key, second.attempts) == (first.key, 2)
    for ending in (client.complete, client.release):
        with pytest.raises(LeaseLost):
            ending(first)
    with pytest.raises(LeaseLost):
        client.renew(first, 60)
    other.complete(second)


def test_a_claim_that_waits_gets_what_comes(client: Queue, other: Queue) -> None:
    got: list[Task | None] = []
    thread = threading.Thread(target=lambda: got.append(client.claim(["one", "two"], timeout=30)))
    thread.start()
    task = other.new(queue="two")
    thread.join(60)
    assert [one and one.key for one in got] == [task.key]


def test_a_task_is_not_claimed_before_its_time(client: Queue) -> None:
    later = client.new(delay=60)
    soon = client.new(delay=0.3)
    assert client.try_claim() is None
    claimed = client.claim(timeout=30)
    assert claimed is not None
    assert claimed.key == soon.key
    assert claimed.started_at is not None
    assert claimed.started_at >= soon.run_at
    assert client.get(later.key).state is TaskState.SCHEDULED


def test_queues_match_by_prefix_and_by_name(client: Queue) -> None:
    for name, count in (("queue-1", 1), ("queue-2", 2), ("quality-1", 3), ("wolf", 4)):
        client.new_many([{}] * count, queue=name)
    assert client.queues(prefix="qu") == {"quality-1": 3, "queue-1": 1, "queue-2": 2}
    assert client.queues(prefix="queue-") == {"queue-1": 1, "queue-2": 2}
    assert client.queues(exact="wolf") == {"wolf": 4}
    assert client.queues(exact=["wolf", "queue-1"]) == {"queue-1": 1, "wolf": 4}
    assert client.queues(prefix="no such") == {}
    assert client.queues(prefix="qu", limit=1) == {"quality-1": 3}
    assert len(client.queues()) == 4


def test_statistics_tell_what_is_there_claimed_available_and_to_come(client: Queue) -> None:
    client.new_many([{}] * 4, queue="one")
    client.new(queue="one", delay=60)
    client.new(queue="two")
    held = client.claim_many(2, "one")
    client.release(held[0])
    again = client.claim_many(1, "one")
    assert again[0].attempts == 2
    row = client.stats("one", attempts=True)["one"]
    assert (row.size, row.running, row.ready, row.scheduled, row.most_attempts) == (5, 2, 2, 1, 2)
    client.complete([held[1], *again])
    row = client.stats("one", attempts=True)["one"]
    assert (row.size, row.running, row.ready, row.scheduled, row.most_attempts) == (3, 0, 2, 1, 0)


def test_a_listing_is_limited_by_keys_count_and_payload(client: Queue) -> None:
    keys = [client.new({"n": n}, payload=b"value", key=f"k{n}").key for n in range(5)]
    assert [task.key for task in client.tasks(limit=2)] == keys[:2]
    assert [task.key for task in client.tasks(keys=[keys[4], keys[1], "none"])] == [keys[1], keys[4]]
    assert {task.payload for task in client.tasks()} == {b"value"}
    assert {task.payload for task in client.tasks(payload=False)} == {None}


def test_a_renewal_moves_the_end_of_a_lease_and_no_more(client: Queue) -> None:
    client.new_many([{}] * 3)
    tasks = client.claim_many(3, lease=10)
    client.renew(tasks, 100)
    for task in tasks:
        now = client.get(task.key)
        assert now.version == task.version
        assert now.lease_until is not None
        assert now.lease_until - client.time() > timedelta(seconds=50)
    client.complete(tasks)


def test_work_that_outlasts_its_lease_is_kept_by_renewals(client: Queue, other: Queue) -> None:
    client.new(queue="one")
    task = client.try_claim("one", lease=1)
    assert task is not None
    with client.keepalive(task, 1):
        assert other.claim("one", timeout=3) is None, "it is held three leases later"
        client.complete(task)
    assert client.get(task.key).state is TaskState.COMPLETED


def test_a_worker_renews_what_its_handler_takes_long_over(client: Queue, other: Queue) -> None:
    key = client.new(queue="one", lease=1).key
    stolen: list[Task | None] = []
    client.run_once(lambda task: stolen.append(other.claim("one", timeout=3)), queues="one", workers=1)
    assert stolen == [None]
    assert (client.get(key).state, client.get(key).attempts) == (TaskState.COMPLETED, 1)


def test_two_workers_do_every_task_once(client: Queue, other: Queue) -> None:
    keys = {task.key for task in client.new_many([{}] * 300, queue="one")}
    done: list[str] = []
    for queue in (client, other):
        queue.start(lambda task: done.append(task.key), queues="one", workers=2)
    assert client.join("one", timeout=60)
    assert sorted(done) == sorted(keys)


def test_a_wait_for_empty_queues_ends_when_they_are(client: Queue, other: Queue) -> None:
    client.new_many([{}] * 3, queue="a/1")
    client.new(queue="a/2")
    client.new(queue="b")
    assert not client.join(prefix="a/", timeout=0.1)
    threading.Timer(0.2, lambda: other.complete(other.claim_many(4, ["a/1", "a/2"]))).start()
    assert client.join(prefix="a/", timeout=30)
    assert not client.empty()


def test_the_server_s_time_is_one_for_all(client: Queue, other: Queue) -> None:
    before = client.time()
    assert before <= other.time() <= client.time()


def test_a_key_that_is_not_there_is_said_to_be_missing(client: Queue) -> None:
    for verb in (client.get, client.cancel, client.delete):
        with pytest.raises(TaskNotFound):
            verb("none")
