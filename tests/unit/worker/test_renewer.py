"""When leases are renewed, and what their holders are told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.errors import StorageUnavailable
from mongoq.core.judging.policy import Policy
from mongoq.core.signals import Interruption
from mongoq.storage.operations.leases import Held, Renewed
from mongoq.worker.attempt import LONGEST_TRANSACTION, LiveAttempt
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.renewer import LONGEST_PAUSE, LOOK_EVERY, Renewer

Make = Callable[..., LiveAttempt]
POLICY = Policy(lease=timedelta(seconds=30))


class Renewals:
    """A renewer, what it holds and what it gave up."""

    def __init__(self, runtime: Runtime, timer: Any, script: Any, make_attempt: Make) -> None:
        self.ledger, self.timer, self.script = runtime.ledger, timer, script
        self._make = make_attempt
        self.lost: list[LiveAttempt] = []
        self.renewer = Renewer(runtime, lose=self._lose)

    def _lose(self, attempt: LiveAttempt) -> None:
        self.ledger.lose(attempt)
        self.lost.append(attempt)

    def hold(self, key: str = "a", policy: Policy = POLICY) -> LiveAttempt:
        attempt = self._make(self.timer.now, policy=policy, _id=key)
        self.ledger.claim([attempt])
        return attempt

    def step(self, seconds: float = 0) -> float:
        return self.renewer.step(self.timer.advance(seconds))

    @property
    def renewed(self) -> list[list[str]]:
        return [[key for key, _ in arguments["claims"]] for arguments in self.script.of("renew")]


@pytest.fixture
def kept(runtime: Runtime, timer: Any, script: Any, make_attempt: Make) -> Renewals:
    return Renewals(runtime, timer, script, make_attempt)


def test_a_lease_is_renewed_at_a_third_of_its_length(kept: Renewals) -> None:
    attempt = kept.hold()
    kept.step(9.9)
    assert kept.renewed == []
    kept.step(0.2)
    assert kept.renewed == [["a"]]
    assert attempt.lease_until == kept.timer.now + 30
    kept.step(9.9)
    kept.step(0.2)
    assert kept.renewed == [["a"]] * 2


def test_leases_of_one_length_are_renewed_in_one_command(kept: Renewals) -> None:
    for key in "ab":
        kept.hold(key)
    kept.hold("short", Policy(lease=timedelta(seconds=6)))
    kept.step(10.1)
    assert sorted(kept.renewed) == [["a", "b"], ["short"]]


def test_it_comes_in_time_for_what_is_claimed_meanwhile(kept: Renewals) -> None:
    assert kept.step() <= LONGEST_PAUSE
    kept.hold(policy=Policy(lease=timedelta(seconds=1)))
    assert kept.step(0.3) <= 0.04


def test_what_a_transaction_of_somebody_holds_rests_and_is_tried_again_while_its_lease_lasts(kept: Renewals) -> None:
    blocked, other = kept.hold("a"), kept.hold("b")
    kept.script.reply("renew", Renewed(skipped=[("a", "t1")]))
    before = blocked.lease_until
    kept.step(10.1)
    assert (blocked.lease_until, other.lease_until) == (before, kept.timer.now + 30)
    kept.step(4)
    assert kept.renewed == [["a", "b"]]
    kept.step(1.1)
    assert kept.renewed[1:] == [["a"]]
    assert kept.lost == []


def test_a_lost_lease_is_given_up_and_the_others_are_kept(kept: Renewals) -> None:
    gone, other = kept.hold("a"), kept.hold("b")
    kept.script.reply("renew", Renewed(lost=[("a", "t1")]))
    kept.step(10.1)
    assert (kept.lost, kept.ledger.all()) == ([gone], [other])


def test_a_lost_lease_and_a_cancel_request_are_seen_by_a_look_every_second_or_so(kept: Renewals) -> None:
    gone, cancelled, other = kept.hold("a"), kept.hold("b"), kept.hold("c")
    known = {("b", "t1"): Held(cancel=True, until=None), ("c", "t1"): Held(cancel=False, until=None)}
    kept.script.always("look", known)
    kept.step()
    assert kept.script.of("look") == [], "nothing has been held for long"
    kept.step(LOOK_EVERY)
    assert kept.lost == [gone]
    assert (cancelled.interruption, other.interruption) == (Interruption.CANCEL, None)


@pytest.mark.parametrize("operation", ["renew", "look"])
def test_what_has_ended_is_not_lost(kept: Renewals, operation: str) -> None:
    attempt = kept.hold()
    attempt.end()
    kept.script.reply("renew", Renewed(lost=[("a", "t1")]))
    kept.script.always("look", {})
    kept.step(10.1)
    kept.step(LOOK_EVERY)
    assert kept.lost == []


def test_no_renewal_is_due_while_a_handler_s_own_transaction_is_open(kept: Renewals) -> None:
    attempt = kept.hold()
    kept.step(5)
    looks = len(kept.script.of("look"))
    attempt.begin_transaction(kept.timer.now + 120)
    for _ in range(8):
        kept.step(LONGEST_TRANSACTION / 10)
    assert (kept.renewed, len(kept.script.of("look")), attempt.interruption) == ([], looks, None)
    attempt.end_transaction(committed=False)
    kept.step()
    assert kept.renewed == [["a"]], "its lease is brought back to its own length"
    assert attempt.lease_until == kept.timer.now + 30


def test_a_block_that_outlives_every_transaction_is_renewed_again(kept: Renewals) -> None:
    attempt = kept.hold()
    attempt.begin_transaction(kept.timer.now + 120)
    kept.step(LONGEST_TRANSACTION + 1)
    assert (kept.renewed, attempt.interruption) == ([["a"]], None)


def test_a_renewal_under_way_leaves_the_lease_that_a_transaction_has_just_extended(kept: Renewals) -> None:
    attempt = kept.hold()

    def meanwhile(_: Any) -> Renewed:
        attempt.begin_transaction(kept.timer.now + 120)
        return Renewed()

    kept.script.reply("renew", meanwhile)
    kept.step(10.1)
    assert attempt.lease_until == kept.timer.now + 120


def test_a_renewal_without_an_answer_leaves_what_is_known(kept: Renewals) -> None:
    attempt = kept.hold()
    before = attempt.lease_until
    kept.script.reply("renew", StorageUnavailable("gone"))
    with pytest.raises(StorageUnavailable):
        kept.step(10.1)
    assert (attempt.lease_until, kept.lost) == (before, [])
    kept.step()
    assert attempt.lease_until == kept.timer.now + 30


def test_a_lease_that_could_not_be_renewed_in_time_counts_as_lost_for_its_handler(kept: Renewals) -> None:
    attempt = kept.hold()
    kept.timer.advance(29.9)
    assert not attempt.task.cancelled
    kept.timer.advance(0.1)
    assert attempt.task.interruption is Interruption.LEASE_LOST
