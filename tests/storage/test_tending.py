"""Changing tasks from outside, by key or many at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mongoq import ConfigurationError, LeaseLost, Queue, Task, TaskNotFound, TaskState, WrongState
from mongoq.storage.documents import filters
from mongoq.storage.operations import bulk

ACME = {"tenant": "acme"}


@pytest.fixture
def one_of_each(queue: Queue) -> dict[str, Task]:
    """Give a task of the same tags in every state that matters, by its state."""
    queue.new(ACME, key="completed", priority=9)
    queue.complete(queue.claim_many(1))
    queue.new(ACME, key="failed", priority=9)
    queue.fail(queue.claim_many(1), "no")
    queue.new(ACME, key="running", priority=9)
    held = queue.claim_many(1)
    queue.new(ACME, key="ready")
    queue.new(ACME, key="scheduled", delay=60)
    return {task.state: task for task in [*queue.tasks(where=ACME), *held]}


def states(queue: Queue) -> dict[str, TaskState]:
    return {task.key: task.state for task in queue.tasks()}


def test_cancelling_by_tags_ends_what_waits_and_asks_what_runs(queue: Queue, one_of_each: dict[str, Task]) -> None:
    queue.new({"tenant": "other"}, key="other")
    assert queue.cancel_all(where=ACME) == 3
    assert states(queue) == {
        "completed": TaskState.COMPLETED,
        "failed": TaskState.FAILED,
        "running": TaskState.RUNNING,
        "ready": TaskState.CANCELLED,
        "scheduled": TaskState.CANCELLED,
        "other": TaskState.READY,
    }
    assert queue.get("running").cancel_requested
    assert queue.cancel_all(where=ACME) == 0
    queue.complete(one_of_each["running"])  # a request is no more than that


def test_cancelling_by_state_touches_no_other_state(queue: Queue, one_of_each: dict[str, Task]) -> None:
    assert queue.cancel_all(state="failed") == 0
    assert queue.cancel_all(state=TaskState.SCHEDULED) == 1
    assert queue.cancel_all(queue="default", state="running") == 1
    assert states(queue)["ready"] is TaskState.READY
    assert len(one_of_each) == 5


def test_what_is_cancelled_is_kept_as_long_as_each_says(store: Any) -> None:
    store.new(key="short", keep_failed=60)
    store.new(key="long")
    assert store.run(bulk.cancel_all(store.context, filters.matching(queue="default"), None)) == 2
    now = store.clock.now()
    assert store.document("short")["purge_at"] == now + timedelta(seconds=60)
    assert store.document("long")["purge_at"] == now + timedelta(days=30)


def test_deleting_leaves_what_runs_alone(queue: Queue, one_of_each: dict[str, Task]) -> None:
    assert queue.delete_all(where=ACME) == 4
    assert states(queue) == {"running": TaskState.RUNNING}
    with pytest.raises(WrongState, match="running"):
        queue.delete("running")
    queue.release(one_of_each["running"])
    assert queue.delete("running") == 1
    with pytest.raises(TaskNotFound):
        queue.delete("running")


def test_a_purge_takes_finished_tasks_of_an_age_alone(queue: Queue, one_of_each: dict[str, Task]) -> None:
    assert queue.purge(older_than=3600) == 0
    assert queue.purge(queue="elsewhere") == 0
    assert queue.purge(state="ready") == 0
    assert queue.purge(state="failed") == 1
    assert queue.purge() == 1
    assert set(states(queue)) == {"running", "ready", "scheduled"}
    assert len(one_of_each) == 5


def test_moving_by_tags_takes_what_waits_and_forgives_its_attempts(queue: Queue, one_of_each: dict[str, Task]) -> None:
    queue.release(one_of_each["running"])
    assert queue.move_all("bulk", where=ACME) == 3
    moved = queue.tasks(queue="bulk")
    assert {task.key: task.state for task in moved} == {
        "ready": TaskState.READY,
        "running": TaskState.READY,
        "scheduled": TaskState.SCHEDULED,
    }
    assert {task.moved_from for task in moved} == {"default"}
    assert [task.attempts for task in moved if task.key == "running"] == [1]
    assert {task.charged for task in moved} == {0}
    assert queue.move_all("bulk", where=ACME) == 0


def test_one_task_is_moved_by_its_key_while_it_waits(queue: Queue, one_of_each: dict[str, Task]) -> None:
    assert queue.move("ready", "bulk") == 1
    assert queue.get("ready").queue == "bulk"
    for key in ("running", "completed"):
        with pytest.raises(WrongState, match=key):
            queue.move(key, to="bulk")
    with pytest.raises(TaskNotFound):
        queue.move("nobody", to="bulk")
    with pytest.raises(LeaseLost):
        queue.move(one_of_each["ready"], to="bulk")
    with pytest.raises(ConfigurationError, match="to"):
        queue.move("ready", "$x")


@pytest.mark.parametrize("verb", ["cancel_all", "delete_all"])
def test_nothing_to_choose_by_is_refused(queue: Queue, verb: str) -> None:
    queue.new()
    with pytest.raises(
        ConfigurationError, match=r"^choose by queue, state, name, where, error, since or until: nothing is given$"
    ):
        getattr(queue, verb)()
    with pytest.raises(ConfigurationError, match="choose by queue"):
        queue.move_all("bulk", where={})
    assert queue.size() == 1


@pytest.mark.parametrize("verb", ["get", "cancel", "delete", "wait"])
@pytest.mark.parametrize("key", [["a"], 5])
def test_what_is_no_key_is_refused_by_its_type(queue: Queue, verb: str, key: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"is not the key of a task, a string"):
        getattr(queue, verb)(key)


def test_more_than_one_batch_is_changed(queue: Queue) -> None:
    queue.new_many([ACME] * 2_300)
    assert queue.count(where=ACME) == 2_300
    assert queue.move_all("bulk", queue="default") == 2_300
    assert queue.cancel_all(where=ACME) == 2_300
    assert queue.delete_all(queue="bulk") == 2_300
    assert queue.stats() == {}


def test_what_changes_hands_between_the_look_and_the_write_is_left_alone(store: Any, drive_with: Any) -> None:
    store.new(key="a")
    store.new(key="b")
    chosen = filters.matching(queue="default")
    claimed: list[Task] = []

    def before_the_write() -> None:
        claimed.extend(store.claim(1))

    assert drive_with(bulk.delete_all(store.context, chosen, None), before_the_write) == 1
    assert [task.key for task in claimed] == ["a"]
    assert store.get("a").state is TaskState.RUNNING


@pytest.fixture
def drive_with(store: Any) -> Any:
    """Run an operation, and something else between its first look and its first write."""

    def run(op: Any, between: Any) -> Any:
        def interrupted() -> Any:
            command = next(op)
            reply = yield command
            between()
            while True:
                try:
                    command = op.send(reply)
                except StopIteration as done:
                    return done.value
                reply = yield command

        return store.run(interrupted())

    return run


def test_an_update_changes_the_place_of_a_waiting_task(queue: Queue) -> None:
    queue.new(key="first", priority=5)
    queue.new(key="second")
    changed = queue.update("second", priority=9)
    assert (changed.priority, changed.version) == (9, 2)
    task = queue.try_claim()
    assert task is not None
    assert task.key == "second"
    with pytest.raises(WrongState, match="running"):
        queue.update("second", priority=1)
    later = queue.update("first", delay=60, expires_at=queue.time() + timedelta(hours=1))
    assert (later.state, later.priority) == (TaskState.SCHEDULED, 5)
    assert later.expires_at is not None
    assert queue.update("first", run_at=queue.time() - timedelta(seconds=1)).state is TaskState.READY
    with pytest.raises(TaskNotFound):
        queue.update("nobody", priority=1)
    for wrong in ({}, {"priority": "high"}, {"delay": 1, "run_at": queue.time()}):
        with pytest.raises(ConfigurationError):
            queue.update("first", **wrong)
