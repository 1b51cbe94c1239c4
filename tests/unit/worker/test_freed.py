"""What came free in a worker for parked tasks: it uses what it has room for, and lets the rest go."""

from __future__ import annotations

from mongoq.worker.limits.freed import Freed

SLOTS = ["x:a/00000", "x:a/00001", "x:b/00000"]


def test_what_a_worker_has_room_for_is_taken_and_the_rest_is_for_others() -> None:
    freed = Freed()
    freed.add(SLOTS)
    used, rest = freed.take(room=2, slots_at_most=2)
    assert (used.wanted, rest.named) == ({"x:a": 2}, ["x:b"])
    assert not freed, "all is taken out at once"


def test_a_worker_without_room_lets_all_go() -> None:
    freed = Freed()
    freed.add(SLOTS, {"r": 3})
    used, rest = freed.take(room=0, slots_at_most=4)
    assert not used
    assert sorted(rest.named) == ["r", "r", "r", "x:a", "x:a", "x:b"]


def test_starts_that_are_due_are_for_tasks_too_and_more_than_there_is_room_for_are_left() -> None:
    freed = Freed()
    freed.add(SLOTS[:1], {"r": 3})
    used, rest = freed.take(room=3, slots_at_most=4)
    assert (used.wanted, rest.wanted) == ({"x:a": 1, "r": 2}, {"r": 3})


def test_what_could_not_be_given_is_put_back() -> None:
    freed = Freed()
    freed.add(SLOTS, {"r": 1})
    freed.put_back(*freed.take(room=2, slots_at_most=1))
    used, _ = freed.take(room=9, slots_at_most=9)
    assert used.wanted == {"x:a": 2, "x:b": 1, "r": 1}
