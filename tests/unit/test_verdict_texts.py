"""The texts of errors as they are stored: a user's exceptions may hold, and do, anything."""

from __future__ import annotations

from collections.abc import Callable

import bson
import pytest

from mongoq.core.clock import FrozenClock
from mongoq.core.failures import LONGEST_MESSAGE, LONGEST_TRACEBACK
from mongoq.core.judging.policy import Policy
from mongoq.core.judging.verdict import Raised, Verdict, judge
from mongoq.core.signals import Cancel, Move, Signal, Snooze
from mongoq.core.tasks.task import Task, TaskError
from mongoq.storage.documents.encoding import error_document


@pytest.fixture
def verdict_of(make_task: Callable[..., Task], clock: FrozenClock) -> Callable[[BaseException], Verdict]:
    return lambda error: judge(make_task(), Raised(error), Policy(), clock.now(), "here:1:x")


def told(verdict: Verdict) -> TaskError:
    """The error of a verdict, which BSON can carry."""
    assert verdict.error is not None
    bson.encode(error_document(verdict.error))
    return verdict.error


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


class Chatty(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307 -- the fault


@pytest.mark.parametrize("error", [Mute(), Chatty()], ids=lambda error: type(error).__name__)
def test_an_exception_whose_text_cannot_be_made_is_still_told(
    verdict_of: Callable[[BaseException], Verdict], error: Exception
) -> None:
    described = told(verdict_of(error))
    assert (described.type, described.message) == (type(error).__name__, "(its text could not be made)")


def test_surrogates_and_nul_are_replaced(verdict_of: Callable[[BaseException], Verdict]) -> None:
    described = told(verdict_of(ValueError("a\udcffb\0c")))
    assert described.message == "a?b\N{REPLACEMENT CHARACTER}c"
    assert "\0" not in described.traceback


def test_a_long_message_keeps_its_beginning_and_a_long_traceback_its_end(
    verdict_of: Callable[[BaseException], Verdict],
) -> None:
    described = told(verdict_of(ValueError("start" + "é" * 50_000 + "end")))
    assert described.message.startswith("start")
    assert len(described.message) == LONGEST_MESSAGE
    assert described.traceback.endswith("end\n")
    assert len(described.traceback) == LONGEST_TRACEBACK


@pytest.mark.parametrize(
    "make",
    [Cancel, lambda reason: Snooze(1, reason), lambda reason: Move("q", reason)],
    ids=["Cancel", "Snooze", "Move"],
)
def test_the_reason_of_a_signal_is_cut_and_cleaned_like_a_message(
    verdict_of: Callable[[BaseException], Verdict], make: Callable[[str], Signal]
) -> None:
    note = verdict_of(make("\ud800" + "x" * 50_000)).note
    assert note is not None
    assert note.startswith("?x")
    assert len(note) == LONGEST_MESSAGE
    assert verdict_of(make("")).note is None
    assert verdict_of(make(404)).note == "404"  # type: ignore[arg-type]
