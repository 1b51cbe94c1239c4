from __future__ import annotations

import threading
from collections.abc import Callable

from mongoq.lifecycle import Event
from mongoq.verdict import Verdict
from mongoq.work.attempt import LiveAttempt
from mongoq.work.finisher import FinishBuffer, Settled

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
