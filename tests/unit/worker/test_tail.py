"""What follows from signals, and from the end of the cursor that brings them."""

from __future__ import annotations

import pytest

from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.fleet import Signal, SignalKind
from mongoq.storage.context import Context
from mongoq.storage.operations.fleet.signals import NO_TAIL
from mongoq.worker.fleet.tail import OPEN_EVERY, Tail
from mongoq.worker.fleet.view import FleetView
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Wake


class Signals:
    """Signals that the test writes; the cursor dies where there is none left."""

    def __init__(self) -> None:
        self.open = False
        self.brings: list[Signal | Exception] = []
        self.refuses: Exception | None = None
        self.begun = 0

    def begin(self) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.open = True
        self.begun += 1

    def next(self) -> Signal | None:
        if not self.brings:
            self.open = False
            return None
        brought = self.brings.pop(0)
        if isinstance(brought, Exception):
            self.open = False
            raise brought
        return brought

    def end(self) -> None:
        self.open = False


class Listening:
    """A tail, and what it passed on."""

    def __init__(self, context: Context) -> None:
        self.signals = Signals()
        self.wakes: list[Wake] = []
        self.called: list[Signal] = []
        self.asked = 0
        self.told: list[str] = []
        runtime = Runtime(context, lambda _: None, "w", Telemetry(), self.wakes.append)
        self.view = FleetView("w", ("a", "b"), 1)
        self.tail = Tail(
            runtime, self.view, self.signals, called=self.called.append, ask=self._ask,
            ordered=lambda: self.told.append("orders"), scheduled=lambda: self.told.append("schedules"),
        )  # fmt: skip

    def _ask(self) -> None:
        self.asked += 1


@pytest.fixture
def listening(context: Context) -> Listening:
    return Listening(context)


WORK = Signal(SignalKind.WORK, queues=("b", "c"), count=2)


def test_once_signals_come_the_process_looks_for_work_and_for_its_part(listening: Listening) -> None:
    assert not listening.view.settled
    listening.tail.step(0)
    assert (listening.view.settled, listening.view.tailing, listening.asked) == (True, True, 1)
    assert listening.wakes == [Wake.WORK]


def test_calls_for_its_queues_reach_the_fetcher_and_a_missing_watcher_its_presence(listening: Listening) -> None:
    elsewhere = Signal(SignalKind.WORK, queues=("c",))
    listening.signals.brings = [WORK, elsewhere, Signal(SignalKind.WATCH)]
    for _ in range(4):
        listening.tail.step(0)
    assert listening.called == [WORK]
    assert listening.asked == 2, "when it was opened, and by the signal"


def test_news_of_orders_and_of_schedules_is_passed_on_and_looked_for_once_signals_come(listening: Listening) -> None:
    listening.tail.step(0)
    assert sorted(listening.told) == ["orders", "schedules"], "what was signalled before is not told again"
    listening.signals.brings = [Signal(SignalKind.SCHEDULES), Signal(SignalKind.ORDERS)]
    listening.tail.step(0)
    listening.tail.step(0)
    assert listening.told[2:] == ["schedules", "orders"]
    assert listening.called == []


def test_a_cursor_that_died_is_opened_anew_and_what_was_missed_is_looked_for(listening: Listening) -> None:
    listening.tail.step(0)
    listening.tail.step(0)
    assert not listening.signals.open
    assert listening.tail.step(0) == OPEN_EVERY, "not in a busy loop"
    assert listening.view.tailing, "it is opened in a moment"
    listening.tail.step(OPEN_EVERY)
    assert (listening.signals.begun, listening.wakes, listening.asked) == (2, [Wake.WORK] * 2, 2)


def test_a_cursor_that_breaks_off_costs_nobody_its_part_unless_no_other_can_be_opened(listening: Listening) -> None:
    listening.signals.brings = [StorageUnavailable("lost")]
    listening.tail.step(0)
    with pytest.raises(StorageUnavailable):
        listening.tail.step(0)
    assert listening.view.tailing
    listening.signals.refuses = StorageUnavailable("gone")
    with pytest.raises(StorageUnavailable):
        listening.tail.step(OPEN_EVERY)
    assert (listening.view.settled, listening.view.tailing, listening.asked) == (True, False, 2)
    listening.signals.refuses = None
    listening.tail.step(2 * OPEN_EVERY)
    assert (listening.view.tailing, listening.asked) == (True, 3)


def test_where_there_can_be_no_signals_it_is_known_and_not_tried_again(listening: Listening) -> None:
    listening.signals.refuses = StorageRefused("no tails here", code=min(NO_TAIL))
    assert listening.tail.step(0) is None
    listening.signals.refuses = AssertionError("asked again")
    assert listening.tail.step(9) is None
    assert (listening.view.settled, listening.view.tailing, listening.wakes) == (True, False, [])


def test_any_other_refusal_is_for_the_loop_which_tries_again(listening: Listening) -> None:
    listening.signals.refuses = StorageRefused("the disk is full", code=8)
    with pytest.raises(StorageRefused):
        listening.tail.step(0)
    assert (listening.view.settled, listening.view.tailing) == (True, False)
