from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event
from mongoq.core.tasks.modification import Modification
from mongoq.storage.commands import WRITE_CONFLICT
from mongoq.storage.context import Context
from mongoq.storage.operations.finish import Finished
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.ledger import GATHERED, Ledger
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.finisher import LONGEST_GATHERING, SHORTEST_GATHERING, Finisher
from mongoq.worker.services.prefetch import Prefetch
from mongoq.worker.stages import Wake

Make = Callable[..., LiveAttempt]


@pytest.fixture
def finisher_on(context: Context, make_attempt: Make) -> Callable[..., tuple[Finisher, Ledger, list[Wake]]]:
    """Give `finisher_on(run)`: a finisher whose operations `run` answers, a ledger of three endings, and its wakes.

    With `gather_for`, a handler runs that takes so many seconds.
    """

    def make(run: Callable[[Any], Any], gather_for: float = 0) -> tuple[Finisher, Ledger, list[Wake]]:
        wakes: list[Wake] = []
        runtime = Runtime(context, run, "w", Telemetry(), wakes.append)
        prefetch = Prefetch()
        prefetch.ended(gather_for)
        if gather_for:
            runtime.ledger.wait([make_attempt(0.0, _id="running")])
        changing = Verdict(Event.COMPLETE, modification=Modification())
        for key, verdict in (("a", Verdict(Event.COMPLETE)), ("b", changing), ("c", Verdict(Event.COMPLETE))):
            runtime.ledger.end(make_attempt(0.0, _id=key), verdict)
        quiet: Any = lambda *_: None  # noqa: E731 -- nothing is refused
        return Finisher(runtime, prefetch, quiet), runtime.ledger, wakes

    return make


def test_no_ending_is_lost_where_the_server_goes_away(finisher_on: Callable[..., Any]) -> None:
    def run(operation: Any) -> Any:
        operation.close()
        raise StorageUnavailable("gone")

    finisher, ledger, _ = finisher_on(run)
    with pytest.raises(StorageUnavailable):
        finisher.step(elapsed())
    assert [ending.attempt.key for ending in ledger.take(9)] == ["a", "b", "c"]


def test_an_ending_that_its_own_transaction_holds_up_keeps_no_other_waiting(finisher_on: Callable[..., Any]) -> None:
    written: list[str] = []

    def run(operation: Any) -> Any:
        written.extend(one.task.key for one in operation.gi_frame.f_locals.get("endings", ()))
        return accept(operation)

    finisher, ledger, _ = finisher_on(run)
    held_up, _, other = ledger.take(9)
    ledger.give_back()
    ledger.take(1)
    held_up.attempt.begin_transaction(0.0)
    ledger.give_back()
    assert finisher.step(elapsed())
    assert (written, ledger.unwritten) == (["c"], 1)
    held_up.attempt.end_transaction(committed=False)
    ledger.hurry()
    assert finisher.step(elapsed()) is None
    assert (written, other.attempt.stage) == (["c", "a"], "written")


def test_an_ending_that_its_own_transaction_overtook_is_not_written(finisher_on: Callable[..., Any]) -> None:
    def run(operation: Any) -> Any:
        assert operation.gi_frame.f_locals.get("endings") is None
        return accept(operation)

    finisher, ledger, _ = finisher_on(run)
    overtaken, _, other = ledger.take(9)
    ledger.written([other])
    ledger.give_back()
    overtaken.attempt.begin_transaction(0.0)
    assert finisher.step(elapsed())
    overtaken.attempt.end_transaction(committed=True)
    ledger.hurry()
    assert (finisher.step(elapsed()), ledger.unwritten) == (None, 0)


def test_no_ending_is_lost_where_the_server_goes_away_while_they_are_written_one_by_one(
    finisher_on: Callable[..., Any],
) -> None:
    answers = iter([StorageRefused("one of them"), StorageUnavailable("gone")])

    def run(operation: Any) -> Any:
        operation.close()
        raise next(answers)

    finisher, ledger, _ = finisher_on(run)
    with pytest.raises(StorageUnavailable):
        finisher.step(elapsed())
    assert {ending.attempt.key for ending in ledger.take(9)} == {"a", "b", "c"}


def accept(operation: Any) -> Finished:
    operation.close()
    return Finished([], [])


def test_sparse_endings_wait_for_others_and_are_written_with_them(
    finisher_on: Callable[..., Any], make_attempt: Make
) -> None:
    finisher, ledger, _ = finisher_on(accept, gather_for=0.02)
    assert finisher.step(1_000.0) == pytest.approx(0.02)
    assert ledger.end(make_attempt(0.0, _id="d"), Verdict(Event.COMPLETE)) is Wake.ROOM, "one more needs not wake it"
    assert finisher.step(1_000.015) == pytest.approx(0.005), "it does not begin to wait again"
    assert finisher.step(1_000.02) is None
    assert (ledger.unwritten, ledger.gathering) == (0, False)


def test_no_ending_waits_longer_than_a_moment(finisher_on: Callable[..., Any]) -> None:
    finisher, _, _ = finisher_on(accept, gather_for=3600)
    assert finisher.step(1_000.0) == pytest.approx(LONGEST_GATHERING)


def test_many_endings_are_written_at_once(finisher_on: Callable[..., Any], make_attempt: Make) -> None:
    finisher, ledger, _ = finisher_on(accept, gather_for=3600)
    assert finisher.step(1_000.0) > 0
    wakes = [ledger.end(make_attempt(0.0), Verdict(Event.COMPLETE)) for _ in range(GATHERED - 3)]
    assert wakes[-1] is Wake.ENDINGS, "the last one wakes it"
    assert (finisher.step(1_000.0), ledger.unwritten) == (None, 0)


@pytest.mark.parametrize("gather_for", [0, SHORTEST_GATHERING / 2])
def test_endings_that_nothing_is_to_be_gained_for_are_written_at_once(
    finisher_on: Callable[..., Any], gather_for: float
) -> None:
    finisher, ledger, _ = finisher_on(accept, gather_for=gather_for)
    assert (finisher.step(1_000.0), ledger.unwritten) == (None, 0)


def test_endings_gather_only_while_handlers_run_and_the_worker_goes_on(
    finisher_on: Callable[..., Any], make_attempt: Make
) -> None:
    finisher, ledger, _ = finisher_on(accept, gather_for=3600)
    assert finisher.gather_for >= LONGEST_GATHERING
    ledger.stop_by = 2_000.0
    assert finisher.gather_for == 0
    ledger.stop_by = float("inf")
    ledger.leave(list(ledger._active))
    assert finisher.gather_for == 0, "the last task of a burst is not delayed"


def test_no_slot_stands_idle_while_endings_gather(finisher_on: Callable[..., Any]) -> None:
    finisher, ledger, wakes = finisher_on(accept, gather_for=3600)
    finisher.step(1_000.0)
    assert (wakes, ledger.unwritten) == ([Wake.ROOM], 3)


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

    finisher, ledger, _ = finisher_on(conflict)
    ledger.end(make_attempt(0.0, _id="d"), Verdict(Event.COMPLETE, modification=Modification()))
    finisher.step(elapsed())
    assert run == ["finish", "finish_and_modify", "finish_and_modify"]
    assert ledger.unwritten == 2
    ledger.hurry()
    finisher.step(elapsed())
    assert run[3:] == ["finish_and_modify"]


@pytest.mark.parametrize("code", [11601, 14031, 13, 134, 202, 121, 8])
def test_a_completion_with_a_follow_up_is_kept_where_the_server_has_a_reason_of_its_own(
    finisher_on: Callable[..., Any], code: int
) -> None:
    refusals = [StorageRefused("not now", code=code)]

    def run(operation: Any) -> Any:
        name = operation.__name__
        operation.close()
        if name == "finish_and_modify" and refusals:
            raise refusals.pop()
        return True if name == "finish_and_modify" else Finished([], [])

    finisher, ledger, _ = finisher_on(run)
    finisher.step(elapsed())
    assert [one.attempt.key for one in ledger.kept_due(float("inf"))] == ["b"]
    ledger.hurry()
    finisher.step(elapsed())
    assert (ledger.unwritten, len(ledger)) == (0, 0)


@pytest.mark.parametrize("code", [None, 15, 17419])
def test_a_refusal_of_the_follow_up_itself_is_decided_at_once(
    context: Context, make_attempt: Make, code: int | None
) -> None:
    def run(operation: Any) -> Any:
        name = operation.__name__
        operation.close()
        if name == "finish_and_modify":
            raise StorageRefused("it does not fit", code=code)
        return Finished([], [])

    decided: list[str] = []

    def instead(ending: Any, _: Any) -> Verdict:
        decided.append(ending.attempt.key)
        return Verdict(Event.COMPLETE)

    runtime = Runtime(context, run, "w", Telemetry(), lambda _: None)
    runtime.ledger.end(make_attempt(0.0), Verdict(Event.COMPLETE, modification=Modification()))
    Finisher(runtime, Prefetch(), instead).step(elapsed())
    assert (decided, runtime.ledger.unwritten) == (["k1"], 0)


def test_endings_that_wait_for_one_cause_are_one_line_with_a_count(
    finisher_on: Callable[..., Any], make_attempt: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def run(operation: Any) -> Any:
        operation.close()
        raise StorageRefused("the user lacks a right", code=13)

    finisher, ledger, _ = finisher_on(run)
    finisher.step(elapsed())
    for number in range(50):
        ledger.end(make_attempt(0.0, _id=f"k{number}"), Verdict(Event.COMPLETE))
        finisher.step(elapsed())
    [line] = caplog.records
    assert line.getMessage().startswith("the ending of task a and 2 others is not written yet (the user lacks a right)")


def test_each_cause_has_a_line_of_its_own(finisher_on: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    def run(operation: Any) -> Any:
        name = operation.__name__
        operation.close()
        raise StorageRefused(f"no {name}", code=13)

    finisher, _, _ = finisher_on(run)
    finisher.step(elapsed())
    assert [line.getMessage().partition("(")[2].partition(")")[0] for line in caplog.records] == [
        "no finish", "no finish_and_modify",
    ]  # fmt: skip
