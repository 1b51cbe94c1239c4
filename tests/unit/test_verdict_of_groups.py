"""What an attempt means that ended by several errors: groups, and causes of each other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from mongoq.core.judging.verdict import Raised
from mongoq.core.lifecycle import Event
from mongoq.core.signals import (
    Cancel,
    DeadlineExceeded,
    Fail,
    Interrupted,
    Interruption,
    Move,
    Retry,
    Snooze,
    Stop,
)
from mongoq.core.tasks.task import Task
from tests.unit.verdicts import NOW, raised, verdict_of

Make = Callable[..., Task]


def grouped(*errors: BaseException) -> Raised:
    return raised(BaseExceptionGroup("all", [BaseExceptionGroup("inner", list(errors))]))


STOPPED = Interrupted(Interruption.SHUTDOWN)


@pytest.mark.parametrize(
    "errors, event",
    [
        ([Fail("no"), Cancel(), Move("other")], Event.FAIL),
        ([Cancel(), STOPPED], Event.CANCEL),
        ([Retry(), Move("other")], Event.MOVE),
        ([ValueError(), STOPPED, Retry()], Event.RELEASE),
        ([ValueError(), Snooze(1)], Event.RETRY),
        ([DeadlineExceeded(), Snooze(1)], Event.RETRY),
        ([Interrupted(Interruption.DEADLINE), Snooze(1)], Event.RETRY),
        ([Snooze(1)], Event.SNOOZE),
    ],
)
def test_a_group_stands_for_the_strongest_that_it_holds(
    make_task: Make, errors: list[BaseException], event: Event
) -> None:
    assert verdict_of(make_task(), grouped(*errors)).event is event
    assert verdict_of(make_task(), grouped(*reversed(errors))).event is event


def test_of_equal_signals_in_a_group_the_longest_delay_counts(make_task: Make) -> None:
    verdict = verdict_of(make_task(), grouped(Retry(delay=5), Retry(), Retry(delay=90), Snooze(900)))
    assert verdict.run_at == NOW + timedelta(seconds=90)


def test_a_group_of_errors_is_told_with_all_of_them(make_task: Make) -> None:
    verdict = verdict_of(make_task(), grouped(ValueError("one"), OSError("two"), Snooze(1)))
    assert verdict.error is not None
    assert verdict.error.type == "ExceptionGroup"
    assert "one" in verdict.error.traceback
    assert "two" in verdict.error.traceback


@pytest.mark.parametrize(
    "signal, event",
    [
        (Fail("no"), Event.FAIL),
        (Cancel("no"), Event.CANCEL),
        (Move("other"), Event.MOVE),
        (Snooze(60), Event.SNOOZE),
        (Retry(delay=60), Event.RETRY),
        (Stop("no"), Event.RELEASE),
        (STOPPED, Event.RELEASE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_signal_counts_also_as_the_cause_of_another_exception(
    make_task: Make, signal: BaseException, event: Event
) -> None:
    wrapped = raised(RuntimeError("outer"), raised(KeyError("inner"), signal).error)
    assert verdict_of(make_task(), wrapped).event is event
    assert verdict_of(
        make_task(), grouped(ValueError("beside"), wrapped.error, Snooze(1))
    ).event is event or isinstance(signal, Snooze), "of a group as well, unless an ordinary error outweighs it"


def test_a_signal_that_is_a_cause_is_told_as_the_error_raised_from_it(make_task: Make) -> None:
    verdict = verdict_of(make_task(), raised(RuntimeError("outer"), Fail("refused")))
    assert verdict.error is not None
    assert (verdict.error.type, verdict.error.message, verdict.note) == ("RuntimeError", "outer", "refused")
    assert "Fail: refused" in verdict.error.traceback


def test_a_deadline_that_is_a_cause_leaves_the_error_as_it_is(make_task: Make) -> None:
    verdict = verdict_of(make_task(), raised(RuntimeError("outer"), DeadlineExceeded()))
    assert (verdict.event, verdict.error and verdict.error.type) == (Event.RETRY, "RuntimeError")


def test_what_was_only_raised_while_a_signal_was_handled_is_an_error(make_task: Make) -> None:
    error = raised(RuntimeError("in a clean-up")).error
    error.__context__ = Snooze(60)
    assert verdict_of(make_task(), Raised(error)).event is Event.RETRY


def test_groups_and_causes_that_hold_each_other_are_judged(make_task: Make) -> None:
    part = ValueError("part")
    part.__cause__ = group = ExceptionGroup("all", [part])
    group.__cause__ = part
    assert verdict_of(make_task(), Raised(group)).event is Event.RETRY
