"""What a queue, a task and a worker tell of themselves, each as one who comes from another queue looks for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest
from pymongo import MongoClient

from mongoq import ConfigurationError, NewTask, Queue, Task, TaskCancelled, TaskExpired, TaskState
from mongoq.testing import FrozenClock, memory_queue, run_due
from mongoq.worker.services.watcher import FIRST_POLL, LONGEST_POLL, Poll


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def queue(clock: FrozenClock) -> Iterator[Queue]:
    with memory_queue(clock=clock) as opened:
        yield opened


def test_a_queue_is_made_from_a_uri_a_client_or_its_database_and_closes_only_what_it_opened(uri: str) -> None:
    with MongoClient[dict[str, object]](uri) as client:
        for target in (client, client["faces"], uri):
            with Queue(target, namespace="faces") as queue:
                task = queue.new({"from": type(target).__name__})
                assert queue.get(task.key).tags == task.tags
                queue.delete(task.key)
        assert client.admin.command("ping")["ok"] == 1, "the client of the caller is open still"
    for wrong in (5, "faces", object()):
        with pytest.raises(ConfigurationError, match="target"):
            Queue(wrong)  # type: ignore[arg-type] # that is the test


def test_a_task_tells_its_creation_by_the_clock_of_the_server_and_its_age(queue: Queue, clock: FrozenClock) -> None:
    made = queue.new()
    began = clock.now()
    clock.advance(90)
    task = queue.get(made.key)
    assert (task.created_at, task.age) == (began, timedelta(seconds=90))
    with pytest.raises(FrozenInstanceError):
        task.created_at = clock.now()  # type: ignore[misc] # that is the test


def test_a_task_tells_its_tags_one_of_them_and_its_namespace(queue: Queue) -> None:
    task = queue.new({"user": 42, "plan": "gold"})
    assert dict(task.tags) == {"user": 42, "plan": "gold"}
    assert (task.get("user"), task.get("age"), task.get("age", 18)) == (42, None, 18)
    assert task.namespace == queue.namespace


def test_a_task_tells_its_attempts_its_next_time_that_it_has_finished_and_its_result(
    queue: Queue, clock: FrozenClock
) -> None:
    def handler(task: Task) -> int:
        if task.attempts == 1:
            raise ConnectionError
        return 7

    key = queue.new(backoff=60).key
    run_due(queue, handler, advance=False)
    waits = queue.get(key)
    assert (waits.attempts, waits.state, waits.run_at) == (
        1, TaskState.SCHEDULED, clock.now() + timedelta(seconds=60),
    )  # fmt: skip
    run_due(queue, handler)
    done = queue.wait(key, timeout=60)
    assert done is not None
    assert (done.attempts, done.state, done.result) == (2, TaskState.COMPLETED, 7)
    assert done.finished_at == clock.now()


def test_a_task_is_frozen_and_changed_by_the_queue_alone(queue: Queue) -> None:
    task = queue.new({"user": 42}, priority=1)
    with pytest.raises(FrozenInstanceError):
        task.priority = 9  # type: ignore[misc] # that is the test
    with pytest.raises(TypeError, match="a task never changes"):
        task.tags["user"] = 43  # type: ignore[index] # that is the test
    assert queue.update(task.key, priority=9).priority == 9
    assert (task.priority, queue.get(task.key).priority) == (1, 9)


def test_a_wait_for_a_stopped_worker_ends_when_all_its_handlers_have(queue: Queue) -> None:
    runs, may_end = threading.Event(), threading.Event()

    def handler(task: Task) -> None:
        runs.set()
        may_end.wait(60)

    queue.new()
    handle = queue.start(handler, workers=1)
    assert runs.wait(60)
    stopping = threading.Thread(target=lambda: handle.stop(30))
    stopping.start()
    assert not handle.wait(0.05), "its handler runs still"
    assert not handle.stopped
    may_end.set()
    assert handle.wait(60)
    assert handle.stopped
    stopping.join(60)
    assert queue.count(state="running") == 0


def test_a_key_identifies_a_task_and_a_name_says_what_it_is(queue: Queue) -> None:
    named, plain = queue.new(key="order-7", name="mail.welcome"), queue.new()
    assert (named.key, named.name, plain.name) == ("order-7", "mail.welcome", None)
    assert queue.get("order-7").name == "mail.welcome"
    keys = [queue.new().key for _ in range(100)]
    assert len({*keys, plain.key}) == 101
    assert sorted(keys) == keys, "keys that are made are in the order of time"


def test_nothing_runs_until_a_worker_is_started(queue: Queue) -> None:
    before = set(threading.enumerate())

    @queue.task
    def welcome(user: int) -> int:
        return user

    handle = welcome.new(42)
    assert set(threading.enumerate()) <= before, "threads of tests before this one may end meanwhile"
    assert queue.get(handle.key).state is TaskState.READY
    worker = queue.start()
    assert handle.result(timeout=30) == 42
    worker.stop(30)


def test_plain_delayed_and_scheduled_tasks_share_a_queue(queue: Queue) -> None:
    queue.new({"kind": "delayed"}, delay=60)
    queue.new({"kind": "plain"})
    queue.schedule("hourly", every=3600, task=NewTask({"kind": "by time"}))
    ran = run_due(queue, lambda task: task.tags["kind"])
    assert [one.result for one in ran] == ["plain", "delayed", "by time"]


def test_a_claim_lasts_30_s_and_the_pauses_between_polls_grow_to_1_s(queue: Queue, clock: FrozenClock) -> None:
    queue.new()
    claimed = queue.try_claim()
    assert claimed is not None
    assert claimed.lease_until == clock.now() + timedelta(seconds=30)
    poll = Poll()
    pauses = [poll.next(LONGEST_POLL) for _ in range(20)]
    assert FIRST_POLL < pauses[0] < 3 * FIRST_POLL
    assert 0.9 * LONGEST_POLL <= min(pauses[-5:]) <= max(pauses) <= 1.1 * LONGEST_POLL


def test_a_cancelled_call_an_expired_one_and_one_that_takes_longer_are_told_apart(
    queue: Queue, clock: FrozenClock
) -> None:
    @queue.task
    def welcome(user: int) -> int:
        return user

    cancelled, late = welcome.new(1), welcome.options(expires_at=clock.now() + timedelta(seconds=5)).new(2)
    queue.cancel(cancelled.key)
    clock.advance(10)
    waits = welcome.options(delay=60).new(3)
    run_due(queue, advance=False)
    with pytest.raises(TaskCancelled):
        cancelled.result(timeout=1)
    with pytest.raises(TaskExpired):
        late.result(timeout=1)
    with pytest.raises(TimeoutError):
        waits.result(timeout=0)


def test_queues_are_the_sizes_in_stats(queue: Queue) -> None:
    queue.new_many([{}] * 3, queue="mail/a")
    queue.new(queue="mail/b", delay=60)
    queue.new(queue="bills", keep_completed=60)
    run_due(queue, lambda _: None, queues="bills")
    stats = queue.stats()
    assert queue.queues() == {name: row.size for name, row in stats.items()}
    assert queue.queues(prefix="mail/") == {"mail/a": 3, "mail/b": 1}


def test_the_same_operations_run_on_a_server_and_on_a_store_in_memory(queue: Queue, uri: str) -> None:
    with Queue(uri, namespace="faces-of-drivers") as served:
        assert "mongomock" in repr(queue)
        assert "127.0.0.1" in repr(served)
        told = []
        for one in (queue, served):
            one.new({"n": 1}, key="one", priority=5)
            claimed = one.claim(timeout=60)
            assert claimed is not None
            one.complete(claimed, result=2)
            done = one.get("one")
            told.append((claimed.key, claimed.attempts, done.state, done.result, done.version))
            one.delete_all(queue="default", state="completed")
        assert told[0] == told[1]
