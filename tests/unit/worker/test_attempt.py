from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.judging.policy import Policy
from mongoq.core.signals import DeadlineExceeded, Interrupted, Interruption
from mongoq.core.tasks.task import Task
from mongoq.worker.attempt import LiveAttempt

Make = Callable[..., LiveAttempt]


def test_a_fresh_attempt_has_no_limit_and_no_reason_to_stop(make_attempt: Make) -> None:
    task = make_attempt(elapsed()).task
    assert (task.time_left(), task.interruption, task.cancelled) == (None, None, False)
    task.raise_if_cancelled()


def test_a_task_that_nobody_runs_has_no_live_side(make_task: Callable[..., Task]) -> None:
    task = make_task()
    assert (task.attempt, task.time_left(), task.cancelled) == (None, None, False)


def test_the_live_side_does_not_make_a_task_another(make_attempt: Make, make_task: Callable[..., Task]) -> None:
    assert make_attempt(elapsed()).task == make_task()


def test_the_deadline_counts_from_the_start_of_the_handler(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed() - 20, policy=Policy(deadline=timedelta(seconds=10)))
    assert attempt.time_left() is None
    attempt.start()
    left = attempt.time_left()
    assert left is not None
    assert 9 < left <= 10


def test_the_time_left_is_never_less_than_none(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed())
    attempt.deadline_at = elapsed() - 5
    assert attempt.time_left() == 0


def test_the_lease_counts_from_before_the_claim_was_sent(make_attempt: Make) -> None:
    assert make_attempt(elapsed() - 29, policy=Policy(lease=timedelta(seconds=30))).interruption is None
    late = make_attempt(elapsed() - 30, policy=Policy(lease=timedelta(seconds=30)))
    assert late.interruption is Interruption.LEASE_LOST
    with pytest.raises(Interrupted, match="lease lost"):
        late.task.raise_if_cancelled()


def test_a_lost_lease_stays_lost_for_the_handler(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed() - 60)
    assert attempt.task.cancelled
    attempt.lease_until = elapsed() + 60
    assert attempt.interruption is Interruption.LEASE_LOST


def test_there_is_no_time_left_when_the_lease_is_over(make_attempt: Make) -> None:
    assert make_attempt(elapsed() - 60).task.time_left() == 0


@pytest.mark.parametrize("reason", [Interruption.CANCEL, Interruption.LEASE_LOST, Interruption.DEADLINE])
def test_an_interrupted_attempt_has_no_time_left(make_attempt: Make, reason: Interruption) -> None:
    attempt = make_attempt(elapsed())
    attempt.interrupt(reason)
    assert (attempt.time_left(), attempt.task.interruption) == (0, reason)


def test_a_shutdown_leaves_its_grace_as_far_as_the_deadline_does(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed(), policy=Policy(deadline=timedelta(seconds=10)))
    attempt.start()
    attempt.interrupt(Interruption.SHUTDOWN, limit=elapsed() + 100)
    assert 9 < (attempt.time_left() or 0) <= 10
    attempt.interrupt(Interruption.SHUTDOWN, limit=elapsed() + 2)
    assert 1 < (attempt.time_left() or 0) <= 2
    attempt.interrupt(Interruption.SHUTDOWN, limit=elapsed() + 50)
    assert (attempt.time_left() or 0) <= 2, "a second call can only shorten it"


def test_the_first_reason_to_stop_stays(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed())
    attempt.interrupt(Interruption.CANCEL)
    attempt.interrupt(Interruption.DEADLINE)
    assert attempt.interruption is Interruption.CANCEL


def test_a_deadline_is_raised_as_one(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed())
    attempt.interrupt(Interruption.DEADLINE)
    with pytest.raises(DeadlineExceeded):
        attempt.task.raise_if_cancelled()


def test_except_exception_does_not_hold_an_interruption() -> None:
    assert not issubclass(Interrupted, Exception)


def test_an_attempt_is_ended_once_however_many_threads_try(make_attempt: Make) -> None:
    for _ in range(50):
        attempt = make_attempt(elapsed())
        assert attempt.open
        gate = threading.Barrier(8)
        won: list[bool] = []

        def end(attempt: LiveAttempt = attempt, gate: threading.Barrier = gate, won: list[bool] = won) -> None:
            gate.wait()
            won.append(attempt.end())

        threads = [threading.Thread(target=end) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == [False] * 7 + [True]
        assert not attempt.open


def test_a_transaction_outlives_the_lease_it_began_under(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed() - 20, policy=Policy(lease=timedelta(seconds=10)))
    assert attempt.lease_left < 0
    attempt.begin_transaction(0.0)
    assert attempt.interruption is None
    attempt.end_transaction(committed=True)
    assert (attempt.interruption, attempt.committed) == (None, True)


def test_a_transaction_whose_lease_was_not_extended_leaves_it_as_it_was(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed() - 20, policy=Policy(lease=timedelta(seconds=10)))
    attempt.begin_transaction(elapsed() + 100)
    attempt.end_transaction(committed=False, extended=False)
    assert (attempt.in_transaction, attempt.interruption) == (False, Interruption.LEASE_LOST)


def test_a_transaction_that_was_aborted_leaves_the_extended_lease(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed() - 9, policy=Policy(lease=timedelta(seconds=10)))
    assert 0 < attempt.lease_left <= 1
    attempt.begin_transaction(elapsed() + 100)
    attempt.end_transaction(committed=False)
    assert (attempt.in_transaction, attempt.committed, attempt.interruption) == (False, False, None)
    assert attempt.lease_until > elapsed() + 90


def test_an_extension_never_shortens_a_lease(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed(), policy=Policy(lease=timedelta(hours=1)))
    before = attempt.lease_until
    attempt.begin_transaction(elapsed() + 100)
    assert attempt.lease_until == before


def test_a_block_that_outlives_every_transaction_is_left_alone_no_longer(
    make_attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = make_attempt(elapsed())
    attempt.begin_transaction(0.0)
    assert attempt.in_transaction
    monkeypatch.setattr("mongoq.worker.attempt.LONGEST_TRANSACTION", 0.0)
    attempt.begin_transaction(0.0)
    assert not attempt.in_transaction
