from __future__ import annotations

from mongoq.worker.services.contention import AT_THE_HEAD_EVERY, WIDEST, Window


def test_a_claimer_that_loses_nothing_stays_at_the_head() -> None:
    window = Window()
    for second in range(100):
        assert window.place(second / 10) == 0
        window.claimed(500, 10)


def test_a_claimer_that_loses_much_moves_and_stays_where_it_loses_nothing() -> None:
    window = Window()
    window.place(0)
    places = set()
    for _ in range(200):
        window.claimed(500, 400)
        places.add(window.place(0.5))
    assert 3 < len(places) <= WIDEST
    while not (place := window.place(0.5)):
        window.claimed(500, 400)
    window.claimed(500, 0)
    assert window.place(0.6) == place


def test_once_a_second_the_claim_is_made_at_the_head() -> None:
    window = Window()
    window.place(0)
    while not window.place(0.5):
        window.claimed(500, 400)
    assert window.place(0.5 + AT_THE_HEAD_EVERY) == 0
    assert window.place(0.6 + AT_THE_HEAD_EVERY) > 0


def test_where_the_line_is_short_the_place_moves_forward() -> None:
    window = Window()
    window.place(0)
    for _ in range(20):
        window.claimed(500, 400)
    for _ in range(10):
        window.too_far()
    assert window.place(0.5) == 0


def test_an_aide_is_never_at_the_head() -> None:
    window = Window(first=1)
    for moment in range(50):
        assert window.place(moment * AT_THE_HEAD_EVERY) > 0
        window.claimed(500, 400)
        window.too_far()
