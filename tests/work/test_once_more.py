"""A running task that is asked for once more: its handler's own transaction, follow-ups, hands and executors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import NewTask, Queue, Task, TaskState


def ask(queue: Queue, **options: Any) -> Task:
    return queue.new({"n": 2}, unique="u", on_conflict="replace", **options)


def test_a_worker_runs_a_task_once_more_for_all_who_asked_while_it_ran(queue: Queue, gate: Any, events: Any) -> None:
    key = queue.new({"n": 1}, unique="u").key
    handle = queue.start(gate, workers=1)
    events.wait("task.started")
    for _ in range(5):
        assert ask(queue).key == key
    gate.opened.set()
    events.wait("tasks.finished", 2)
    handle.stop()
    assert gate.entered == [key, key]
    task = queue.get(key)
    assert (task.state, dict(task.tags), task.attempts) == (TaskState.COMPLETED, {"n": 2}, 2)


def test_follow_ups_are_enqueued_by_a_run_that_is_followed_by_one_more(queue: Queue) -> None:
    def handler(task: Task) -> list[NewTask] | None:
        if task.tags["n"] == 1:
            ask(queue)
        return [NewTask({"of": task.tags["n"]}, queue="follow-ups")]

    queue.new({"n": 1}, unique="u")
    queue.run(handler, burst=True)
    assert sorted(task.tags["of"] for task in queue.tasks(queue="follow-ups")) == [1, 2]
    [task] = queue.tasks(queue="default")
    assert (task.state, task.attempts) == (TaskState.COMPLETED, 2)


def test_a_transaction_of_the_handlers_own_is_followed_by_one_more_run(queue: Queue) -> None:
    def handler(task: Task) -> None:
        if task.tags["n"] == 1:
            ask(queue)
        with queue.transaction(task) as session:
            session.client["mongoq"][f"{queue.namespace}.effects"].insert_one({"_id": task.tags["n"]}, session=session)

    queue.new({"n": 1}, unique="u")
    queue.run(handler, burst=True)
    [task] = queue.tasks()
    assert (task.state, task.attempts, task.retries) == (TaskState.COMPLETED, 2, 0)


def test_a_task_held_by_hand_runs_once_more(queue: Queue) -> None:
    queue.new({"n": 1}, unique="u")
    task = queue.claim()
    assert task is not None
    ask(queue)
    queue.complete(task, "first")
    again = queue.claim(timeout=60)
    assert again is not None
    assert (again.key, dict(again.tags), again.charged) == (task.key, {"n": 2}, 1)


def test_one_who_waits_for_the_task_hears_of_its_last_run(queue: Queue, gate: Any, events: Any) -> None:
    task = queue.new({"n": 1}, unique="u")
    handle = queue.start(lambda given: gate(given) or given.tags["n"], workers=1)
    events.wait("task.started")
    ask(queue)
    results: list[Any] = []
    waiter = threading.Thread(target=lambda: results.append(queue.wait(task, timeout=30)))
    waiter.start()
    gate.opened.set()
    waiter.join(60)
    handle.stop()
    assert [done.result for done in results] == [2]


@pytest.mark.parametrize("mode", ["replace", "extend", "again"])
def test_a_burst_of_requests_makes_one_task_and_one_run(
    make_queue: Callable[..., Queue], mode: str, until: Callable[..., None]
) -> None:
    queue = make_queue()
    for n in range(20):
        queue.new({"n": n}, unique="u", on_conflict=mode, delay=0.2)
    ran: list[int] = []
    handle = queue.start(lambda task: ran.append(task.tags["n"]))
    until(lambda: ran and not queue.size(), why="it has run")
    handle.stop()
    assert ran == [19 if mode == "replace" else 0]
