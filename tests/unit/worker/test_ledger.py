from __future__ import annotations

import threading
from collections.abc import Callable

from mongoq.core.clock import elapsed
from mongoq.core.lifecycle import Event
from mongoq.core.verdict import Verdict
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.services.finisher import FinishBuffer, Settled

DONE = Verdict(Event.COMPLETE)


def filled(make_attempt: Callable[..., LiveAttempt], count: int) -> FinishBuffer:
    buffer = FinishBuffer()
    for number in range(count):
        buffer.add(make_attempt(0.0, _id=f"k{number}"), DONE)
    return buffer


def keys(endings: list[Settled]) -> list[str]:
    return [ending.attempt.task.key for ending in endings]


def test_the_oldest_endings_are_taken_first(make_attempt: Callable[..., LiveAttempt]) -> None:
    buffer = filled(make_attempt, 5)
    assert keys(buffer.take(2)) == ["k0", "k1"]
    assert len(buffer) == 3
    assert keys(buffer.take(100)) == ["k2", "k3", "k4"]
    assert buffer.take(100) == []


def test_what_could_not_be_written_is_written_first_the_next_time(make_attempt: Callable[..., LiveAttempt]) -> None:
    buffer = filled(make_attempt, 4)
    taken = buffer.take(2)
    buffer.add(make_attempt(0.0, _id="later"), DONE)
    buffer.give_back(taken)
    assert keys(buffer.take(100)) == ["k0", "k1", "k2", "k3", "later"]


def test_no_ending_is_lost_or_doubled_between_threads(make_attempt: Callable[..., LiveAttempt]) -> None:
    buffer = FinishBuffer()
    attempts = [make_attempt(0.0, _id=f"k{number}") for number in range(2_000)]

    def add(own: list[LiveAttempt]) -> None:
        for attempt in own:
            buffer.add(attempt, DONE)

    adders = [threading.Thread(target=add, args=(own,)) for own in (attempts[:1000], attempts[1000:])]
    for thread in adders:
        thread.start()
    taken: list[Settled] = []
    again = True
    while any(thread.is_alive() for thread in adders) or len(buffer):
        batch = buffer.take(7)
        if again:
            buffer.give_back(batch)
        else:
            taken += batch
        again = not again
    assert sorted(keys(taken)) == sorted(attempt.task.key for attempt in attempts)


def test_what_is_kept_counts_and_comes_again_after_pauses_that_grow(make_attempt: Callable[..., LiveAttempt]) -> None:
    buffer = filled(make_attempt, 2)
    one, other = buffer.take(2)
    assert buffer.keep(one)
    buffer.keep(other)
    assert len(buffer) == 2, "they take up room"
    assert buffer.due(elapsed()) == []
    assert buffer.due(elapsed() + 60) == [one, other]
    assert not buffer.keep(one), "no news"
    for _ in range(9):
        buffer.keep(one)
    assert buffer.due(elapsed() + 1) == [other], "the pauses are its own"
    buffer.forget([other])
    pause = buffer.pause(elapsed())
    assert pause is not None
    assert 1 < pause <= 5
    assert len(buffer) == 1


def test_what_is_kept_is_tried_often_where_there_is_no_time_left(make_attempt: Callable[..., LiveAttempt]) -> None:
    buffer = filled(make_attempt, 1)
    (ending,) = buffer.take(1)
    assert buffer.pause(elapsed()) is None
    for _ in range(9):
        buffer.keep(ending)
    buffer.hurry()
    assert buffer.due(elapsed()) == [ending]
    pause = buffer.pause(elapsed())
    assert pause is not None
    assert pause < 0.1
