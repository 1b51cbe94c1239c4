"""Somebody else's open transaction on some tasks must not stop the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.errors import StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event, TaskState
from mongoq.core.requests import ClaimRequest
from mongoq.storage.commands import Bulk, Delete, Op, UpdateMany
from mongoq.storage.operations import finish, leases, sweep
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.recovery import skip_locked
from mongoq.storage.operations.recovery.skip_locked import LOOK_AGAIN_EVERY
from mongoq.worker.fleet.rotation import Rotation
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.claimer import Claimer

MINUTE = timedelta(minutes=1)


@contextmanager
def held_by_a_transaction(store: Any, *keys: str) -> Iterator[None]:
    """Somebody has written to these tasks and has not committed; in the end it is as if nothing had been."""
    with store.collection.database.client.start_session() as session, session.start_transaction():
        done = store.collection.update_many({"_id": {"$in": list(keys)}}, {"$set": {"mine": 1}}, session=session)
        assert done.matched_count == len(keys)
        yield
        session.abort_transaction()


def test_a_claim_goes_around_tasks_that_a_transaction_holds(store: Any) -> None:
    for number in range(6):
        store.new(key=f"t{number}", priority=6 - number)
    batch = claim_many(store.context, ClaimRequest(("default",), "w", 4), poison_budget=0)
    with held_by_a_transaction(store, "t0", "t2"):
        claim = store.run(batch)
        assert [task.key for task in claim.tasks] == ["t1", "t3"]
        assert sorted(claim.blocked) == ["t0", "t2"]
        next_one = claim_many(store.context, ClaimRequest(("default",), "w"), poison_budget=0, skip_keys=claim.blocked)
        assert [task.key for task in store.run(next_one).tasks] == ["t4"]
    assert [task.key for task in store.claim(9)] == ["t0", "t2", "t5"], "none is lost"


def test_a_claim_by_hand_takes_the_next_task_behind_one_that_a_transaction_holds(store: Any) -> None:
    store.new(key="first", priority=9)
    store.new(key="second", priority=5)
    store.new(key="third")
    with held_by_a_transaction(store, "first", "second"):
        assert store.claim_one().key == "third"
    assert store.claim_one().key == "first"


def test_a_renewal_reaches_the_others_where_a_transaction_holds_one(store: Any) -> None:
    for number in range(3):
        store.new(key=f"t{number}")
    tasks = store.claim(3)
    with held_by_a_transaction(store, "t1"):
        claims = [(task.key, task.token) for task in tasks]
        assert store.run(leases.renew(store.context, claims, 10 * MINUTE)) == ([], [claims[1]])
    renewed = [store.get(f"t{number}").lease_until - store.clock.now() for number in range(3)]
    assert renewed == [10 * MINUTE, timedelta(seconds=30), 10 * MINUTE]


def test_endings_of_many_claims_are_written_but_for_the_one_that_a_transaction_holds(store: Any) -> None:
    for number in range(8):
        store.new(key=f"k{number}")
    endings = [
        Ended(task, Verdict(Event.COMPLETE, keep=timedelta(hours=number % 2)))
        for number in range(4)
        for task in store.claim(2)
    ]
    with held_by_a_transaction(store, "k5"):
        done = store.run(finish.finish(store.context, endings))
    assert (done.lost, [ending.task.key for ending in done.blocked]) == ([], ["k5"])
    assert [task.key for task in store.list() if not task.finished] == ["k5"]
    again = store.run(finish.finish(store.context, done.blocked, again=True))
    assert (again.lost, again.blocked) == ([], [])


def test_the_sweeps_reach_the_others_where_a_transaction_holds_one(store: Any) -> None:
    for name in ("a", "b"):
        store.new(key=f"due-{name}", delay=1)
        store.new(key=f"old-{name}", queue="other", expires_at=store.clock.now() + timedelta(seconds=1))
        store.new(key=f"run-{name}", queue="mine")
    assert len(store.claim(2, queues=("mine",))) == 2
    store.clock.advance(60)
    with held_by_a_transaction(store, "due-a", "old-a", "run-a"):
        assert [store.run(one(store.context)).moved for one in (sweep.promote, sweep.expire, sweep.rescue)] == [
            1, 1, 1,
        ]  # fmt: skip
    states = [store.get(f"{kind}-b").state for kind in ("due", "old", "run")]
    assert states == [TaskState.READY, TaskState.EXPIRED, TaskState.READY]
    assert store.get("due-a").state is TaskState.SCHEDULED
    assert store.run(sweep.promote(store.context)).moved == 1


def test_many_that_a_transaction_holds_do_not_hide_those_behind_them(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skip_locked, "MOST_SKIPPED", 6)
    held = [store.new(key=f"a{number}", delay=1).key for number in range(12)]
    free = [store.new(key=f"b{number}", delay=1).key for number in range(4)]
    store.clock.advance(60)
    with held_by_a_transaction(store, *held):
        assert store.run(sweep.promote(store.context)).moved >= 3
    assert sum(store.get(key).state is TaskState.READY for key in free) >= 3


@contextmanager
def stopped(store: Any) -> Iterator[None]:
    """The server takes no writes, as while a backup copies its files."""
    admin = store.connection.database.client.admin
    admin.command("fsync", lock=True)
    try:
        yield
    finally:
        admin.command("fsyncUnlock")


def busy(op: Op[Any], store: Any) -> Any:
    """Run an operation on a server that takes 1.5 s for every write, but for those of transactions."""

    def slow() -> Op[Any]:
        command: Any = next(op)
        try:
            while True:
                limit = getattr(command, "timeout", None) if isinstance(command, UpdateMany | Bulk | Delete) else None
                try:
                    if limit is not None and limit < timedelta(seconds=1.5):
                        raise StorageUnavailable("MongoDB did not finish in time", code=50, ambiguous=True)
                    reply = yield command
                except Exception as error:  # noqa: BLE001 -- all of them are the operation's
                    command = op.throw(error)
                else:
                    command = op.send(reply)
        except StopIteration as done:
            return done.value

    return store.run(slow())


def claim(store: Any) -> Op[Any]:
    store.new(key="mine")
    return claim_many(store.context, ClaimRequest(("default",), "w", 4), poison_budget=0)


def renewal(store: Any) -> Op[Any]:
    store.new(key="mine")
    return leases.renew(store.context, [(task.key, task.token) for task in store.claim()], MINUTE)


def ending(store: Any) -> Op[Any]:
    store.new(key="mine")
    verdict = Verdict(Event.COMPLETE, keep=MINUTE)
    return finish.finish(store.context, [Ended(task, verdict) for task in store.claim()])


def promotion(store: Any) -> Op[Any]:
    store.new(key="mine", delay=1)
    store.clock.advance(2)
    return sweep.promote(store.context)


WRITES = [claim, renewal, ending, promotion]


@pytest.mark.parametrize("write", WRITES)
def test_a_server_that_stops_is_not_taken_for_somebody_s_transaction(store: Any, write: Any) -> None:
    op = write(store)
    with stopped(store), pytest.raises(StorageUnavailable):
        store.run(op)


@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_takes_longer_than_a_second_is_not_blocked(store: Any, write: Any) -> None:
    result = busy(write(store), store)
    if isinstance(result, Claim):
        assert ([task.key for task in result.tasks], result.blocked) == (["mine"], [])
    elif isinstance(result, sweep.Swept):
        assert (result.moved, result.blocked) == (1, ())
    else:
        assert not any(result)


def test_what_a_transaction_held_is_claimed_as_soon_as_it_has_ended(store: Any) -> None:
    for key, priority in (("urgent", 9), ("later", 1), ("last", 0)):
        store.new(key=key, priority=priority)
    got: list[str] = []
    now = [1000.0]
    runtime = Runtime(store.context, store.run, "w", Telemetry(), elapsed=lambda: now[0])
    rotation = Rotation(runtime, ClaimRequest(("default",), "w"))
    claimer = Claimer(runtime, rotation, lambda attempts: got.extend(attempt.key for attempt in attempts))
    with held_by_a_transaction(store, "urgent"):
        for _ in range(3):
            claimer.claim(1)
            now[0] += LOOK_AGAIN_EVERY
            if got:
                break
        assert got == ["later"]
        assert list(claimer._blocked.keys(now[0])) == ["urgent"]
    claimer.claim(1)
    assert got == ["later", "urgent"]


def test_a_sweep_skips_the_keys_that_it_is_given(store: Any) -> None:
    for name in ("a", "b"):
        store.new(key=f"due-{name}", delay=1)
        store.new(key=f"old-{name}", queue="other", expires_at=store.clock.now() + timedelta(seconds=1))
        store.new(key=f"run-{name}", queue="mine")
    store.claim(2, queues=("mine",))
    store.clock.advance(60)
    blocked = {"due-a", "old-a", "run-a"}
    for one in (sweep.promote, sweep.expire, sweep.rescue):
        assert store.run(one(store.context, blocked)).moved == 1
        assert store.run(one(store.context, blocked)).next == sweep.BLOCKED, "they are looked at again"
        assert store.run(one(store.context)).moved == 1
