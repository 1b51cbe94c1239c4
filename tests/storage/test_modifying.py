from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.errors import InvalidTask, LeaseLost
from mongoq.core.judging.verdict import Raised, Returned
from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.commands import Bulk
from mongoq.storage.drivers.streaming.change_stream import ChangeStream
from mongoq.storage.operations import finish, leases, sweep
from mongoq.storage.operations.modify import apply
from mongoq.storage.operations.modify.plan import prepared
from mongoq.storage.operations.watch import News, new_work


def everything(store: Any) -> list[dict[str, Any]]:
    return list(store.collection.find(sort=[("_id", 1)]))


# Each verb


def test_all_parts_take_effect_together(store: Any) -> None:
    moved, gone, kept = (store.new(tags={"n": n}) for n in range(3))
    done = store.modify(
        insert=[NewTask({"n": 3}, key="made")],
        change=[moved.as_change(queue="later", priority=5, payload=b"x")],
        delete=[gone],
        depend=[kept.ref],
    )

    assert [task.key for task in done.inserted] == ["made"]
    assert done.changed == (store.get(moved.key),)
    changed = store.get(moved.key)
    assert (changed.queue, changed.priority, changed.payload, changed.tags) == ("later", 5, b"x", {"n": 0})
    assert (changed.version, changed.moved_from) == (moved.version + 1, "default")
    assert {document["_id"] for document in everything(store)} == {"made", moved.key, kept.key}


def test_what_is_not_given_stays_and_none_takes_away(store: Any) -> None:
    task = store.new(tags={"n": 1}, payload="x", priority=3, expires_at=store.clock.now() + timedelta(hours=1))
    [changed] = store.modify(change=[task.as_change(payload=None, expires_at=None)]).changed

    assert (changed.tags, changed.priority, changed.run_at) == (task.tags, 3, task.run_at)
    assert (changed.payload, changed.expires_at) == (None, None)
    assert store.document(task.key).keys().isdisjoint({"payload", "expires_at"})


def test_a_delay_puts_off_and_a_delay_of_nothing_makes_ready(store: Any) -> None:
    task = store.new()
    [later] = store.modify(change=[task.as_change(delay=60)]).changed
    assert (later.state, later.run_at) == (TaskState.SCHEDULED, store.clock.now() + timedelta(seconds=60))
    assert not store.claim()

    [due] = store.modify(change=[later.as_change(delay=0)]).changed
    assert (due.state, due.run_at) == (TaskState.READY, store.clock.now())
    assert [claimed.key for claimed in store.claim()] == [task.key]


def test_a_scheduled_task_keeps_its_time_when_it_moves(store: Any) -> None:
    task = store.new(delay=60)
    [moved] = store.modify(change=[task.as_change(queue="other")]).changed
    assert (moved.state, moved.run_at, moved.queue) == (TaskState.SCHEDULED, task.run_at, "other")


def test_a_finished_task_may_be_deleted_and_depended_on(store: Any) -> None:
    keys = [store.new().key for _ in range(2)]
    for task in store.claim(2):
        store.end(task, Returned())
    first, second = (store.get(key) for key in keys)

    store.modify(delete=[first], depend=[second])
    assert [document["_id"] for document in everything(store)] == [second.key]


def test_an_empty_change_changes_nothing(store: Any) -> None:
    done = store.modify()
    assert (done.inserted, done.changed) == ((), ())


# What one holds


def test_a_holder_goes_on_holding_what_it_changes(store: Any) -> None:
    store.new()
    [task] = store.claim()
    [changed] = store.modify(change=[task.as_change(priority=9, tags={"step": 2})]).changed

    assert (changed.state, changed.token, changed.version) == (TaskState.RUNNING, task.token, task.version + 1)
    store.end(changed, Returned())
    assert store.get(task.key).state is TaskState.COMPLETED


@pytest.mark.parametrize("arrival", [{"queue": "next"}, {"delay": 60}, {"delay": 0}])
def test_a_holder_gives_up_what_it_sends_elsewhere_uncharged(store: Any, arrival: dict[str, Any]) -> None:
    store.new()
    [task] = store.claim()
    [changed] = store.modify(change=[task.as_change(**arrival)]).changed

    assert (changed.token, changed.attempts, changed.charged) == (None, 1, 0)
    assert changed.state is (TaskState.SCHEDULED if arrival.get("delay") else TaskState.READY)
    assert store.document(task.key)["hold"].keys() == {"worker", "started_at"}
    with pytest.raises(LeaseLost):
        store.end(task, Returned())


def test_a_renewal_does_not_spoil_the_version(store: Any) -> None:
    store.new()
    [task] = store.claim()
    store.run(leases.renew(store.context, [(task.key, task.token)], timedelta(seconds=60)))

    store.modify(delete=[task])
    assert not everything(store)


def test_a_lapsed_hold_is_taken_from_whoever_had_it(store: Any) -> None:
    key = store.new().key
    [stale] = store.claim()
    store.clock.advance(31)
    [changed] = store.modify(change=[store.get(key).as_change(priority=1)]).changed

    assert (changed.state, changed.token) == (TaskState.READY, None)
    with pytest.raises(LeaseLost):
        store.end(stale, Raised(ValueError()))


def test_a_task_too_large_is_refused_before_anything_is_sent(make_store: Any) -> None:
    store = make_store(max_task_bytes=2048)
    task = store.new()
    for parts in ({"insert": [NewTask(payload=b"x" * 3000)]}, {"change": [task.as_change(payload=b"x" * 3000)]}):
        with pytest.raises(InvalidTask, match="at most 2,048 bytes"):
            store.modify(**parts)
    assert store.get(task.key) == task


# Concurrency, and replies that were lost


def test_a_thousand_tasks_take_a_handful_of_commands(store: Any) -> None:
    tasks = [store.new() for _ in range(250)]
    whole = Modification(
        [NewTask() for _ in range(250)], [task.as_change(priority=n % 7) for n, task in enumerate(tasks)]
    )
    commands = []

    def counting() -> Any:
        body = apply.carry_out(store.context, prepared(store.context, whole))
        reply = None
        while True:
            try:
                command = body.send(reply)
            except StopIteration as done:
                return done.value
            commands.append(type(command).__name__)
            reply = yield command

    done = store.run(counting())
    assert commands == ["Find", "Bulk", "InsertMany"]
    assert (len(done.inserted), len(done.changed)) == (250, 250)
    assert store.collection.count_documents({"version": 2}) == 250


def test_tasks_changed_alike_share_one_statement(store: Any) -> None:
    tasks = [store.new(tags={"n": n}) for n in range(20)]
    others = [store.new(priority=5) for _ in range(3)]
    whole = Modification(
        change=[
            *(task.as_change(queue="other") for task in tasks),
            *(task.as_change(delay=n + 1) for n, task in enumerate(others)),
        ]
    )
    sent: list[Any] = []

    def watching() -> Any:
        body = apply.carry_out(store.context, prepared(store.context, whole))
        command = next(body)
        while True:
            if isinstance(command, Bulk):
                sent.extend(command.writes)
            try:
                command = body.send((yield command))
            except StopIteration as done:
                return done.value

    done = store.run(watching())
    assert len(sent) == 1 + len(others)
    assert [task.queue for task in done.changed] == ["other"] * 20 + ["default"] * 3
    assert [store.get(task.key) for task in [*tasks, *others]] == list(done.changed)


def test_a_task_changed_while_it_was_about_to_be_rescued_is_not_rescued(store: Any) -> None:
    key = store.new().key
    store.claim()
    store.clock.advance(31)
    store.modify(change=[store.get(key).as_change(queue="other")])
    assert store.run(sweep.rescue(store.context)).moved == 0


def test_an_ending_after_the_holder_s_own_deletion_is_a_lost_lease(store: Any) -> None:
    store.new()
    [task] = store.claim()
    store.modify(delete=[task])
    with pytest.raises(LeaseLost):
        store.run(finish.settle(store.context, [task], Raised(ValueError()), "w"))


def test_a_ready_task_that_is_moved_into_a_queue_is_news_there(store: Any) -> None:
    task = store.new(queue="elsewhere")
    stream = ChangeStream(store.run, store.context, new_work(["default"], {}))
    stream.begin()
    try:
        store.modify(change=[task.as_change(queue="default")])
        assert stream.wait() == News(TaskState.READY, task.key, "default")
    finally:
        stream.end()
