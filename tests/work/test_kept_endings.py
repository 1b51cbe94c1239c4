"""Endings that cannot be written yet: kept and tried again, while those of the others are written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import Modification, NewTask, Queue, Task, TaskState
from mongoq.embedded.server import EmbeddedServer

Until = Callable[..., None]
MIB = 2**20


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](server.uri) as client:
        yield client


@contextmanager
def held_by_a_transaction(client: MongoClient[dict[str, Any]], queue: Queue, key: str) -> Iterator[None]:
    tasks = client.get_default_database("mongoq")[f"{queue.namespace}.tasks"]
    with client.start_session() as session, session.start_transaction():
        assert tasks.update_one({"_id": key}, {"$set": {"mine": 1}}, session=session).matched_count == 1
        yield
        session.abort_transaction()


def left(queue: Queue) -> dict[str, TaskState]:
    """The tasks that have not completed, but those that follow them."""
    after = (TaskState.COMPLETED, TaskState.SCHEDULED)
    return {task.key: task.state for task in queue.tasks() if task.state not in after}


def followed(task: Task) -> Modification:
    """A handler whose task is to be ended in one transaction with the making of the next one."""
    return Modification(insert=[NewTask(key=f"after {task.key}", delay=60)])


def test_endings_are_written_while_a_transaction_holds_the_task_of_another(
    make_queue: Callable[..., Queue], client: Any, watch: Any, until: Until
) -> None:
    queue = make_queue()
    events = watch(queue)
    gate = threading.Event()

    def wait(task: Task) -> Any:
        gate.wait(30)
        return followed(task)

    keys = ["held", *(f"t{number}" for number in range(5))]
    for key in keys:
        queue.new(key=key)
    queue.start(wait, workers=6)
    events.wait("task.started", 6)
    with held_by_a_transaction(client, queue, "held"):
        gate.set()
        until(lambda: left(queue) == {"held": TaskState.RUNNING}, why="the others end")
        queue.new(key="later")
        until(lambda: left(queue) == {"held": TaskState.RUNNING}, why="so does what comes later")
    until(lambda: not left(queue), why="it is written in the end")
    assert events.of("task.lease_lost") == []
    assert len(events.of("task.started")) == 7
    assert {task.attempts for task in queue.tasks(state="completed")} <= {1}


@pytest.fixture
def refuse(client: Any, queue: Queue) -> Callable[[bool], None]:
    """Let the server refuse to complete a task whose tag `bad` is set, or not any more."""

    def switch(on: bool) -> None:
        rule = {"$nor": [{"state": "completed", "tags.bad": True}]} if on else {}
        client.get_default_database("mongoq").command("collMod", f"{queue.namespace}.tasks", validator=rule)

    queue.init()
    return switch


def test_an_ending_that_is_refused_is_written_when_the_server_takes_it(
    queue: Queue, events: Any, until: Until, refuse: Callable[[bool], None]
) -> None:
    refuse(True)
    queue.new_many([{"bad": number % 3 == 0} for number in range(9)])
    queue.start(lambda task: "done")
    until(lambda: len(left(queue)) == 3, why="the others end")
    events.wait("tasks.finished")
    refuse(False)
    until(lambda: not left(queue), why="what was refused is written")
    assert len(events.of("task.started")) == 9, "nothing ran twice"
    assert {task.result for task in queue.tasks()} == {"done"}


def test_a_result_that_does_not_fit_beside_its_task_is_kept_as_text(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(max_task_bytes=8 * MIB, max_retries=3)
    large = b"x" * (8 * MIB - 30)
    queue.new(key="large", payload=large[:-300])
    queue.new(key="small")
    queue.run(lambda task: large if task.key == "large" else "fine", burst=True)

    done = queue.get("large")
    assert (done.state, done.attempts, len(done.result)) == (TaskState.COMPLETED, 1, 2_000)
    assert "cannot be stored" in (done.note or "")
    assert queue.get("small").result == "fine"
