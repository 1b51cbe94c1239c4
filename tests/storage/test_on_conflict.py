"""`on_conflict` as "replace", "extend" or "again": the task with the `unique` value changes instead."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.errors import DuplicateTask, InvalidTask, MongoqError
from mongoq.core.judging.verdict import Outcome, Raised, Released, Returned
from mongoq.core.lifecycle import TaskState
from mongoq.core.signals import Fail, Move, Retry
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.new_tasks import each
from mongoq.core.tasks.task import Task
from mongoq.storage.documents import drafting
from mongoq.storage.operations import bulk, enqueue, finish, requeue, sweep
from mongoq.storage.operations.decide import by_hand, decide

MERGING = ["replace", "extend", "again"]


def new(store: Any, mode: str, **options: Any) -> Task:
    task: Task = store.new(unique="u", on_conflict=mode, **options)
    return task


def run(store: Any) -> Task:
    [task] = store.claim()
    found: Task = task
    return found


def only(store: Any) -> Task:
    [task] = store.list()
    found: Task = task
    return found


@pytest.mark.parametrize("mode", MERGING)
def test_without_another_task_a_new_one_is_enqueued(store: Any, mode: str) -> None:
    task = new(store, mode, tags={"n": 1}, delay=5)
    assert (only(store).key, task.state, dict(task.tags)) == (task.key, TaskState.SCHEDULED, {"n": 1})


def test_replace_gives_a_waiting_task_the_new_content_and_time(store: Any) -> None:
    until = store.clock.now() + timedelta(hours=1)
    first = new(store, "error", tags={"n": 1}, payload=b"1", priority=1, delay=5, expires_at=until, max_retries=3)
    store.clock.advance(3)
    second = new(store, "replace", tags={"n": 2}, priority=2, queue="other", delay=5)
    stored = only(store)
    assert (second.key, stored.key, stored.version) == (first.key, first.key, first.version + 1)
    assert (dict(stored.tags), stored.payload, stored.priority, stored.queue) == ({"n": 2}, None, 2, "other")
    assert (stored.expires_at, dict(stored.policy), stored.created_at) == (None, {}, first.created_at)
    assert stored.run_at == first.run_at + timedelta(seconds=3)
    assert second == stored, "what is returned is what is stored"


def test_replace_gives_a_task_that_waits_for_its_retry_a_fresh_count(store: Any) -> None:
    new(store, "error", max_retries=1)
    store.end(run(store), Raised(ValueError("no")))
    new(store, "replace")
    task = run(store)
    assert (task.attempts, task.charged) == (2, 1)


def test_extend_moves_the_time_and_keeps_the_content(store: Any) -> None:
    first = new(store, "error", tags={"n": 1}, priority=1, delay=5)
    store.clock.advance(3)
    second = new(store, "extend", tags={"n": 2}, priority=2, delay=5)
    assert (second.run_at, dict(second.tags), second.priority) == (first.run_at + timedelta(seconds=3), {"n": 1}, 1)
    assert only(store) == second
    assert new(store, "extend").state is TaskState.READY, "a time that has come makes it ready"
    assert run(store).key == first.key


def test_again_leaves_a_waiting_task_as_it_is(store: Any) -> None:
    first = new(store, "error", tags={"n": 1}, delay=5)
    again = new(store, "again", tags={"n": 2})
    assert (again.key, again.version, again.run_at, dict(again.tags)) == (first.key, 1, first.run_at, {"n": 1})


@pytest.mark.parametrize("mode", MERGING)
def test_a_running_task_runs_once_more_after_its_end(store: Any, mode: str) -> None:
    new(store, "error", tags={"n": 1})
    task = run(store)
    asked = new(store, mode, tags={"n": 2})
    assert (asked.key, asked.state, asked.token, asked.version) == (task.key, TaskState.RUNNING, None, task.version)
    store.end(task, Returned("first"))
    waiting = only(store)
    assert (waiting.state, waiting.result, waiting.charged) == (TaskState.READY, None, 0)
    assert dict(waiting.tags) == {"n": 2 if mode == "replace" else 1}
    second = run(store)
    assert (second.key, second.charged) == (task.key, 1)
    store.end(second, Returned("second"))
    done = only(store)
    assert (done.state, done.result) == (TaskState.COMPLETED, "second"), "once more, and no more than that"


@pytest.mark.parametrize("mode", MERGING)
def test_a_running_task_runs_once_more_at_the_time_that_was_asked_for(store: Any, mode: str) -> None:
    new(store, "error")
    task = run(store)
    new(store, mode, delay=10)
    store.end(task, Returned())
    waiting = only(store)
    assert (waiting.state, waiting.run_at) == (TaskState.SCHEDULED, store.clock.now() + timedelta(seconds=10))
    store.clock.advance(10)
    store.run(sweep.promote(store.context))
    assert run(store).key == task.key


def test_many_requests_make_one_further_run_with_the_last_content(store: Any) -> None:
    new(store, "error", tags={"n": 0})
    task = run(store)
    for n in range(1, 4):
        new(store, "replace", tags={"n": n})
    new(store, "again", tags={"n": 9})
    new(store, "extend", tags={"n": 9})
    store.end(task, Returned())
    second = run(store)
    assert dict(second.tags) == {"n": 3}
    store.end(second, Returned())
    assert only(store).state is TaskState.COMPLETED


ENDINGS: list[Outcome] = [Returned(), Returned(1), Raised(Fail("no")), Raised(ValueError("last try"))]


@pytest.mark.parametrize("outcome", ENDINGS, ids=str)
@pytest.mark.parametrize("options", [{}, {"keep_completed": 0}, {"error_queue": True}], ids=str)
def test_it_runs_once_more_however_it_ends(make_store: Callable[..., Any], outcome: Outcome, options: Any) -> None:
    store = make_store(**options)
    new(store, "error", max_retries=0)
    task = run(store)
    new(store, "again")
    store.end(task, outcome)
    waiting = only(store)
    assert (waiting.state, waiting.queue, waiting.charged, waiting.failure) == (TaskState.READY, "default", 0, None)
    assert "purge_at" not in store.document(task.key)
    assert bool(waiting.errors) is isinstance(outcome, Raised), "its errors stay"


@pytest.mark.parametrize("outcome", [Raised(Retry(delay=5)), Released()], ids=str)
def test_a_task_that_is_tried_again_runs_once_more_after_that(store: Any, outcome: Outcome) -> None:
    new(store, "error", tags={"n": 1})
    task = run(store)
    new(store, "replace", tags={"n": 2})
    store.end(task, outcome)
    store.clock.advance(5)
    store.run(sweep.promote(store.context))
    store.end(run(store), Returned())
    assert dict(run(store).tags) == {"n": 2}


def test_a_task_that_is_cancelled_runs_no_more(store: Any) -> None:
    new(store, "error")
    task = run(store)
    new(store, "again")
    store.run(bulk.cancel(store.context, task.key))
    store.end(task, Released())
    assert only(store).state is TaskState.CANCELLED
    store.run(requeue.rerun(store.context, task.key))
    store.end(run(store), Returned())
    assert only(store).state is TaskState.COMPLETED, "the request went with the task's former life"


def test_a_task_that_is_moved_by_its_handler_runs_once_more_after_its_end_there(store: Any) -> None:
    new(store, "error")
    task = run(store)
    new(store, "again")
    store.end(task, Raised(Move("other")))
    [moved] = store.claim(queues=("other",))
    store.end(moved, Returned())
    assert (only(store).state, only(store).queue) == (TaskState.READY, "other")


def test_a_task_whose_workers_were_lost_runs_once_more(store: Any) -> None:
    key = new(store, "error", max_retries=0, tags={"n": 1}).key
    for loss in range(3):
        assert run(store).key == key
        new(store, "replace", tags={"n": 2})
        store.clock.advance(32)
        store.run(sweep.rescue(store.context))
        assert only(store).state is TaskState.READY, loss
    task = only(store)
    assert (dict(task.tags), task.charged) == ({"n": 2}, 0)


def test_the_same_ending_sent_twice_is_recognised(store: Any) -> None:
    new(store, "error")
    task = run(store)
    new(store, "again")
    ending = by_hand(store.context, task, decide(store.context, task, Returned(), "w"))
    assert store.run(finish.finish(store.context, [ending])).lost == []
    assert store.run(finish.finish(store.context, [ending])).lost == [], "its reply was lost, and it is sent again"
    assert only(store).state is TaskState.READY


def test_endings_of_tasks_with_and_without_a_request_are_written_together(store: Any) -> None:
    keys = [store.new(unique=f"u{n}", keep_completed=0 if n == 3 else 60).key for n in range(4)]
    plain = store.new(key="plain").key
    tasks = store.claim(5)
    for n in (1, 3):
        store.new(unique=f"u{n}", on_conflict="again")
    endings = [by_hand(store.context, task, decide(store.context, task, Returned(), "w")) for task in tasks]
    assert store.run(finish.finish(store.context, endings)).lost == []
    assert {task.key: task.state for task in store.list()} == {
        keys[0]: TaskState.COMPLETED, keys[1]: TaskState.READY, keys[2]: TaskState.COMPLETED, keys[3]: TaskState.READY,
        plain: TaskState.COMPLETED,
    }  # fmt: skip


def test_many_tasks_are_merged_in_their_places(store: Any) -> None:
    tasks = [NewTask({"n": n}, unique=f"u{n % 3}", on_conflict="replace") for n in range(9)]
    [drafts] = drafting.chunks(store.context, each(tasks, {}))
    others = store.run(enqueue.chunk(store.context, drafts))
    made = drafting.all_made(store.context, drafts, others)
    assert [dict(task.tags)["n"] for task in made] == list(range(9))
    assert {task.unique: dict(task.tags)["n"] for task in store.list()} == {"u0": 6, "u1": 7, "u2": 8}


@pytest.mark.parametrize("mode", MERGING)
def test_a_key_that_another_task_has_is_an_error(store: Any, mode: str) -> None:
    store.new(key="k")
    with pytest.raises(DuplicateTask, match="key: a task has 'k' already"):
        new(store, mode, key="k")
    first = new(store, mode, key="mine", tags={"n": 1})
    assert new(store, mode, key="mine", tags={"n": 2}).key == first.key, "its own key is no other's"


@pytest.mark.parametrize("mode", MERGING)
def test_a_unique_value_is_needed(mode: str) -> None:
    with pytest.raises(InvalidTask, match="unique: None is not a `unique` value"):
        NewTask(on_conflict=mode)


def test_an_atomic_change_takes_error_or_skip_only() -> None:
    with pytest.raises(InvalidTask, match=r"insert\[1\].on_conflict: 'extend' is not error or skip"):
        Modification(insert=[NewTask(), NewTask(unique="u", on_conflict="extend")])


@pytest.mark.parametrize("mode", ["replace", "extend"])
def test_a_change_between_the_read_and_the_write_is_not_overwritten(store: Any, mode: str) -> None:
    new(store, "error", tags={"n": 1}, delay=5)
    op = enqueue.new(store.context, NewTask({"n": 3}, unique="u", on_conflict=mode, delay=9))
    task = run_with(store, op, "FindAndUpdate", lambda: new(store, "replace", tags={"n": 2}, delay=7))
    assert (dict(task.tags), task.version) == ({"n": 3 if mode == "replace" else 2}, 3)
    assert task.run_at == store.clock.now() + timedelta(seconds=9)


@pytest.mark.parametrize("mode", MERGING)
def test_a_request_to_a_task_that_ends_meanwhile_is_not_lost(store: Any, mode: str) -> None:
    new(store, "error", tags={"n": 1})
    task = run(store)
    op = enqueue.new(store.context, NewTask({"n": 2}, unique="u", on_conflict=mode))
    made = run_with(store, op, "FindAndUpdate", lambda: store.end(task, Returned()))
    assert (made.state, made.key != task.key, dict(made.tags)) == (TaskState.READY, True, {"n": 2})


def run_with(store: Any, op: Any, command: str, meanwhile: Callable[[], Any]) -> Task:
    """Run an operation; something else happens before its first command of this kind."""
    reply: Any = None
    error: MongoqError | None = None
    waiting = [meanwhile]
    while True:
        try:
            asked = op.send(reply) if error is None else op.throw(error)
        except StopIteration as done:
            task: Task = done.value
            return task
        if type(asked).__name__ == command and waiting:
            waiting.pop()()
        reply = error = None
        try:
            reply = store.run(_one(asked))
        except MongoqError as caught:
            error = caught


def _one(command: Any) -> Any:
    return (yield command)
