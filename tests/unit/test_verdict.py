"""What becomes of a task by how its attempt ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.errors import InvalidTask
from mongoq.core.judging.verdict import Lost, Outcome, Raised, Released, Returned, Verdict, judge
from mongoq.core.lifecycle import Event
from mongoq.core.signals import (
    Cancel,
    DeadlineExceeded,
    Fail,
    Interrupted,
    Interruption,
    Move,
    Retry,
    Signal,
    Snooze,
    Stop,
)
from mongoq.core.tasks.attempt import Failure
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from tests.unit.verdicts import KEEP_COMPLETED, KEEP_FAILED, NOW, POLICY, raised, verdict_of

PAST = NOW - timedelta(seconds=1)
Make = Callable[..., Task]


def test_a_return_completes_with_its_value(make_task: Make) -> None:
    assert verdict_of(make_task(), Returned(7)) == Verdict(Event.COMPLETE, result=7, keep=KEEP_COMPLETED)


@pytest.mark.parametrize("fields", [{"expires_at": PAST}, {"attempts": 9}, {"lost_leases": 4}])
def test_a_return_completes_whatever_else_is_true(make_task: Make, fields: dict[str, Any]) -> None:
    verdict = verdict_of(make_task(**fields), Returned(), cancelled=True, max_retries=0)
    assert verdict.event is Event.COMPLETE


@pytest.mark.parametrize("attempts, wait", [(1, 10), (2, 20), (7, 70)])
def test_a_failure_is_retried_after_its_backoff(make_task: Make, attempts: int, wait: int) -> None:
    verdict = verdict_of(make_task(attempts=attempts), raised(ValueError("no")))
    assert (verdict.event, verdict.charged) == (Event.RETRY, True)
    assert verdict.run_at == NOW + timedelta(seconds=wait)
    assert verdict.error is not None
    assert (verdict.error.type, verdict.error.message, verdict.error.attempt) == ("ValueError", "no", attempts)
    assert (verdict.error.at, verdict.error.worker) == (NOW, "here:1:x")
    assert "ValueError: no" in verdict.error.traceback
    assert verdict.keep is None


def test_the_backoff_counts_charged_attempts_only(make_task: Make) -> None:
    verdict = verdict_of(make_task(attempts=9, uncharged=7), raised(ValueError()))
    assert verdict.run_at == NOW + timedelta(seconds=20)


@pytest.mark.parametrize(
    "max_retries, attempts, uncharged, event",
    [
        (0, 1, 0, Event.FAIL),
        (0, 2, 1, Event.FAIL),
        (3, 3, 0, Event.RETRY),
        (3, 4, 0, Event.FAIL),
        (3, 5, 2, Event.RETRY),
        (3, 6, 2, Event.FAIL),
        (None, 1_000_000, 0, Event.RETRY),
    ],
)
def test_a_task_fails_when_its_charged_attempts_exceed_its_retries(
    make_task: Make, max_retries: int | None, attempts: int, uncharged: int, event: Event
) -> None:
    task = make_task(attempts=attempts, uncharged=uncharged)
    for ending in (raised(ValueError()), raised(Retry()), raised(Retry(delay=5)), raised(DeadlineExceeded())):
        verdict = verdict_of(task, ending, max_retries=max_retries)
        assert verdict.event is event
        assert verdict.keep == (KEEP_FAILED if event is Event.FAIL else None)
        assert verdict.error is not None


def test_retry_waits_as_long_as_it_says_or_by_the_backoff(make_task: Make) -> None:
    assert verdict_of(make_task(), raised(Retry(delay=3))).run_at == NOW + timedelta(seconds=3)
    assert verdict_of(make_task(), raised(Retry(delay=0))).run_at == NOW
    assert verdict_of(make_task(), raised(Retry())).run_at == NOW + timedelta(seconds=10)


@pytest.mark.parametrize("signal", [Retry("later"), Fail("never")], ids=lambda signal: type(signal).__name__)
def test_a_signal_raised_from_an_exception_keeps_its_type_and_traceback(make_task: Make, signal: Signal) -> None:
    cause = raised(KeyError("inner")).error
    error = verdict_of(make_task(), raised(signal, cause)).error
    assert error is not None
    assert (error.type, error.message) == ("KeyError", "'inner'")
    assert "raise error from cause" in error.traceback


def test_a_signal_by_itself_is_told_without_a_traceback(make_task: Make) -> None:
    error = verdict_of(make_task(), raised(Fail("bad address"))).error
    assert error is not None
    assert (error.type, error.message, error.traceback) == ("Fail", "bad address", "")


def test_fail_ends_a_task_whatever_retries_are_left(make_task: Make) -> None:
    verdict = verdict_of(make_task(), raised(Fail("no")), max_retries=100)
    assert (verdict.event, verdict.keep) == (Event.FAIL, KEEP_FAILED)


def test_stop_releases_the_task_uncharged(make_task: Make) -> None:
    verdict = verdict_of(make_task(attempts=5), raised(Stop("no disk"), OSError()), max_retries=0)
    assert verdict == Verdict(Event.RELEASE, charged=False, note="no disk")


def test_snooze_is_not_charged_and_no_error(make_task: Make) -> None:
    verdict = verdict_of(make_task(attempts=5), raised(Snooze(60, "too early")), max_retries=0)
    assert verdict == Verdict(Event.SNOOZE, run_at=NOW + timedelta(minutes=1), charged=False, note="too early")


def test_move_names_the_queue_and_keeps_what_it_was_raised_from(make_task: Make) -> None:
    assert verdict_of(make_task(), raised(Move("slow", "large"))) == Verdict(Event.MOVE, queue="slow", note="large")
    verdict = verdict_of(make_task(), raised(Move("slow"), ValueError("why")))
    assert verdict.error is not None
    assert verdict.error.message == "why"


@pytest.mark.parametrize("ending", [Released(), Lost(), Raised(ValueError()), Raised(Snooze(1)), Raised(Fail())])
def test_a_cancel_request_ends_every_attempt_that_did_not_return(make_task: Make, ending: Outcome) -> None:
    verdict = verdict_of(make_task(), ending, cancelled=True)
    assert (verdict.event, verdict.keep, verdict.run_at) == (Event.CANCEL, KEEP_FAILED, None)


def test_a_handler_may_cancel_its_own_task(make_task: Make) -> None:
    assert verdict_of(make_task(), raised(Cancel("sold out"))) == Verdict(
        Event.CANCEL, keep=KEEP_FAILED, note="sold out"
    )


@pytest.mark.parametrize(
    "ending",
    [Released(), Lost(), Raised(ValueError("x")), Raised(Snooze(1)), Raised(Retry()), Raised(DeadlineExceeded())],
)
def test_an_attempt_that_ends_past_the_expiry_is_not_repeated(make_task: Make, ending: Outcome) -> None:
    verdict = verdict_of(make_task(expires_at=NOW), ending)
    assert (verdict.event, verdict.keep, verdict.run_at) == (Event.EXPIRE, KEEP_FAILED, None)
    assert (verdict.error is not None) == isinstance(ending, Raised)
    assert verdict_of(make_task(expires_at=NOW + timedelta(milliseconds=1)), ending).event is not Event.EXPIRE


@pytest.mark.parametrize("reason", [reason for reason in Interruption if reason is not Interruption.DEADLINE])
def test_a_handler_that_was_interrupted_gives_its_task_back_uncharged(make_task: Make, reason: Interruption) -> None:
    released = Verdict(Event.RELEASE, charged=False)
    assert verdict_of(make_task(attempts=9), raised(Interrupted(reason)), max_retries=0) == released
    assert verdict_of(make_task(attempts=9), Released(), max_retries=0) == released


def test_a_deadline_counts_as_a_failure(make_task: Make) -> None:
    verdict = verdict_of(make_task(), raised(DeadlineExceeded()))
    assert verdict.event is Event.RETRY
    assert verdict.charged
    assert verdict.error is not None
    assert verdict.error.type == "DeadlineExceeded"


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), StopIteration()], ids=repr)
def test_what_would_end_a_program_is_a_failure_like_any_other(make_task: Make, error: BaseException) -> None:
    verdict = verdict_of(make_task(), raised(error))
    assert verdict.event is Event.RETRY
    assert verdict.error is not None
    assert verdict.error.type == type(error).__name__


@pytest.mark.parametrize("lost_leases", [0, 1])
def test_a_lease_lost_among_many_is_refunded_and_makes_a_suspect(make_task: Make, lost_leases: int) -> None:
    expected = Verdict(Event.RESCUE, charged=False, lease_lost=True)
    assert verdict_of(make_task(lost_leases=lost_leases, attempts=9), Lost(), max_retries=0) == expected


@pytest.mark.parametrize("lost_leases", [2, 3])
def test_a_lease_lost_alone_is_charged_and_waits(make_task: Make, lost_leases: int) -> None:
    verdict = verdict_of(make_task(lost_leases=lost_leases, attempts=2, uncharged=1), Lost())
    assert (verdict.event, verdict.charged, verdict.lease_lost) == (Event.RESCUE, True, True)
    assert verdict.run_at == NOW + timedelta(seconds=10)
    assert verdict.error is not None
    assert (verdict.error.type, verdict.error.worker) == ("WorkerLost", "host:1:a")
    assert f"{lost_leases + 1} times in a row" in verdict.error.message


def test_a_lease_lost_again_fails_a_task_without_retries_left(make_task: Make) -> None:
    verdict = verdict_of(make_task(lost_leases=2, attempts=3, uncharged=1), Lost(), max_retries=1)
    assert (verdict.event, verdict.keep) == (Event.FAIL, KEEP_FAILED)
    assert verdict_of(make_task(lost_leases=2, attempts=2, uncharged=1), Lost(), max_retries=1).event is Event.RESCUE


def test_five_lost_leases_in_a_row_end_a_task_even_with_unlimited_retries(make_task: Make) -> None:
    verdict = verdict_of(make_task(lost_leases=4, attempts=5), Lost())
    assert verdict.event is Event.FAIL
    assert verdict.error is not None


NEXT = NewTask({"n": 1})


@pytest.mark.parametrize(
    "value", [Modification(insert=[NEXT]), NEXT, [NEXT], (NEXT,)], ids=lambda it: type(it).__name__
)
def test_what_a_handler_returns_for_others_is_no_result(make_task: Make, value: Any) -> None:
    verdict = verdict_of(make_task(), Returned(value))
    assert (verdict.event, verdict.result) == (Event.COMPLETE, None)
    assert verdict.modification == Modification(insert=[NEXT])


@pytest.mark.parametrize("value", [[NEXT, 1], (None, NEXT), [Modification()]], ids=str)
def test_new_tasks_stand_beside_nothing_else(make_task: Make, value: Any) -> None:
    with pytest.raises(InvalidTask, match="a list of NewTasks and nothing else"):
        verdict_of(make_task(), Returned(value))


@pytest.mark.parametrize("value", [None, [], [1], {"n": 1}], ids=str)
def test_any_other_value_is_the_result(make_task: Make, value: Any) -> None:
    verdict = verdict_of(make_task(), Returned(value))
    assert (verdict.result, verdict.modification) == (value, None)


def test_only_a_failure_goes_to_the_error_queue(make_task: Make) -> None:
    def judged(ending: Outcome, **fields: Any) -> Verdict:
        policy = POLICY.over({"max_retries": 1})
        return judge(make_task(**fields), ending, policy, NOW, "w", error_queue=lambda name: f"{name}/err")

    failed = judged(Raised(Fail("no")))
    assert (failed.event, failed.queue, failed.keep) == (Event.MOVE, "default/err", None)
    assert failed.error is not None
    assert judged(Raised(ValueError("no"))).event is Event.RETRY
    assert judged(Raised(Cancel())).event is Event.CANCEL
    assert judged(Returned()).event is Event.COMPLETE
    assert judged(Raised(Fail("no")), queue="default/err", moved_from="default").event is Event.FAIL


@pytest.mark.parametrize(
    "ending, fields, failure",
    [
        (raised(ValueError()), {}, Failure.EXHAUSTED),
        (raised(Fail("no")), {}, Failure.HANDLER),
        (Lost(), {"lost_leases": 4}, Failure.LOST),
    ],
)
def test_a_failure_tells_why(make_task: Make, ending: Any, fields: dict[str, Any], failure: Failure) -> None:
    verdict = verdict_of(make_task(**fields), ending, max_retries=0)
    assert (verdict.event, verdict.failure) == (Event.FAIL, failure)
