"""What becomes of an error that leaves a handler's own transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from pymongo.errors import OperationFailure

from mongoq.core.clock import elapsed
from mongoq.core.errors import LeaseLost, StorageUnavailable
from mongoq.core.signals import Snooze
from mongoq.storage.drivers.errors import translated
from mongoq.worker import task_transaction
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.task_transaction import holding_lease

Make = Callable[..., LiveAttempt]

CONFLICT = OperationFailure("met", 112, {"errorLabels": ["TransientTransactionError"]})
UNKNOWN = StorageUnavailable("committed or not?", ambiguous=True)
UNKNOWN.__cause__ = OperationFailure("late", 50, {"errorLabels": ["UnknownTransactionCommitResult"]})


def ended(attempt: LiveAttempt, error: Exception) -> BaseException:
    """Let a transaction end with this error; what the attempt then takes it for."""
    with pytest.raises(type(error)), holding_lease(attempt.task, lambda _: None):
        raise error
    return attempt.effective_error(error)


@pytest.mark.parametrize("error", [CONFLICT, translated(CONFLICT, "here"), UNKNOWN], ids=["user", "mongoq", "commit"])
def test_what_may_be_run_again_is_run_again_uncharged(make_attempt: Make, error: Exception) -> None:
    attempt = make_attempt(elapsed())
    retry = ended(attempt, error)
    assert isinstance(retry, Snooze)
    assert timedelta(0) < retry.delay <= timedelta(seconds=1)
    other = ValueError()
    assert attempt.effective_error(other) is other


@pytest.mark.parametrize("error", [ValueError(), StorageUnavailable("of another server"), OperationFailure("no", 13)])
def test_any_other_error_is_a_failure(make_attempt: Make, error: Exception) -> None:
    assert ended(make_attempt(elapsed()), error) is error


def test_what_always_meets_another_write_does_not_spin(make_attempt: Make) -> None:
    retry = ended(make_attempt(elapsed(), attempts=50, uncharged=49), CONFLICT)
    assert isinstance(retry, Snooze)
    assert retry.delay >= timedelta(seconds=5)


def test_a_transaction_that_the_server_aborted_for_its_length_is_a_failure(
    make_attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_transaction, "LIFETIME", 0.0)
    assert ended(make_attempt(elapsed()), CONFLICT) is CONFLICT


def test_a_later_transaction_that_ends_otherwise_speaks_for_the_attempt(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed())
    ended(attempt, CONFLICT)
    ended(attempt, ValueError())
    assert attempt.effective_error(CONFLICT) is CONFLICT


def test_a_begin_that_finds_no_server_is_tried_again(make_attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[timedelta] = []

    def renew(lease: timedelta) -> None:
        tries.append(lease)
        if len(tries) < 3:
            raise StorageUnavailable("not the primary just now")

    attempt = make_attempt(elapsed())
    with holding_lease(attempt.task, renew):
        assert attempt.lease_until > elapsed() + 60
    assert len(tries) == 3

    tries.clear()
    monkeypatch.setattr(task_transaction, "REPLAYED_FOR", -1.0)
    attempt = make_attempt(elapsed())
    with pytest.raises(StorageUnavailable) as caught, holding_lease(attempt.task, renew):
        pytest.fail("the block is not entered")
    assert isinstance(attempt.effective_error(caught.value), Snooze)


def test_a_task_that_is_lost_does_not_enter_the_block(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed())

    def renew(_: timedelta) -> None:
        raise LeaseLost([attempt.key])

    with pytest.raises(LeaseLost) as caught, holding_lease(attempt.task, renew):
        pytest.fail("the block is not entered")
    assert attempt.effective_error(caught.value) is caught.value
    assert not attempt.in_transaction
