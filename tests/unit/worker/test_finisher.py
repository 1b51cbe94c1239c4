from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.lifecycle import Event
from mongoq.core.modification import Modification
from mongoq.core.verdict import Verdict
from mongoq.storage.context import Context
from mongoq.storage.drivers.errors import WRITE_CONFLICT
from mongoq.storage.operations.finish import Finished
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.finisher import GATHERED, LONGEST_GATHERING, SHORTEST_GATHERING, FinishBuffer, Finisher

Make = Callable[..., LiveAttempt]


@pytest.fixture
def finisher_on(context: Context, make_attempt: Make) -> Callable[..., tuple[Finisher, FinishBuffer]]:
    """Give `finisher_on(run)`: a finisher whose operations `run` answers, and a buffer of three endings."""

    def make(
        run: Callable[[Any], Any], gather_for: float = 0, taken: Callable[[], None] = lambda: None
    ) -> tuple[Finisher, FinishBuffer]:
        buffer = FinishBuffer()
        changing = Verdict(Event.COMPLETE, modification=Modification())
        for key, verdict in (("a", Verdict(Event.COMPLETE)), ("b", changing), ("c", Verdict(Event.COMPLETE))):
            buffer.add(make_attempt(0.0, _id=key), verdict)
        shared = Runtime(context, run, "w", Telemetry())
        quiet: Any = lambda *_: None  # noqa: E731 -- nobody is to be told
        finisher = Finisher(shared, buffer, gather_for=lambda: gather_for, taken=taken, written=quiet, refused=quiet)
        return finisher, buffer

    return make


def test_no_ending_is_lost_where_the_server_goes_away(finisher_on: Callable[..., Any]) -> None:
    def run(operation: Any) -> Any:
        operation.close()
        raise StorageUnavailable("gone")

    finisher, buffer = finisher_on(run)
    with pytest.raises(StorageUnavailable):
        finisher.step()
    assert [ending.attempt.key for ending in buffer.take(9)] == ["a", "b", "c"]


def test_an_ending_that_its_own_transaction_holds_up_keeps_no_other_waiting(finisher_on: Callable[..., Any]) -> None:
    written: list[str] = []

    def run(operation: Any) -> Finished:
        written.append("some")
        return accept(operation)

    finisher, buffer = finisher_on(run)
    held_up, *others = buffer.take(9)
    held_up.attempt.pause()
    buffer.give_back([held_up])
    assert finisher.step()
    assert (written, len(buffer)) == ([], 1)
    buffer.give_back(others[1:])
    assert finisher.step()
    assert written == ["some"]
    held_up.attempt.resume(committed=False)
    buffer.hurry()
    assert finisher.step() is None
    assert written == ["some", "some"]


def test_an_ending_that_its_own_transaction_overtook_is_not_written(finisher_on: Callable[..., Any]) -> None:
    def run(operation: Any) -> Any:
        operation.close()
        pytest.fail("nothing is to be written")

    finisher, buffer = finisher_on(run)
    overtaken, *_ = buffer.take(9)
    overtaken.attempt.pause()
    buffer.give_back([overtaken])
    assert finisher.step()
    overtaken.attempt.resume(committed=True)
    buffer.hurry()
    assert (finisher.step(), len(buffer)) == (None, 0)


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


def accept(operation: Any) -> Finished:
    operation.close()
    return Finished([], [])


def test_sparse_endings_wait_for_others_and_are_written_with_them(
    finisher_on: Callable[..., Any], make_attempt: Make
) -> None:
    finisher, buffer = finisher_on(accept, gather_for=0.02)
    rest = finisher.step()
    assert 0 < rest < 0.021
    assert finisher.gathering, "one more needs not wake it"
    buffer.add(make_attempt(0.0, _id="d"), Verdict(Event.COMPLETE))
    assert finisher.step() <= rest, "it does not begin to wait again"
    while rest := finisher.step():
        threading.Event().wait(rest)
    assert (len(buffer), finisher.gathering) == (0, False)


def test_no_ending_waits_longer_than_a_moment(finisher_on: Callable[..., Any]) -> None:
    finisher, _ = finisher_on(accept, gather_for=3600)
    assert finisher.step() == pytest.approx(LONGEST_GATHERING)


def test_many_endings_are_written_at_once(finisher_on: Callable[..., Any], make_attempt: Make) -> None:
    finisher, buffer = finisher_on(accept, gather_for=3600)
    assert finisher.step() > 0
    while len(buffer) < GATHERED:
        buffer.add(make_attempt(0.0), Verdict(Event.COMPLETE))
    assert not finisher.gathering, "the last one wakes it"
    assert (finisher.step(), len(buffer)) == (None, 0)


@pytest.mark.parametrize("gather_for", [0, SHORTEST_GATHERING / 2])
def test_endings_that_nothing_is_to_be_gained_for_are_written_at_once(
    finisher_on: Callable[..., Any], gather_for: float
) -> None:
    finisher, buffer = finisher_on(accept, gather_for=gather_for)
    assert (finisher.step(), len(buffer)) == (None, 0)


def test_no_slot_stands_idle_while_endings_gather(finisher_on: Callable[..., Any]) -> None:
    refills: list[int] = []
    finisher, buffer = finisher_on(accept, gather_for=3600, taken=lambda: refills.append(1))
    finisher.step()
    assert (refills, len(buffer)) == ([1], 3)


def test_of_the_changes_that_are_tried_again_one_is_made_at_a_time(
    finisher_on: Callable[..., Any], make_attempt: Make
) -> None:
    run: list[str] = []

    def conflict(operation: Any) -> Any:
        run.append(operation.__name__)
        operation.close()
        if operation.__name__ == "finish_and_modify":
            raise StorageUnavailable("another write met it", code=WRITE_CONFLICT)
        return Finished([], [])

    finisher, buffer = finisher_on(conflict)
    buffer.add(make_attempt(0.0, _id="d"), Verdict(Event.COMPLETE, modification=Modification()))
    finisher.step()
    assert run == ["finish", "finish_and_modify", "finish_and_modify"]
    assert len(buffer) == 2
    buffer.hurry()
    finisher.step()
    assert run[3:] == ["finish_and_modify"]
