from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq.errors import StorageRefused, StorageUnavailable
from mongoq.lifecycle import Event
from mongoq.modification import Modification
from mongoq.storage.context import Context
from mongoq.telemetry import Telemetry
from mongoq.verdict import Verdict
from mongoq.work.attempt import LiveAttempt
from mongoq.work.finisher import FinishBuffer, Finisher
from mongoq.work.shared import Shared

Make = Callable[..., LiveAttempt]


@pytest.fixture
def finisher_on(context: Context, make_attempt: Make) -> Callable[..., tuple[Finisher, FinishBuffer]]:
    """Give `finisher_on(run)`: a finisher whose operations `run` answers, and a buffer of three endings."""

    def make(run: Callable[[Any], Any]) -> tuple[Finisher, FinishBuffer]:
        buffer = FinishBuffer()
        changing = Verdict(Event.COMPLETE, modification=Modification())
        for key, verdict in (("a", Verdict(Event.COMPLETE)), ("b", changing), ("c", Verdict(Event.COMPLETE))):
            buffer.add(make_attempt(0.0, _id=key), verdict)
        shared = Shared(context, run, "w", Telemetry())
        quiet: Any = lambda *_: None  # noqa: E731 -- nobody is to be told
        return Finisher(shared, buffer, taken=quiet, written=quiet, refused=quiet), buffer

    return make


def test_no_ending_is_lost_where_the_server_goes_away(finisher_on: Callable[..., Any]) -> None:
    def run(operation: Any) -> Any:
        operation.close()
        raise StorageUnavailable("gone")

    finisher, buffer = finisher_on(run)
    with pytest.raises(StorageUnavailable):
        finisher.step()
    assert [ending.attempt.key for ending in buffer.take(9)] == ["a", "b", "c"]


def test_no_ending_is_lost_where_the_server_goes_away_while_they_are_written_one_by_one(
    finisher_on: Callable[..., Any],
) -> None:
    answers = iter([StorageRefused("one of them"), StorageUnavailable("gone")])

    def run(operation: Any) -> Any:
        operation.close()
        raise next(answers)

    finisher, buffer = finisher_on(run)
    with pytest.raises(StorageUnavailable):
        finisher.step()
    assert {ending.attempt.key for ending in buffer.take(9)} == {"a", "b", "c"}
