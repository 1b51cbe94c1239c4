"""What becomes of an error that leaves a handler's own transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from pymongo.errors import OperationFailure

from mongoq.core.clock import elapsed
from mongoq.core.errors import LeaseLost, StorageUnavailable
from mongoq.core.judging.policy import Policy
from mongoq.core.signals import Snooze
from mongoq.storage.commands import Op
from mongoq.storage.control import Pause
from mongoq.storage.drivers.errors import translated
from mongoq.worker import task_transaction
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.task_transaction import HELD, holding_lease

Make = Callable[..., LiveAttempt]

CONFLICT = OperationFailure("met", 112, {"errorLabels": ["TransientTransactionError"]})
UNKNOWN = StorageUnavailable("committed or not?", ambiguous=True)
UNKNOWN.__cause__ = OperationFailure("late", 50, {"errorLabels": ["UnknownTransactionCommitResult"]})


def nothing(*_: object) -> Op[None]:
    yield from ()


def run(operation: Op[None]) -> int:
    """Run an operation, which asks for nothing but pauses; for how many."""
    pauses = 0
    for asked in operation:
        assert isinstance(asked, Pause)
        pauses += 1
    return pauses


def ended(attempt: LiveAttempt, error: Exception) -> BaseException:
    """Let a transaction end with this error; what the attempt then takes it for."""

    def block() -> Op[None]:
        yield from ()
        raise error

    with pytest.raises(type(error)):
        run(holding_lease(attempt.task, nothing, block))
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


def entered_too_soon() -> Op[None]:
    yield from ()
    pytest.fail("the block is not entered")


def test_a_begin_that_finds_no_server_is_tried_again(make_attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[timedelta] = []
    left: list[float] = []

    def renew(lease: timedelta) -> Op[None]:
        tries.append(lease)
        if len(tries) < 3:
            raise StorageUnavailable("not the primary just now")
        yield from ()

    attempt = make_attempt(elapsed())

    def block() -> Op[None]:
        left.append(attempt.lease_left)
        yield from ()

    assert run(holding_lease(attempt.task, renew, block)) == 2
    assert (tries, attempt.committed) == ([HELD] * 3, True)
    assert left[0] > 60

    tries.clear()
    monkeypatch.setattr(task_transaction, "REPLAYED_FOR", -1.0)
    attempt = make_attempt(elapsed())
    with pytest.raises(StorageUnavailable) as caught:
        run(holding_lease(attempt.task, renew, entered_too_soon))
    assert isinstance(attempt.effective_error(caught.value), Snooze)
    assert attempt.lease_left <= 30, "what was not written is not counted on"


def test_a_task_that_is_lost_does_not_enter_the_block(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed())

    def renew(_: timedelta) -> Op[None]:
        yield from ()
        raise LeaseLost([attempt.key])

    with pytest.raises(LeaseLost) as caught:
        run(holding_lease(attempt.task, renew, entered_too_soon))
    assert attempt.effective_error(caught.value) is caught.value
    assert not attempt.in_transaction


def test_a_lease_that_lasts_long_enough_is_not_extended(make_attempt: Make) -> None:
    attempt = make_attempt(elapsed(), policy=Policy(lease=timedelta(hours=1)))
    renewals: list[timedelta] = []

    def renew(lease: timedelta) -> Op[None]:
        renewals.append(lease)
        yield from ()

    run(holding_lease(attempt.task, renew, nothing))
    assert renewals == []
