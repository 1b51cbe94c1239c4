from __future__ import annotations

import itertools

from mongoq.worker.services.contention import WIDEST, Contention


def test_a_claimer_that_loses_nothing_stays_at_the_head() -> None:
    contention = Contention()
    for second in range(100):
        assert contention.place(second / 10) == 0
        contention.claimed(500, 10)


def test_a_claimer_that_loses_much_moves_and_stays_where_it_loses_nothing() -> None:
    contention = Contention()
    contention.place(0)
    places = set()
    for _ in range(200):
        contention.claimed(500, 400)
        places.add(contention.place(0.5))
    assert 3 < len(places) <= WIDEST
    while not (place := contention.place(0.5)):
        contention.claimed(500, 400)
    contention.claimed(500, 0)
    assert contention.place(0.6) == place


def spread() -> Contention:
    """A claimer that has lost all for a while, and is somewhere behind the head."""
    contention = Contention()
    contention.place(0)
    for _ in range(2):
        contention.claimed(500, 400)
    while not contention.place(0):
        contention.claimed(500, 400)
    return contention


def test_one_claim_in_as_many_as_it_has_spread_over_is_made_at_the_head() -> None:
    contention = spread()
    at_the_head = [number for number in range(3 * WIDEST) if not contention.place(0.5)]
    assert [late - early for early, late in itertools.pairwise(at_the_head)] == [WIDEST] * 2


def test_a_claimer_that_claims_rarely_is_at_the_head_after_as_many_seconds() -> None:
    contention = spread()
    assert contention.place(WIDEST - 1) > 0
    assert contention.place(WIDEST) == 0
    assert contention.place(WIDEST + 1) > 0


def test_a_claimer_that_loses_most_spreads_at_once() -> None:
    places = set()
    for _ in range(100):
        contention = Contention()
        contention.place(0)
        contention.claimed(500, 400)
        places.add(contention.place(0))
    assert len(places) == 4


def test_where_the_line_is_short_the_place_moves_forward() -> None:
    contention = Contention()
    contention.place(0)
    for _ in range(20):
        contention.claimed(500, 400)
    for _ in range(10):
        contention.too_far()
    assert contention.place(0.5) == 0


def test_a_look_ahead_claimer_is_never_at_the_head() -> None:
    contention = Contention(first=1)
    for moment in range(50):
        assert contention.place(moment * 10.0) > 0
        contention.claimed(500, 400)
        contention.too_far()
