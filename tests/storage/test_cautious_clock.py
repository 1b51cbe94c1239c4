"""A clock that knows its error: nothing happens before its time, nothing late, whatever the error."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mongoq.core.clock import FrozenClock
from mongoq.core.judging.verdict import Raised
from mongoq.core.lifecycle import TaskState
from mongoq.core.requests import Adjustment
from mongoq.core.signals import Retry, Snooze
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.storage.documents.filters import SKEW
from mongoq.storage.operations import adjust, leases, sweep

ERROR = timedelta(seconds=0.45)
MS = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)


class Unsure(FrozenClock):
    """A clock that was measured by a question of 0.9 s; `true` is what the server's own clock may show at most."""

    def earliest(self) -> datetime:
        return self.now() - ERROR

    def latest(self) -> datetime:
        return self.now() + ERROR


@pytest.fixture
def store(make_store: Any) -> Any:
    store = make_store()
    store.clock = Unsure()
    store.context = replace(store.context, clock=store.clock)
    return store


def retried(store: Any) -> str:
    key: str = store.new().key
    store.end(store.claim()[0], Raised(Retry(delay=60)))
    return key


def snoozed(store: Any) -> str:
    key: str = store.new().key
    store.end(store.claim()[0], Raised(Snooze(60)))
    return key


def changed(store: Any) -> str:
    task = store.new()
    store.modify(change=[task.as_change(delay=60)])
    key: str = task.key
    return key


def updated(store: Any) -> str:
    key: str = store.new().key
    store.run(adjust.adjust(store.context, key, Adjustment(delay=MINUTE)))
    return key


def enqueued(store: Any) -> str:
    key: str = store.new(delay=60).key
    return key


@pytest.mark.parametrize("delayed", [enqueued, retried, snoozed, changed, updated])
def test_a_delay_is_over_when_it_is_so_by_every_clock_that_the_server_may_have(store: Any, delayed: Any) -> None:
    begun = store.clock.latest()
    key = delayed(store)
    store.clock.advance((begun + MINUTE - store.clock.earliest() - MS).total_seconds())
    assert store.run(sweep.promote(store.context)).moved == 0, "the server may still be a moment before it"
    store.clock.advance(0.001)
    assert store.run(sweep.promote(store.context)).moved == 1
    assert store.get(key).state is TaskState.READY


def test_an_instant_that_may_not_have_come_is_waited_for(store: Any) -> None:
    key = store.new(run_at=store.clock.now()).key
    assert store.get(key).state is TaskState.SCHEDULED
    store.clock.advance(ERROR.total_seconds())
    assert store.run(sweep.promote(store.context)).moved == 1


def test_what_is_not_delayed_is_ready_at_once(store: Any) -> None:
    task = store.new(delay=0)
    assert store.get(store.new().key).state is store.get(task.key).state is TaskState.READY
    [change] = store.modify(change=[task.as_change(delay=0)]).changed
    assert change.state is TaskState.READY


def test_a_task_that_may_have_expired_does_not_start(store: Any) -> None:
    key = store.new(expires_at=store.clock.now() + ERROR).key
    assert store.claim() == []
    assert store.get(key).state is TaskState.EXPIRED


def test_a_lease_lasts_by_every_clock_that_the_server_may_have(store: Any) -> None:
    for key in "ab":
        store.new(key=key)
    tasks = store.claim(2)
    store.run(leases.renew_each(store.context, [tasks[0]], MINUTE))
    lengths = {"a": MINUTE, "b": store.options.policy.lease}
    for key, length in lengths.items():
        assert store.get(key).lease_until == store.clock.latest() + length
    over = lengths["b"] + 2 * ERROR + SKEW
    store.clock.advance((over - MS).total_seconds())
    assert store.run(sweep.rescue(store.context)).moved == 0
    store.clock.advance(0.001)
    assert store.run(sweep.rescue(store.context)).moved == 1
    assert store.get("a").state is TaskState.RUNNING


def test_the_change_of_others_waits_for_the_end_of_a_lease_likewise(store: Any) -> None:
    store.new(key="a")
    [held] = store.claim()
    left = held.lease_until - store.clock.now() + SKEW
    store.clock.advance(left.total_seconds())
    with pytest.raises(DependencyError):
        store.modify(change=[store.get("a").as_change(priority=2)])
    store.clock.advance(ERROR.total_seconds())
    assert store.modify(change=[store.get("a").as_change(priority=2)]).changed
