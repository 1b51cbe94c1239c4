from __future__ import annotations

from mongoq.worker.services.contention import AT_THE_HEAD_EVERY, WIDEST, Contention


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


def test_once_a_second_the_claim_is_made_at_the_head() -> None:
    contention = Contention()
    contention.place(0)
    while not contention.place(0.5):
        contention.claimed(500, 400)
    assert contention.place(0.5 + AT_THE_HEAD_EVERY) == 0
    assert contention.place(0.6 + AT_THE_HEAD_EVERY) > 0


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
        assert contention.place(moment * AT_THE_HEAD_EVERY) > 0
        contention.claimed(500, 400)
        contention.too_far()
