"""What a worker makes of claims whose replies are lost, late or rolled back, on a real server."""

from __future__ import annotations

from typing import Any

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.errors import LeaseLost, StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.judging.verdict import Raised, Returned
from mongoq.core.lifecycle import TaskState
from mongoq.core.requests import ClaimRequest
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.fleet.rotation import Rotation
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.claimer import Claimer


class Wire:
    """Runs operations on the server; loses the next reply where it is told to, and notes when it was asked."""

    def __init__(self, store: Any) -> None:
        self._run = store.run
        self.loses = False
        self.asked_at: list[float] = []

    def __call__(self, operation: Any) -> Any:
        self.asked_at.append(elapsed())
        reply = self._run(operation)
        if self.loses:
            self.loses = False
            raise StorageUnavailable("the reply was lost", ambiguous=True)
        return reply


def claimer_of(store: Any, wire: Wire) -> tuple[Claimer, list[LiveAttempt]]:
    received: list[LiveAttempt] = []
    runtime = Runtime(store.context, wire, "w", Telemetry())
    claimer = Claimer(runtime, Rotation(runtime, ClaimRequest(("default",), "w")), received.extend)
    return claimer, received


def test_a_claim_whose_reply_was_lost_is_found_again_by_its_token(store: Any) -> None:
    keys = {store.new().key for _ in range(3)}
    wire = Wire(store)
    claimer, received = claimer_of(store, wire)
    wire.loses = True
    with pytest.raises(StorageUnavailable):
        claimer.claim(10)
    assert not received
    assert {store.get(key).state for key in keys} == {TaskState.RUNNING}

    assert claimer.look_back(elapsed()) == 3
    assert {attempt.task.key for attempt in received} == keys
    assert {store.get(key).attempts for key in keys} == {1}
    assert all(attempt.claimed_at <= wire.asked_at[0] for attempt in received), "counted from the lost claim"


def test_what_a_doubtful_claim_gets_after_a_look_is_found_by_the_next_one(store: Any) -> None:
    late = store.new(key="late")
    store.new(key="soon")
    wire = Wire(store)
    claimer, received = claimer_of(store, wire)
    before = store.document("late")
    wire.loses = True
    with pytest.raises(StorageUnavailable):
        claimer.claim(10)
    claimed = store.document("late")
    store.collection.replace_one({"_id": late.key}, before)  # as if its write were still on its way
    assert claimer.look_back(elapsed()) == 1
    store.collection.replace_one({"_id": late.key}, claimed)

    assert claimer.look_back(elapsed(), at_once=True) == 1
    assert [attempt.key for attempt in received] == ["soon", "late"]
    assert claimer.look_back(elapsed(), at_once=True) == 0, "what is held is not taken again"


def test_the_countdown_of_a_lease_starts_before_the_claim_is_sent(store: Any) -> None:
    store.new()
    wire = Wire(store)
    claimer, received = claimer_of(store, wire)
    claimer.claim(10)
    assert received[0].claimed_at <= wire.asked_at[0]
    assert received[0].lease_until == received[0].claimed_at + received[0].lease


def test_a_claim_that_a_fail_over_took_back_ends_nothing_of_the_next_one(store: Any) -> None:
    key = store.new().key
    before = store.document(key)
    first = store.claim(worker="one")[0]
    store.collection.replace_one({"_id": key}, before)  # what a fail-over does with what no majority had
    second = store.claim(worker="two")[0]

    for ending in (Returned(), Raised(ValueError())):
        with pytest.raises(LeaseLost):
            store.end(first, ending)
    store.end(second, Returned())
    assert store.get(key).state is TaskState.COMPLETED
