from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import metadata
from itertools import pairwise
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import Linear, Queue, Retry, Task, TaskState
from mongoq.core.clock import elapsed
from mongoq.worker.services import interpreter

Finished = Callable[[Queue, str], Task]


def test_a_handler_receives_its_task_and_its_return_is_the_result(queue: Queue) -> None:
    key = queue.new({"user": 42}, payload=b"\1", priority=5).key
    seen: list[Task] = []

    def handler(task: Task) -> dict[str, Any]:
        seen.append(task)
        return {"user": task.get("user"), "template": task.get("template", "plain")}

    queue.run(handler, burst=True)
    done = queue.get(key)
    assert (done.state, done.result) == (TaskState.COMPLETED, {"user": 42, "template": "plain"})
    assert (seen[0].payload, seen[0].attempts, seen[0].cancelled, seen[0].time_left()) == (b"\1", 1, False, None)
    assert seen[0].age >= timedelta(0)


def test_a_handler_of_two_arguments_gets_the_live_attempt_first(queue: Queue) -> None:
    queue.new()
    seen: list[Any] = []
    queue.run(lambda attempt, task: seen.append((attempt.interruption, attempt is task.attempt)), burst=True)

    assert seen == [(None, True)]


def test_one_worker_never_claims_lower_while_higher_is_ready(make_queue: Callable[..., Queue], watch: Any) -> None:
    queue = make_queue(workers=1)
    events = watch(queue)
    queue.new_many([{"n": number} for number in range(300)], priority=1)
    added = threading.Event()

    def handler(task: Task) -> None:
        if task.priority == 1 and not added.is_set():
            queue.new_many([{}] * 20, priority=7)
            added.set()

    queue.run(handler, burst=True)

    claims = [[task.priority for task in event["tasks"]] for event in events.of("tasks.claimed")]
    first_high = next(index for index, claim in enumerate(claims) if 7 in claim)
    assert all(claim == sorted(claim, reverse=True) for claim in claims)
    assert sum(claim.count(7) for claim in claims[first_high:]) == 20
    ready_high = 20
    for claim in claims[first_high:]:
        if 1 in claim:
            assert claim.count(7) == ready_high, "a lower priority was claimed while a higher one was ready"
        ready_high -= claim.count(7)


def test_a_failing_handler_runs_again_after_each_step_of_its_backoff(queue: Queue, finished: Finished) -> None:
    key = queue.new(max_retries=3, backoff=Linear(0.3)).key

    def handler(task: Task) -> None:
        raise ValueError(f"attempt {task.attempts}")

    queue.start(handler)
    task = finished(queue, key)
    at = [(error.at - task.created_at).total_seconds() for error in task.errors]

    assert (task.state, task.attempts, task.retries) == (TaskState.FAILED, 4, 4)
    assert [error.message for error in task.errors] == [f"attempt {number}" for number in (1, 2, 3, 4)]
    assert "in handler" in task.errors[0].traceback
    waits = [later - earlier for earlier, later in pairwise(at)]
    # Each wait is at least its step, and the steps grow as they should: ratios, not the machine's speed.
    assert all(wait >= 0.3 * number for number, wait in enumerate(waits, start=1))
    assert waits[0] < waits[1] < waits[2]


def test_what_a_task_does_not_carry_is_taken_from_its_worker(make_queue: Callable[..., Queue], watch: Any) -> None:
    producer = make_queue()
    worker = make_queue(namespace=producer.namespace, backoff=lambda attempt: 3600 * attempt)
    events = watch(worker)
    key = producer.new().key

    def handler(task: Task) -> None:
        raise ValueError("no")

    worker.start(handler)
    events.wait("tasks.finished")
    assert producer.get(key).run_at > datetime.now(UTC) + timedelta(minutes=30)


def test_run_once_runs_what_is_due_up_to_its_limit_and_says_whether_more_is(queue: Queue) -> None:
    queue.new_many([{}] * 5)
    queue.new(delay=3600)
    seen: list[str] = []

    assert queue.run_once(lambda task: seen.append(task.key), limit=3)
    assert len(seen) == 3
    assert not queue.run_once(lambda task: seen.append(task.key))
    assert len(seen) == 5
    assert queue.size() == 1


def test_a_burst_runs_what_its_handlers_add_and_leaves_what_is_not_due(queue: Queue) -> None:
    queue.new({"depth": 3})
    queue.new(delay=3600)

    def handler(task: Task) -> None:
        if task.get("depth", 0):
            queue.new({"depth": task.tags["depth"] - 1})

    queue.run(handler, burst=True)
    stats = queue.stats()["default"]
    assert (stats.completed, stats.ready, stats.scheduled) == (4, 0, 1)


def test_a_burst_does_not_end_before_what_is_retried_at_once(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(max_retries=3, backoff=0, workers=2)
    queue.new_many([{"n": n} for n in range(20)])

    def handler(_: Task) -> None:
        raise ValueError

    queue.run(handler, burst=True)
    assert {(task.state, task.attempts) for task in queue.tasks()} == {(TaskState.FAILED, 4)}


def test_a_burst_runs_suspects_to_the_last(queue: Queue, server: Any) -> None:
    with MongoClient[dict[str, Any]](server.uri) as client:
        queue.new_many([{}] * 60)
        tasks = client["mongoq"][f"{queue.namespace}.tasks"]
        tasks.update_many({}, {"$set": {"lost_leases": 1}})
        tasks.update_many({"_id": {"$in": [task.key for task in queue.tasks(limit=10)]}}, {"$set": {"lost_leases": 2}})
    queue.run(lambda task: None, burst=True)

    assert queue.stats()["default"].completed == 60


def test_a_worker_works_on_the_queues_it_was_given(queue: Queue) -> None:
    for name in ("a", "b", "c"):
        queue.new(queue=name)
    queue.run(lambda task: None, queues=["a", "c"], burst=True)

    assert {name: row.completed for name, row in queue.stats().items()} == {"a": 1, "b": 0, "c": 1}


def test_a_worker_is_seen_in_the_fleet_while_it_lives(queue: Queue, until: Callable[..., None]) -> None:
    handle = queue.start(lambda task: None, queues=["a", "b"], workers=3)
    until(queue.workers, why="the heartbeat shows")
    worker = queue.workers()[0]

    assert (worker.id, worker.queues, worker.workers, worker.running) == (handle.id, ("a", "b"), 3, 0)
    assert (worker.version, worker.pool) == (metadata.version("mongoq"), 100)
    assert worker.ahead_of_server is not None
    assert abs(worker.ahead_of_server) < timedelta(minutes=1), "server and worker share a clock here"
    handle.stop()
    assert queue.workers() == []


def test_a_worker_tells_what_runs_apart_from_what_it_claimed_ahead(queue: Queue, until: Callable[..., None]) -> None:
    go = threading.Event()
    queue.new_many([{}] * 8)
    handle = queue.start(lambda task: go.wait(30), workers=2)
    try:
        until(
            lambda: [(one.running, one.running + one.ahead) for one in queue.workers()]
            == [(2, queue.count(state="running"))],
            timeout=30, why="a heartbeat tells of both",
        )  # fmt: skip
    finally:
        go.set()
        handle.stop()


def test_a_task_added_here_starts_at_once_also_after_a_long_idle_time(queue: Queue, events: Any) -> None:
    queue.start(lambda task: None)
    events.wait("tasks.claimed", 8)  # by now the claimer polls once a second
    waits = []
    for number in range(1, 6):
        queue.new()
        task = events.wait("task.started", number)[-1]["task"]
        waits.append((task.started_at - task.created_at).total_seconds())
    assert min(waits) < 0.3


def test_what_waits_behind_a_long_handler_is_given_back(make_queue: Callable[..., Queue], watch: Any) -> None:
    queue = make_queue(workers=1)
    events = watch(queue)
    release = threading.Event()

    def handler(task: Task) -> None:
        if task.get("long"):
            release.wait(20)

    queue.new_many([{}] * 200)
    queue.start(handler)
    events.wait("task.ended", 200)  # by now it holds tasks ahead, because its handlers are quick
    queue.new({"long": True}, priority=1)
    queue.new_many([{}] * 40)
    other = make_queue(namespace=queue.namespace, workers=1)
    try:
        theirs = watch(other)
        other.start(lambda task: None)
        # Either worker may have taken the quick ones; behind the long one none stays for its length.
        deadline = threading.Event()
        while queue.stats()["default"].completed < 240 and not deadline.wait(0.05):
            assert len(theirs.of("task.ended")) <= 240
        assert queue.stats()["default"].completed == 240
    finally:
        release.set()


def test_run_once_with_a_limit_runs_what_has_just_become_due(queue: Queue) -> None:
    queue.new(delay=0.05)
    seen: list[str] = []
    while not seen:
        queue.run_once(lambda task: seen.append(task.key), limit=5)
    assert len(seen) == 1


def test_a_worker_ends_when_its_client_is_closed_by_its_owner(server: Any) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(server.uri)
    queue = Queue(client, namespace="t-closed-client")
    handle = queue.start(lambda task: None)
    client.close()

    assert handle.wait(60)


def test_a_burst_runs_again_what_is_due_again_at_once(queue: Queue) -> None:
    """Another sweep may make it ready between the claim that finds nothing and the end of the burst."""

    def handler(task: Task) -> None:
        if task.attempts < 10:
            raise Retry(delay=0)

    keys = [queue.new().key for _ in range(3)]
    queue.run(handler, burst=True)
    assert {queue.get(key).state for key in keys} == {TaskState.COMPLETED}


def test_events_tell_the_life_of_an_attempt_in_order(make_queue: Callable[..., Queue], watch: Any) -> None:
    queue = make_queue(workers=1, lease=1)
    events = watch(queue)
    key = queue.new().key
    before = elapsed()

    def handler(task: Task) -> None:
        events.wait("tasks.renewed")

    queue.run(handler, burst=True)

    kept = {"tasks.claimed", "task.started", "tasks.renewed", "task.ended", "tasks.finished"}
    told = [name for name, fields in events.all() if name in kept and fields.get("tasks") != []]
    assert told[:2] == ["tasks.claimed", "task.started"]
    assert told[-2:] == ["task.ended", "tasks.finished"]
    claim = next(event for event in events.of("tasks.claimed") if event["tasks"])
    (claimed,) = claim["tasks"]
    renewal = events.of("tasks.renewed")[0]
    ((task, verdict),) = events.of("tasks.finished")[0]["endings"]
    assert before <= claim["sent"] <= renewal["until"] - 1 <= elapsed()
    assert not claim["doubtful"]
    assert [task.token for task in renewal["tasks"]] == [claimed.token] == [task.token]
    assert (task.key, verdict.event) == (key, "complete")


def test_a_worker_shortens_the_turns_of_the_interpreter_while_it_runs(queue: Queue) -> None:
    queue.new()
    before, during = sys.getswitchinterval(), []
    queue.run(lambda task: during.append(sys.getswitchinterval()), burst=True)

    assert during == pytest.approx([interpreter.LONGEST], abs=2e-6)
    assert sys.getswitchinterval() == pytest.approx(before, abs=2e-6)
