from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from mongoq.core.errors import Conflict, DependencyError, InvalidTask, LeaseLost, Role, StorageUnavailable
from mongoq.core.lifecycle import TaskState
from mongoq.core.modification import Modification
from mongoq.core.new_task import NewTask
from mongoq.core.verdict import Raised, Returned
from mongoq.storage.commands import Bulk
from mongoq.storage.drivers.change_stream import ChangeStream
from mongoq.storage.operations import finish, leases, sweep
from mongoq.storage.operations.modify import apply
from mongoq.storage.operations.modify.plan import prepared
from mongoq.storage.operations.watch import new_work


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


# Each refusal


@pytest.fixture
def refused(store: Any) -> Callable[..., DependencyError]:
    """Give `refused(**parts)`: the refusal of this change, which has written nothing."""

    def refuse(**parts: Any) -> DependencyError:
        before = everything(store)
        with pytest.raises(DependencyError) as caught:
            store.modify(**parts)
        assert everything(store) == before
        return caught.value

    return refuse


ROLES: dict[Role, Callable[[Any], dict[str, Any]]] = {
    Role.CHANGE: lambda task: {"change": [task.as_change(priority=1)]},
    Role.DELETE: lambda task: {"delete": [task]},
    Role.DEPEND: lambda task: {"depend": [task]},
}


@pytest.mark.parametrize("role", ROLES)
def test_a_missing_task_refuses_the_whole_change(store: Any, refused: Any, role: Role) -> None:
    task = store.new()
    store.modify(delete=[task])
    error = refused(insert=[NewTask()], **ROLES[role](task))

    assert error.missing == (Conflict(task.key, role, "no task has this key"),)
    assert (error.claimed, error.collisions) == ((), ())


@pytest.mark.parametrize("role", ROLES)
def test_a_task_at_another_version_refuses_the_whole_change(store: Any, refused: Any, role: Role) -> None:
    task = store.new()
    store.modify(change=[task.as_change(priority=2)])
    error = refused(insert=[NewTask()], **ROLES[role](task))

    assert error.missing == (Conflict(task.key, role, "it is ready at version 2 now, not at version 1"),)


@pytest.mark.parametrize("role", ROLES)
def test_a_task_held_by_another_refuses_the_whole_change(store: Any, refused: Any, role: Role) -> None:
    store.new()
    [task] = store.claim(worker="another")
    error = refused(insert=[NewTask()], **ROLES[role](store.get(task.key)))

    advice = "if that is you, name the task that your claim brought, or tasks(mine=True)"
    assert error.claimed == (Conflict(task.key, role, f"another holds it; {advice}"),)
    assert error.missing == ()


@pytest.mark.parametrize("look", ["get", "tasks"])
def test_who_only_read_a_running_task_cannot_act_as_its_holder(store: Any, refused: Any, look: str) -> None:
    store.new()
    [task] = store.claim()
    seen = store.get(task.key) if look == "get" else store.list()[0]
    assert seen.token is None
    assert refused(delete=[seen]).has_claims
    with pytest.raises(LeaseLost):
        store.end(seen, Returned())


def test_a_finished_task_is_not_changed(store: Any, refused: Any) -> None:
    key = store.new().key
    store.end(store.claim()[0], Returned())
    error = refused(change=[store.get(key).as_change(priority=1)])

    assert error.missing == (Conflict(key, Role.CHANGE, "it is completed: a finished task is not changed"),)


def test_a_taken_key_refuses_the_whole_change(store: Any, refused: Any) -> None:
    store.new(key="k")
    other = store.new()
    error = refused(insert=[NewTask(key="k"), NewTask(key="l")], delete=[other])
    assert error.collisions == (Conflict("k", Role.INSERT, "a task has this key already"),)


def test_a_taken_unique_value_refuses_the_whole_change(store: Any, refused: Any) -> None:
    store.new(key="k", unique="u")
    error = refused(insert=[NewTask(key="l", unique="u")])
    [conflict] = error.collisions
    assert (conflict.key, conflict.role) == ("l", Role.INSERT)
    assert "'k' has the `unique` value 'u'" in conflict.why


def test_a_unique_value_may_go_from_a_deleted_task_to_a_new_one(store: Any) -> None:
    old = store.new(unique="u")
    [made] = store.modify(insert=[NewTask(unique="u")], delete=[old]).inserted
    assert store.get(made.key).unique == "u"


def test_an_insertion_that_may_be_skipped_drops_out_where_that_is_all(store: Any, refused: Any) -> None:
    store.new(key="k", unique="u")
    inserts = [NewTask(key="k", on_conflict="skip"), NewTask(key="l"), NewTask(key="m", unique="u", on_conflict="skip")]
    assert [task.key for task in store.modify(insert=inserts).inserted] == ["l"]

    error = refused(insert=[NewTask(key="k", on_conflict="skip"), NewTask(key="l")])
    assert [conflict.key for conflict in error.collisions] == ["k", "l"]

    gone = store.new()
    store.modify(delete=[gone])
    assert refused(insert=[NewTask(key="k", on_conflict="skip")], depend=[gone]).has_missing


def test_every_obstacle_is_told(store: Any, refused: Any) -> None:
    held, moved = store.new(priority=1), store.new(key="k")
    store.claim()
    store.modify(change=[moved.as_change(priority=1)])
    error = refused(insert=[NewTask(key="k2"), NewTask(unique="u")], delete=[store.get(held.key)], depend=[moved])
    assert (error.has_missing, error.has_claims, error.has_collisions) == (True, True, False)


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


def _on_call(store: Any) -> tuple[Any, Any]:
    return store.new(key="alice", tags={"on_call": True}), store.new(key="bob", tags={"on_call": True})


def test_two_changes_that_only_read_each_other_skew(store: Any) -> None:
    """Snapshot isolation alone: each reads that the other doctor is on call, and both go home."""
    client = store.connection.database.client
    _on_call(store)
    with client.start_session() as first, client.start_session() as second:
        for session, mine in ((first, "alice"), (second, "bob")):
            session.start_transaction()
            assert store.collection.count_documents({"tags.on_call": True}, session=session) == 2
            store.collection.update_one({"_id": mine}, {"$set": {"tags.on_call": False}}, session=session)
        first.commit_transaction()
        second.commit_transaction()
    assert store.collection.count_documents({"tags.on_call": True}) == 0


def test_two_changes_that_depend_on_each_other_do_not_skew(store: Any) -> None:
    client = store.connection.database.client
    alice, bob = _on_call(store)
    home = [
        Modification(change=[alice.as_change(tags={"on_call": False})], depend=[bob]),
        Modification(change=[bob.as_change(tags={"on_call": False})], depend=[alice]),
    ]
    with client.start_session() as first, client.start_session() as second:
        for session in (first, second):
            session.start_transaction()
            store.collection.count_documents({}, session=session)
        store.within(first, apply.modify(store.context, home[0]))
        with pytest.raises(PyMongoError) as caught:
            store.within(second, apply.modify(store.context, home[1]))
        assert caught.value.has_error_label("TransientTransactionError")
        assert isinstance(caught.value, StorageUnavailable)
        first.commit_transaction()
    with pytest.raises(DependencyError):
        store.modify(home[1])
    assert store.collection.count_documents({"tags.on_call": True}) == 1


def test_changes_of_many_threads_are_made_one_after_the_other(store: Any) -> None:
    store.new(key="account", tags={"sum": 0})
    refused = []

    def deposit(_: int) -> None:
        while True:
            account = store.get("account")
            try:
                store.modify(
                    insert=[NewTask({"deposit": 1})], change=[account.as_change(tags={"sum": account.tags["sum"] + 1})]
                )
            except DependencyError as error:
                refused.append(error)
            else:
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(deposit, range(24)))
    account = store.get("account")
    assert (account.tags["sum"], account.version) == (24, 25)
    assert store.collection.count_documents({"tags.deposit": 1}) == 24
    assert refused, "they did meet"


def test_many_may_depend_on_one_task_one_after_the_other(store: Any) -> None:
    config = store.new(key="config")
    for _ in range(3):
        store.modify(insert=[NewTask()], depend=[config])
    assert (store.get("config").version, store.document("config")["depended"]) == (1, 3)


def test_a_modification_whose_reply_was_lost_is_made_once(store: Any) -> None:
    task, gone = store.new(), store.new()
    whole = Modification([NewTask(key="made")], [task.as_change(priority=4)], [gone])
    first = store.modify(whole)
    before = everything(store)

    again = store.modify(whole)
    assert everything(store) == before
    assert [made.key for made in again.inserted] == [made.key for made in first.inserted]
    assert again.changed == first.changed


def test_a_later_modification_is_not_taken_for_one_made_before(store: Any) -> None:
    task = store.new()
    store.modify(change=[task.as_change(priority=4)])
    with pytest.raises(DependencyError):
        store.modify(change=[task.as_change(priority=4)])


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
        assert stream.wait() is TaskState.READY
    finally:
        stream.end()
