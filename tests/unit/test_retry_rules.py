"""Which errors are retried: `retry_on` and `no_retry_on`, by class, by name and by predicate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.errors import ConfigurationError, InvalidTask
from mongoq.core.judging.policy import Policy
from mongoq.core.judging.retrying import RetryRules, checked_matchers
from mongoq.core.judging.verdict import Raised, Verdict, judge
from mongoq.core.lifecycle import Event
from mongoq.core.options import checked_options
from mongoq.core.signals import DeadlineExceeded, Retry
from mongoq.core.tasks.attempt import Failure
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.core.validation import Checker

Make = Callable[..., Task]


class Refused(Exception):
    pass


class RefusedForGood(Refused):
    pass


def rules(**given: Any) -> RetryRules:
    checker = Checker()
    checked = {name: checked_matchers(checker, name, value) for name, value in given.items()}
    checker.finish()
    return RetryRules(**checked)


def from_(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def is_busy(error: BaseException) -> bool:
    return "busy" in str(error)


@pytest.mark.parametrize(
    "given, error, refusal",
    [
        ({}, ValueError(), None),
        ({"retry_on": OSError}, ConnectionError(), None),
        ({"retry_on": (OSError,)}, ValueError(), "retry_on"),
        ({"retry_on": ()}, ValueError(), "retry_on"),
        ({"retry_on": Exception}, DeadlineExceeded(), "retry_on"),
        ({"retry_on": (ValueError, DeadlineExceeded)}, DeadlineExceeded(), None),
        ({"no_retry_on": Refused}, RefusedForGood(), "no_retry_on"),
        ({"no_retry_on": RefusedForGood}, Refused(), None),
        ({"no_retry_on": "Refused"}, RefusedForGood(), "no_retry_on"),
        ({"no_retry_on": "builtins.KeyError"}, KeyError(), "no_retry_on"),
        ({"no_retry_on": "elsewhere.Refused"}, Refused(), None),
        ({"retry_on": OSError, "no_retry_on": ConnectionError}, ConnectionResetError(), "no_retry_on"),
        ({"no_retry_on": Refused}, from_(ValueError(), from_(KeyError(), Refused())), "no_retry_on"),
        ({"retry_on": OSError}, from_(ValueError(), OSError()), None),
        ({"no_retry_on": Refused}, ExceptionGroup("all", [OSError(), Refused()]), "no_retry_on"),
        ({"retry_on": OSError}, ExceptionGroup("all", [OSError(), ValueError()]), "retry_on"),
        ({"retry_on": (OSError, ValueError)}, ExceptionGroup("all", [OSError(), ValueError()]), None),
        ({"retry_on": ExceptionGroup}, ExceptionGroup("all", [OSError(), ValueError()]), None),
        ({"retry_on": is_busy}, ValueError("it is busy"), None),
        ({"retry_on": is_busy}, ValueError("it is gone"), "retry_on"),
        ({"no_retry_on": [is_busy]}, ExceptionGroup("all", [OSError(), ValueError("busy")]), "no_retry_on"),
    ],
)
def test_an_error_is_retried_where_the_rules_say_so(
    given: dict[str, Any], error: BaseException, refusal: str | None
) -> None:
    assert rules(**given).refusal(error) == refusal


@pytest.mark.parametrize("name", ["retry_on", "no_retry_on"])
def test_a_predicate_that_raises_is_passed_over_and_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    def broken(error: BaseException) -> bool:
        raise RuntimeError("of its own")

    assert rules(**{name: broken}).refusal(ValueError()) is None
    assert "raised, and is passed over" in caplog.text


def test_causes_that_go_round_in_a_circle_are_followed_once() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert rules(no_retry_on=Refused).refusal(first) is None


@pytest.mark.parametrize("given", [int, 7, "two words", [None], "", ["a"] * 65, {"retry": 1}.items()])
def test_what_names_no_error_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="retry_on"):
        rules(retry_on=given)


def test_a_task_carries_classes_by_name_and_no_predicate() -> None:
    carried = NewTask(retry_on=(OSError, "shop.Busy"), no_retry_on=Refused).carried
    assert carried["retry_on"] == ("builtins.OSError", "shop.Busy")
    assert carried["no_retry_on"] == (f"{__name__}.Refused",)
    with pytest.raises(InvalidTask, match="a value that can travel with the task"):
        NewTask(no_retry_on=is_busy)


def test_a_queue_carries_its_rules_to_tasks_unless_they_hold_a_predicate() -> None:
    def carried(**policy: Any) -> dict[str, Any]:
        options = checked_options(
            namespace="n", max_age=None, workers=None, grace=1, max_task_bytes=2**20, policy=policy
        )
        return dict(options.carried)

    assert carried(retry_on=()) == {"retry_on": ()}
    assert carried(no_retry_on=[OSError, is_busy], retry_on=None) == {}


def judged(task: Task, error: BaseException, **policy: Any) -> Verdict:
    return judge(task, Raised(error), Policy(**policy), task.read_at, "here:1:x")


def test_an_error_that_is_not_retried_fails_the_task_at_once(make_task: Make) -> None:
    verdict = judged(make_task(), ValueError("no"), retry_on=("builtins.OSError",))
    assert (verdict.event, verdict.failure) == (Event.FAIL, Failure.NOT_RETRIED)
    assert judged(make_task(), OSError("no"), retry_on=("builtins.OSError",)).event is Event.RETRY


def test_retry_asks_for_another_attempt_whatever_the_rules_say(make_task: Make) -> None:
    error = from_(Retry(), ValueError("no"))
    assert judged(make_task(), error, retry_on=(), no_retry_on=("builtins.ValueError",)).event is Event.RETRY


def test_retry_is_bounded_by_the_retries_of_the_task(make_task: Make) -> None:
    verdict = judged(make_task(), Retry(delay=5), max_retries=0)
    assert (verdict.event, verdict.failure) == (Event.FAIL, Failure.EXHAUSTED)
