from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from mongoq.core.options import Policy
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.services.lease_book import LeaseBook

Make = Callable[..., LiveAttempt]
SHORT = Policy(lease=timedelta(seconds=3))
LONG = Policy(lease=timedelta(seconds=30))


def test_a_lease_is_due_when_a_third_of_it_has_run(make_attempt: Make) -> None:
    book = LeaseBook()
    attempt = make_attempt(1000.0, policy=LONG)
    book.add([attempt])
    assert book.due(1009.9) == {}
    assert book.due(1010.1) == {30.0: [attempt]}


def test_leases_are_renewed_together_where_they_are_equally_long(make_attempt: Make) -> None:
    book = LeaseBook()
    short = make_attempt(1000.0, policy=SHORT)
    early, late = make_attempt(1000.0, policy=LONG), make_attempt(1005.0, policy=LONG)
    book.add([early, short])
    assert book.due(1002) == {3.0: [short]}
    book.add([late])
    assert book.due(1012) == {3.0: [short], 30.0: [early]}
    assert book.due(1020) == {3.0: [short], 30.0: [early, late]}


def test_a_renewal_puts_the_next_one_off(make_attempt: Make) -> None:
    book = LeaseBook()
    attempt = make_attempt(1000.0, policy=LONG)
    book.add([attempt])
    attempt.lease_until = 1010.0 + attempt.lease
    assert book.due(1019.9) == {}
    assert book.next_due(1010.0) == pytest.approx(10)


def test_a_lease_that_a_transaction_left_too_long_is_due_at_once(make_attempt: Make) -> None:
    book = LeaseBook()
    attempt = make_attempt(1000.0, policy=LONG)
    book.add([attempt])
    attempt.renewed(1120.0)
    assert book.due(1001.0) == {30.0: [attempt]}
    assert book.next_due(1001.0) == 0
    attempt.renewed(1031.0)
    assert book.due(1001.0) == {}


def test_what_a_renewal_did_not_reach_rests_for_a_while(make_attempt: Make) -> None:
    book = LeaseBook()
    blocked, other = make_attempt(1000.0, policy=LONG), make_attempt(1001.0, policy=LONG)
    book.add([blocked, other])
    book.rest([blocked], 1011.0)
    assert book.due(1012) == {30.0: [other]}
    other.lease_until = 1042.0
    assert book.next_due(1012) == pytest.approx(4)
    assert book.due(1016.1) == {30.0: [blocked]}
    book.remove([blocked])
    book.rest([blocked], 1011.0)
    assert book.all() == [other], "what has gone does not come back"


def test_the_keeper_is_told_how_long_it_may_rest(make_attempt: Make) -> None:
    book = LeaseBook()
    assert book.next_due(1000.0) is None
    book.add([make_attempt(1000.0, policy=LONG), make_attempt(1000.0, policy=SHORT)])
    assert book.next_due(1000.0) == pytest.approx(1)
    assert book.next_due(2000.0) == 0


def test_suspects_are_counted_as_they_come_and_go(make_attempt: Make) -> None:
    book = LeaseBook()
    suspect, repeated, other = make_attempt(0.0, lost_leases=1), make_attempt(0.0, lost_leases=2), make_attempt(0.0)
    book.add([suspect, repeated, other])
    assert (len(book), book.poison_weight) == (3, 17)
    book.remove([other, repeated])
    assert (len(book), book.poison_weight) == (1, 1)
    book.remove([suspect, suspect, other])
    assert (len(book), book.poison_weight) == (0, 0)


def test_two_claims_of_one_task_are_two_entries(make_attempt: Make) -> None:
    book = LeaseBook()
    first, second = make_attempt(0.0, token="t1"), make_attempt(0.0, token="t2")
    book.add([first, second])
    book.remove([first])
    assert book.all() == [second]


def test_the_lease_of_a_task_in_a_transaction_is_left_alone(make_attempt: Make) -> None:
    book = LeaseBook()
    attempt = make_attempt(1000.0, policy=LONG)
    book.add([attempt])
    attempt.pause()
    assert (book.due(5000.0), book.next_due(5000.0)) == ({}, None)
    attempt.resume(committed=False)
    assert book.due(5000.0) == {30.0: [attempt]}
