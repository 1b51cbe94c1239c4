"""Endings on their way: in order, none lost or doubled, those set aside tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.ledger import GATHERED, Ledger
from mongoq.worker.stages import Completion, Wake

Make = Callable[..., LiveAttempt]
DONE = Verdict(Event.COMPLETE)


def filled(make_attempt: Make, count: int) -> Ledger:
    ledger = Ledger()
    for number in range(count):
        ledger.end(make_attempt(0.0, _id=f"k{number}"), DONE)
    return ledger


def keys(endings: list[Completion]) -> list[str]:
    return [ending.attempt.key for ending in endings]


def test_the_oldest_endings_are_taken_first(make_attempt: Make) -> None:
    ledger = filled(make_attempt, 5)
    assert keys(ledger.take(2)) == ["k0", "k1"]
    assert ledger.unwritten == 3
    assert keys(ledger.take(100)) == ["k2", "k3", "k4"]
    assert ledger.take(100) == []


def test_what_could_not_be_written_is_written_first_the_next_time(make_attempt: Make) -> None:
    ledger = filled(make_attempt, 4)
    ledger.take(2)
    ledger.end(make_attempt(0.0, _id="later"), DONE)
    ledger.give_back()
    ledger.give_back()
    assert keys(ledger.take(100)) == ["k0", "k1", "k2", "k3", "later"]


def test_no_ending_is_lost_or_doubled_between_threads(make_attempt: Make) -> None:
    ledger = Ledger()
    attempts = [make_attempt(0.0, _id=f"k{number}") for number in range(2_000)]

    def add(own: list[LiveAttempt]) -> None:
        for attempt in own:
            ledger.end(attempt, DONE)

    adders = [threading.Thread(target=add, args=(own,)) for own in (attempts[:1000], attempts[1000:])]
    for thread in adders:
        thread.start()
    taken: list[Completion] = []
    back = True
    while any(thread.is_alive() for thread in adders) or ledger.unwritten:
        batch = ledger.take(7)
        if back:
            ledger.give_back()
        else:
            taken += batch
            ledger.written(batch)
        back = not back
    assert sorted(keys(taken)) == sorted(attempt.key for attempt in attempts)


def test_what_is_set_aside_counts_and_comes_again_after_pauses_that_grow(make_attempt: Make) -> None:
    ledger = filled(make_attempt, 2)
    one, other = ledger.take(2)
    assert ledger.keep(one, 100)
    ledger.keep(other, 100)
    ledger.give_back()
    assert (ledger.unwritten, ledger.fresh) == (2, 0), "they take up room"
    assert ledger.kept_due(100) == []
    assert ledger.kept_due(160) == [one, other]
    assert not ledger.keep(one, 100), "no news"
    for _ in range(9):
        ledger.keep(one, 100)
    assert ledger.kept_due(101) == [other], "the pauses are its own"
    ledger.written([other])
    pause = ledger.write_after(100)
    assert pause is not None
    assert 1 < pause <= 5
    assert ledger.unwritten == 1


def test_what_is_set_aside_is_tried_often_where_there_is_no_time_left(make_attempt: Make) -> None:
    ledger = filled(make_attempt, 1)
    (ending,) = ledger.take(1)
    assert ledger.write_after(0) is None
    for _ in range(9):
        ledger.keep(ending, 100)
    ledger.hurry()
    assert ledger.kept_due(100) == [ending]
    pause = ledger.write_after(100)
    assert pause is not None
    assert pause < 0.1


def test_an_ending_wakes_the_finisher_but_while_endings_gather_and_handlers_run(make_attempt: Make) -> None:
    ledger = Ledger()
    busy = make_attempt(0.0)
    ledger.wait([busy])
    assert ledger.end(make_attempt(0.0), DONE) is Wake.ENDINGS
    ledger.gathering = True
    assert ledger.end(make_attempt(0.0), DONE) is Wake.ROOM
    while ledger.fresh < GATHERED - 1:
        ledger.end(make_attempt(0.0), DONE)
    assert ledger.end(make_attempt(0.0), DONE) is Wake.ENDINGS, "they are enough for a write"
    ledger.take(100)
    ledger.leave([busy])
    assert ledger.end(make_attempt(0.0), DONE) is Wake.ENDINGS, "nothing runs: nobody else will end"


@pytest.mark.parametrize("lost", [False, True])
def test_what_is_written_leaves_and_says_what_is_worth_waking(make_attempt: Make, *, lost: bool) -> None:
    ledger = Ledger()
    first, second = make_attempt(0.0, _id="a"), make_attempt(0.0, _id="b")
    ledger.claim([first, second])
    ledger.end(first, DONE)
    ledger.end(second, Verdict(Event.RETRY, run_at=first.task.run_at))
    a, b = ledger.take(2)
    assert ledger.written([a], [first] if lost else []) == [Wake.ROOM]
    assert ledger.written([b]) == [Wake.SCHEDULED, Wake.WORK], "it may be ready again"
    assert first.stage == ("lost" if lost else "written")
    assert (len(ledger), ledger.progress.is_set()) == (0, True)


@pytest.mark.parametrize(
    "last, wake",
    [
        (DONE, Wake.EMPTY),
        (Verdict(Event.COMPLETE, modification=Modification(insert=[NewTask()])), Wake.WORK),
        (Verdict(Event.RELEASE), Wake.WORK),
    ],
)
def test_the_last_ending_calls_for_a_claim_only_where_it_makes_a_task_ready(
    make_attempt: Make, last: Verdict, wake: Wake
) -> None:
    ledger = Ledger()
    attempts = [make_attempt(0.0, _id="a"), make_attempt(0.0, _id="b")]
    ledger.claim(attempts)
    for attempt, verdict in zip(attempts, (last, DONE), strict=True):
        ledger.end(attempt, verdict)
    assert ledger.written(ledger.take(2)) == [wake]
