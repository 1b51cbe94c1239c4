"""Renewals that do not reach what they should: somebody is told, and the others are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.errors import LeaseLost, StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.judging.policy import Policy
from mongoq.core.judging.verdict import Raised
from mongoq.core.signals import Interruption, Snooze
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Find, Op, UpdateMany
from mongoq.storage.operations import bulk, leases, sweep
from mongoq.storage.operations.fleet import heartbeat
from mongoq.storage.refusals import KeyTaken
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.manual.keepalive import Read
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.renewer import Renewer

LEASE = timedelta(seconds=30)
SECOND = timedelta(seconds=1)


@contextmanager
def held_by_a_transaction(store: Any, key: str) -> Iterator[None]:
    """Somebody has written to this task and has not committed."""
    with store.collection.database.client.start_session() as session, session.start_transaction():
        assert store.collection.update_one({"_id": key}, {"$inc": {"depended": 1}}, session=session).matched_count
        yield
        session.abort_transaction()


class Kept:
    """A renewer of one process, and what it gave up."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.runtime = Runtime(store.context, store.run, "w", Telemetry())
        self.lost: list[LiveAttempt] = []
        self.renewer = Renewer(self.runtime, lose=self._lose)

    def _lose(self, attempt: LiveAttempt) -> None:
        assert attempt.end()
        self.lost.append(attempt)
        self.runtime.ledger.forget([attempt])

    def add(self, task: Task) -> LiveAttempt:
        """Keep a task whose renewal is due."""
        attempt = LiveAttempt(Read(task), Policy(lease=LEASE), elapsed() - 15)
        self.runtime.ledger.claim([attempt])
        return attempt

    def twice(self) -> tuple[LiveAttempt, LiveAttempt]:
        """Keep one task that was lost and then claimed again."""
        self._store.new()
        old = self.add(self._store.claim()[0])
        self._store.clock.advance(60)
        assert self._store.run(sweep.rescue(self._store.context)).moved == 1
        return old, self.add(self._store.claim()[0])


def test_a_renewal_that_a_transaction_stops_is_told_and_the_others_are_renewed(store: Any) -> None:
    for key in ("a", "b"):
        store.new(key=key)
    tasks = store.claim(2)
    store.clock.advance(1)
    with held_by_a_transaction(store, "a"), pytest.raises(StorageUnavailable, match=r"a$"):
        store.run(leases.renew_each(store.context, tasks, timedelta(hours=1)))
    left = {key: store.get(key).lease_until - store.clock.now() for key in ("a", "b")}
    assert left == {"a": LEASE - SECOND, "b": timedelta(hours=1)}


def test_what_was_lost_is_told_beside_what_a_transaction_holds(store: Any) -> None:
    for key in ("a", "b"):
        store.new(key=key)
    tasks = store.claim(2)
    store.clock.advance(1)
    store.collection.update_one({"_id": "b"}, {"$set": {"hold.token": "another's"}})
    with held_by_a_transaction(store, "a"), pytest.raises(StorageUnavailable) as blocked:
        store.run(leases.renew_each(store.context, tasks, None))
    assert isinstance(blocked.value.__cause__, LeaseLost)
    assert blocked.value.__cause__.keys == ("b",)


def test_an_attempt_whose_task_its_own_process_holds_once_more_is_given_up(store: Any) -> None:
    kept = Kept(store)
    old, new = kept.twice()
    assert (new.key, new.token != old.token) == (old.key, True)
    before = old.lease_until
    kept.renewer.step(elapsed())
    assert kept.lost == [old]
    assert (old.lease_until, new.lease_until > before) == (before, True)


def test_the_look_at_what_is_held_tells_two_claims_of_one_task_apart(store: Any) -> None:
    kept = Kept(store)
    old, new = kept.twice()
    store.collection.update_one({"_id": new.key}, {"$set": {"cancel_requested": True}})
    for attempt in (old, new):
        attempt.lease_until += 60  # no renewal is due
    kept.renewer.step(elapsed())
    assert kept.lost == [old]
    assert (old.interruption, new.interruption) == (None, Interruption.CANCEL)


def test_a_renewal_that_a_transaction_stops_does_not_keep_the_renewer_busy(store: Any) -> None:
    kept = Kept(store)
    for key in ("a", "b"):
        store.new(key=key)
    a, b = (kept.add(task) for task in store.claim(2))
    store.clock.advance(1)
    a_until, b_until = a.lease_until, b.lease_until
    with held_by_a_transaction(store, "a"):
        kept.renewer.step(elapsed())
    assert (a.lease_until, b.lease_until > b_until) == (a_until, True)
    assert kept.lost == []
    assert kept.runtime.ledger.due(elapsed()) == {}, "it rests"
    assert list(kept.runtime.ledger.due(elapsed() + 6)) == [30.0], "and is tried again while its lease lasts"


def late(store: Any, op: Op[Any]) -> Any:
    """The write of an operation, made now, on its way until it is sent."""
    command = next(op)

    def send() -> Op[Any]:
        return (yield command)

    return lambda: store.run(send())


def test_a_renewal_that_arrives_behind_a_newer_one_takes_no_lease_back(store: Any) -> None:
    store.new()
    [task] = store.claim()
    claims = [(task.key, task.token)]
    arrives = late(store, leases.renew(store.context, claims, LEASE))
    store.clock.advance(20)
    assert not any(store.run(leases.renew(store.context, claims, LEASE)))
    arrives()
    assert store.get(task.key).lease_until == store.clock.now() + LEASE


def test_a_renewal_by_hand_for_less_does_not_shorten_the_lease(store: Any) -> None:
    store.new()
    [task] = store.claim()
    store.run(leases.renew_each(store.context, [task], timedelta(hours=1)))
    store.run(leases.renew_each(store.context, [task], SECOND))
    assert store.get(task.key).lease_until == store.clock.now() + timedelta(hours=1)


def test_a_lease_that_is_brought_back_late_stays_as_a_newer_write_left_it(store: Any) -> None:
    store.new()
    [task] = store.claim()
    claims = [(task.key, task.token)]
    store.run(leases.renew(store.context, claims, timedelta(hours=1)))
    op = leases.renew(store.context, claims, LEASE, bring_back=True)
    found = store.run(leases.look(store.context, claims))
    assert isinstance(next(op), Find)
    command = op.send([{"_id": task.key, "hold": {"token": task.token, "until": found[claims[0]].until}}])
    store.clock.advance(20)
    assert not any(store.run(leases.renew(store.context, claims, LEASE, bring_back=True)))
    assert store.get(task.key).lease_until == store.clock.now() + LEASE

    def send() -> Op[Any]:
        return (yield command)

    assert store.run(send()) == 0, "it arrives now"
    assert store.get(task.key).lease_until == store.clock.now() + LEASE


@pytest.mark.parametrize("request_", [bulk.cancel, lambda context, key: bulk.cancel_all(context, {"_id": key}, None)])
def test_a_cancel_request_that_arrives_late_does_not_reach_a_later_claim(store: Any, request_: Any) -> None:
    key = store.new().key
    [task] = store.claim()
    op = request_(store.context, key)
    command = next(op)

    def send(command: Any) -> Op[Any]:
        return (yield command)

    while not (isinstance(command, UpdateMany) and "cancel_requested" in str(command.update)):
        command = op.send(store.run(send(command)))
    store.end(task, Raised(Snooze(0)))
    store.run(sweep.promote(store.context))
    assert [one.key for one in store.claim()] == [key]
    assert store.run(send(command)) == 0
    assert not store.get(key).cancel_requested


def test_a_heartbeat_that_arrives_behind_a_newer_one_is_dropped(store: Any) -> None:
    facts = {"host": "h", "pid": 1, "queues": [], "workers": 1, "ahead": 7}
    arrives = late(store, heartbeat.beat(store.context, "w", {**facts, "running": 1}))
    store.clock.advance(5)
    store.run(heartbeat.beat(store.context, "w", {**facts, "running": 2}))
    with pytest.raises(KeyTaken):
        arrives()
    store.clock.advance(-5)
    store.run(heartbeat.beat(store.context, "w", {**facts, "running": 3}))
    [worker] = store.run(heartbeat.workers(store.context))
    assert (worker.running, worker.ahead, worker.seen_at) == (2, 7, store.clock.now() + timedelta(seconds=5))


class Doubtful:
    """Runs a renewal without its first reply, and with what the test has happen before the word of a majority."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.majority: list[Any] = []

    def __call__(self, op: Op[Any], before_the_majority: Any = None) -> Any:
        def lossy() -> Op[Any]:
            command: Any = next(op)
            yield command
            command = op.throw(StorageUnavailable("the reply was lost", ambiguous=True))
            try:
                while True:
                    majority = isinstance(command, Find) and command.majority
                    if majority and before_the_majority is not None:
                        before_the_majority()
                    if majority:
                        self.majority.append(command)
                    command = op.send((yield command))
            except StopIteration as done:
                return done.value

        return self._store.run(lossy())


def test_a_renewal_in_doubt_counts_by_the_word_of_a_majority(store: Any) -> None:
    """A fail-over may take back what the primary that died had shown as renewed, or given to another."""
    for key in ("a", "b", "c"):
        store.new(key=key)
    claims = [(task.key, task.token) for task in store.claim(3)]

    def fail_over() -> None:
        store.collection.update_one({"_id": "a"}, {"$set": {"hold.until": store.clock.now() + LEASE}})
        store.collection.update_one({"_id": "b"}, {"$set": {"hold.token": "another's"}})

    run = Doubtful(store)
    renewed = run(leases.renew(store.context, claims, timedelta(hours=1)), fail_over)
    assert renewed == ([claims[1]], [claims[0]])
    assert len(run.majority) == 1


def test_a_renewal_in_doubt_that_no_majority_confirms_is_told(store: Any) -> None:
    store.new()
    claims = [(task.key, task.token) for task in store.claim()]

    def nobody() -> None:
        raise StorageUnavailable("no majority answers", ambiguous=True)

    with pytest.raises(StorageUnavailable, match="no majority"):
        Doubtful(store)(leases.renew(store.context, claims, timedelta(hours=1)), nobody)
