from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from mongoq.core.judging.policy import Policy
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.ledger import Ledger

Make = Callable[..., LiveAttempt]
SHORT = Policy(lease=timedelta(seconds=3))
LONG = Policy(lease=timedelta(seconds=30))


def test_a_lease_is_due_when_a_third_of_it_has_run(make_attempt: Make) -> None:
    ledger = Ledger()
    attempt = make_attempt(1000.0, policy=LONG)
    ledger.claim([attempt])
    assert ledger.due(1009.9) == {}
    assert ledger.due(1010.1) == {30.0: [attempt]}


def test_leases_are_renewed_together_where_they_are_equally_long(make_attempt: Make) -> None:
    ledger = Ledger()
    short = make_attempt(1000.0, policy=SHORT)
    early, late = make_attempt(1000.0, policy=LONG), make_attempt(1005.0, policy=LONG)
    ledger.claim([early, short])
    assert ledger.due(1002) == {3.0: [short]}
    ledger.claim([late])
    assert ledger.due(1012) == {3.0: [short], 30.0: [early]}
    assert ledger.due(1020) == {3.0: [short], 30.0: [early, late]}


def test_a_renewal_puts_the_next_one_off(make_attempt: Make) -> None:
    ledger = Ledger()
    attempt = make_attempt(1000.0, policy=LONG)
    ledger.claim([attempt])
    attempt.lease_until = 1010.0 + attempt.lease
    assert ledger.due(1019.9) == {}
    assert ledger.renew_after(1010.0) == pytest.approx(10)


def test_a_lease_that_a_transaction_left_too_long_is_due_at_once(make_attempt: Make) -> None:
    ledger = Ledger()
    attempt = make_attempt(1000.0, policy=LONG)
    ledger.claim([attempt])
    attempt.lease_until = 1120.0
    assert ledger.due(1001.0) == {30.0: [attempt]}
    assert ledger.renew_after(1001.0) == 0
    attempt.lease_until = 1031.0
    assert ledger.due(1001.0) == {}


def test_what_a_renewal_did_not_reach_rests_for_a_while(make_attempt: Make) -> None:
    ledger = Ledger()
    blocked, other = make_attempt(1000.0, policy=LONG), make_attempt(1001.0, policy=LONG)
    ledger.claim([blocked, other])
    ledger.rest([blocked], 1011.0)
    assert ledger.due(1012) == {30.0: [other]}
    other.lease_until = 1042.0
    assert ledger.renew_after(1012) == pytest.approx(4)
    assert ledger.due(1016.1) == {30.0: [blocked]}
    ledger.forget([blocked])
    ledger.rest([blocked], 1011.0)
    assert ledger.all() == [other], "what has gone does not come back"


def test_the_renewer_is_told_how_long_it_may_rest(make_attempt: Make) -> None:
    ledger = Ledger()
    assert ledger.renew_after(1000.0) is None
    ledger.claim([make_attempt(1000.0, policy=LONG), make_attempt(1000.0, policy=SHORT)])
    assert ledger.renew_after(1000.0) == pytest.approx(1)
    assert ledger.renew_after(2000.0) == 0


def test_suspects_are_counted_as_they_come_and_go(make_attempt: Make) -> None:
    ledger = Ledger()
    suspect, repeated, other = make_attempt(0.0, lost_leases=1), make_attempt(0.0, lost_leases=2), make_attempt(0.0)
    ledger.claim([suspect, repeated, other])
    assert (len(ledger), ledger.poison_weight) == (3, 17)
    ledger.forget([other, repeated])
    assert (len(ledger), ledger.poison_weight) == (1, 1)
    ledger.forget([suspect, suspect, other])
    assert (len(ledger), ledger.poison_weight) == (0, 0)


def test_two_claims_of_one_task_are_two_entries(make_attempt: Make) -> None:
    ledger = Ledger()
    first, second = make_attempt(0.0, token="t1"), make_attempt(0.0, token="t2")
    ledger.claim([first, second])
    ledger.forget([first])
    assert ledger.all() == [second]


def test_the_lease_of_a_task_in_a_transaction_is_left_alone(make_attempt: Make) -> None:
    ledger = Ledger()
    attempt = make_attempt(1000.0, policy=LONG)
    ledger.claim([attempt])
    attempt.begin_transaction(0.0)
    assert (ledger.due(5000.0), ledger.renew_after(5000.0)) == ({}, None)
    attempt.end_transaction(committed=False)
    assert ledger.due(5000.0) == {30.0: [attempt]}
