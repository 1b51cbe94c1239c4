from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.errors import MongoqError
from mongoq.core.judging.verdict import Raised
from mongoq.core.lifecycle import TaskState
from mongoq.core.signals import Fail, Move, Retry
from mongoq.storage.commands import Command, Find, Op, UpdateMany
from mongoq.storage.control import Pause
from mongoq.storage.operations import bulk, queries, requeue, sweep

ERROR = Raised(ValueError("no"))
ENDINGS = [ERROR, Raised(Fail("no"))]


def fail(store: Any, **options: Any) -> str:
    """Make a task and have it end as failed, or go to its error queue."""
    key: str = store.new(max_retries=0, **options).key
    [task] = store.claim(queues=(options.get("queue", "default"),))
    store.end(task, ERROR)
    return key


@pytest.mark.parametrize("ending", ENDINGS, ids=str)
def test_a_failed_task_goes_to_its_error_queue_with_its_errors(make_store: Callable[..., Any], ending: Any) -> None:
    store = make_store(error_queue=True, max_retries=0)
    key = store.new(queue="mail").key
    store.end(store.claim(queues=("mail",))[0], ending)

    task = store.get(key)
    assert (task.state, task.queue, task.moved_from, task.charged) == (TaskState.READY, "mail/err", "mail", 0)
    assert task.last_error is not None
    assert "no" in task.last_error.message
    assert task.finished_at is None


def test_an_error_queue_may_be_a_function_of_the_queue(make_store: Callable[..., Any]) -> None:
    store = make_store(error_queue=lambda name: f"errors.{name}")
    assert store.get(fail(store)).queue == "errors.default"


def test_what_fails_in_an_error_queue_has_failed(make_store: Callable[..., Any]) -> None:
    store = make_store(error_queue=True)
    key = fail(store, queue="mail")
    [task] = store.claim(queues=("mail/err",))
    store.end(task, Raised(Fail("here too")))
    assert (store.get(key).state, store.get(key).queue) == (TaskState.FAILED, "mail/err")


@pytest.mark.parametrize("broken", [lambda _: "not a queue name!", lambda _: 1 / 0], ids=["name", "error"])
def test_a_broken_error_queue_leaves_a_failed_task_where_it_is(make_store: Callable[..., Any], broken: Any) -> None:
    store = make_store(error_queue=broken)
    task = store.get(fail(store))
    assert (task.state, task.queue) == (TaskState.FAILED, "default")


def test_a_queue_whose_name_leaves_no_room_for_its_error_queue_says_so_in_one_line(
    make_store: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(error_queue=True)
    assert store.get(fail(store, queue="q" * 124)).queue == f"{'q' * 124}/err"
    assert not caplog.records
    assert store.get(fail(store, queue="q" * 125)).state is TaskState.FAILED
    [line] = caplog.records
    assert line.exc_info is None
    assert "is not a name that matches" in line.getMessage()


def test_a_poisonous_task_goes_to_its_error_queue_too(make_store: Callable[..., Any]) -> None:
    store = make_store(error_queue=True, max_retries=0)
    key = store.new().key
    for _ in range(3):
        assert store.claim()
        store.clock.advance(32)
        store.run(sweep.rescue(store.context))
    task = store.get(key)
    assert (task.queue, task.moved_from, task.state) == ("default/err", "default", TaskState.READY)
    assert task.last_error is not None
    assert task.last_error.type == "WorkerLost"


def test_failed_tasks_run_again_with_a_fresh_count(store: Any) -> None:
    key = fail(store)
    version = store.get(key).version
    assert store.run(requeue.rerun_all(store.context, [key], None, TaskState.FAILED)) == 1

    task = store.get(key)
    assert (task.state, task.charged, task.attempts, task.version) == (TaskState.READY, 0, 1, version + 1)
    assert (len(task.errors), task.finished_at) == (1, None)
    assert "purge_at" not in store.document(key)
    assert [claimed.key for claimed in store.claim()] == [key]


@pytest.mark.parametrize(
    "again",
    [
        requeue.rerun,
        lambda context, key: requeue.rerun_all(context, [key], None, TaskState.CANCELLED),
        lambda context, key: requeue.rerun_all(context, None, "default", TaskState.CANCELLED),
    ],
    ids=["one", "by key", "of a queue"],
)
def test_a_task_that_is_set_going_again_leaves_its_cancel_request_behind(store: Any, again: Any) -> None:
    key = store.new().key
    [task] = store.claim()
    assert store.run(bulk.cancel(store.context, key)).cancel_requested
    store.end(task, Raised(Retry()))
    assert store.get(key).state is TaskState.CANCELLED
    store.run(again(store.context, key))

    assert not store.get(key).cancel_requested
    [task] = store.claim()
    assert not task.cancel_requested
    store.end(task, Raised(Retry()))
    assert store.get(key).state is TaskState.SCHEDULED, "nobody has asked for its end in this life"


def test_what_is_sent_home_leaves_its_cancel_request_behind(make_store: Callable[..., Any]) -> None:
    store = make_store(error_queue=True)
    key = fail(store)
    store.collection.update_one({"_id": key}, {"$set": {"cancel_requested": True}})
    assert store.run(requeue.redrive(store.context, "default/err", None)) == 1
    assert (store.get(key).queue, store.get(key).cancel_requested) == ("default", False)


def test_what_is_set_going_again_is_due_now(store: Any) -> None:
    key, moved = fail(store), fail(store, queue="mail/err")
    store.collection.update_one({"_id": moved}, {"$set": {"moved_from": "mail"}})
    store.clock.advance(86_400)
    store.run(requeue.rerun(store.context, key))
    store.run(requeue.redrive(store.context, "mail/err", None))
    assert [store.get(one).run_at for one in (key, moved)] == [store.clock.now()] * 2
    waiting = store.run(queries.stats(store.context, {}, attempts=False))
    assert waiting["default"].oldest_ready == timedelta(0), "an alert on the age of the backlog stays silent"


def test_failed_tasks_with_a_tag_run_again(store: Any) -> None:
    keys = [fail(store, tags={"tenant": tenant}) for tenant in ("acme", "other")]
    assert store.run(requeue.rerun_all(store.context, None, None, TaskState.FAILED, {"tenant": "acme"})) == 1
    assert store.run(requeue.rerun_all(store.context, keys, None, TaskState.FAILED, {"tenant": "acme"})) == 0
    assert [store.get(key).state for key in keys] == [TaskState.READY, TaskState.FAILED]


def test_only_failed_tasks_of_the_queue_run_again(store: Any) -> None:
    fail(store, key="mine", queue="mail")
    fail(store, key="other")
    store.new(key="waiting", queue="mail")
    assert store.run(requeue.rerun_all(store.context, None, "mail", TaskState.FAILED)) == 1
    assert store.run(requeue.rerun_all(store.context, ["waiting"], None, TaskState.FAILED)) == 0
    assert [store.get(key).state.value for key in ("mine", "other", "waiting")] == ["ready", "failed", "ready"]
    assert store.run(requeue.rerun_all(store.context, None, None, TaskState.FAILED)) == 1


def test_more_than_a_batch_of_failed_tasks_run_again(store: Any) -> None:
    now = store.clock.now()
    store.collection.insert_many(
        {"_id": f"k{n}", "queue": "default", "state": "failed", "priority": 0, "run_at": now, "version": 1}
        for n in range(1_500)
    )
    assert store.run(requeue.rerun_all(store.context, None, None, TaskState.FAILED)) == 1_500


def test_a_failed_task_whose_unique_value_is_taken_stays_and_stops_nobody(store: Any) -> None:
    fail(store, key="first", unique="u")
    fail(store, key="second")
    store.new(key="third", unique="u")
    assert store.run(requeue.rerun_all(store.context, None, None, TaskState.FAILED)) == 1
    assert store.get("first").state is TaskState.FAILED


@pytest.mark.parametrize("keys", [None, [f"k{n}" for n in range(6)]], ids=["all", "by key"])
def test_those_around_one_that_is_passed_over_are_counted(store: Any, keys: list[str] | None) -> None:
    for n in range(5):
        fail(store, key=f"k{n}", unique=f"u{n}")
    fail(store, key="k5")
    store.new(key="other", unique="u3")
    assert store.run(requeue.rerun_all(store.context, keys, None, TaskState.FAILED)) == 5
    assert store.get("k3").state is TaskState.FAILED


def watched(op: Op[Any], look: Callable[[Command, Any], None]) -> Op[Any]:
    """The same operation; `look` sees each reply that it gets."""
    reply: Any = None
    error: Exception | None = None
    while True:
        try:
            command = op.send(reply) if error is None else op.throw(error)
        except StopIteration as done:
            return done.value
        reply = error = None
        try:
            reply = yield command
        except MongoqError as caught:
            error = caught
        else:
            look(command, reply)


def test_they_are_read_in_portions_however_many_are_passed_over(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requeue, "MOST_READ", 4)
    now = store.clock.now()
    shape = {"queue": "default", "state": "failed", "priority": 0, "run_at": now, "version": 1}
    store.collection.insert_many({**shape, "_id": n, "unique": "taken" if n < 6 else f"u{n}"} for n in range(20))
    store.new(key="other", unique="taken")
    sizes: list[int] = []

    def look(command: Command, reply: Any) -> None:
        if isinstance(command, Find):
            sizes.append(len(reply))

    assert store.run(watched(requeue.rerun_all(store.context, None, None, TaskState.FAILED), look)) == 14
    assert max(sizes) <= 4 + 6
    assert store.collection.count_documents({"state": "failed"}) == 6


def test_what_fails_again_meanwhile_is_not_run_a_second_time(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requeue, "MOST_READ", 2)
    for _ in range(5):
        fail(store)
    again = {"state": "failed", "modified_at": store.clock.now() + timedelta(seconds=1)}
    written: list[str] = []

    def work(command: Command, _: Any) -> None:
        if isinstance(command, UpdateMany):
            written.append("update")
            assert len(written) < 5, "it would go on for ever"
            store.collection.update_many({"state": "ready"}, {"$set": again})

    assert store.run(watched(requeue.rerun_all(store.context, None, None, TaskState.FAILED), work)) == 5


@pytest.mark.parametrize("rate, pauses", [(None, []), (3, [1, 1]), (3.9, [3 / 3.9] * 2), (0.5, [2] * 6)])
def test_dead_letters_go_home_at_a_rate(store: Any, rate: float | None, pauses: list[float]) -> None:
    for number in range(7):
        store.new(queue="mail", key=str(number))
    for task in store.claim(7, queues=("mail",)):
        store.end(task, Raised(Move("err")))
    paused: list[float] = []

    def without_pauses(op: Op[Any]) -> Op[Any]:
        reply: Any = None
        while True:
            try:
                command = op.send(reply)
            except StopIteration as done:
                return done.value
            if isinstance(command, Pause):
                paused.append(command.seconds)
                reply = None
            else:
                reply = yield command

    heard: list[int] = []
    redrive = requeue.redrive(store.context, "err", None, rate, lambda progress: heard.append(progress.done))
    assert store.run(without_pauses(redrive)) == 7
    assert paused == pauses
    size = 7 if rate is None else max(1, int(rate))
    assert heard == [*range(size, 7, size), 7]


def test_tasks_of_an_error_queue_go_home(store: Any) -> None:
    homes = {queue: store.new(queue=queue, priority=number).key for number, queue in enumerate(("mail", "bulk"))}
    for task in store.claim(2, queues=("mail", "bulk")):
        store.end(task, Raised(Move("err")))
    [urgent] = store.claim(queues=("err",))
    store.end(urgent, Raised(Fail("here too")))
    stranger = store.new(queue="err").key

    assert store.run(requeue.redrive(store.context, "err", None)) == 2
    for queue, key in homes.items():
        task = store.get(key)
        assert (task.queue, task.moved_from, task.state, task.charged) == (queue, None, TaskState.READY, 0)
    assert store.get(stranger).queue == "err"
