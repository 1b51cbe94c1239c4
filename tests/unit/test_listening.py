"""Typed events and their delivery: by kind, in order, and never by the threads of a worker."""

from __future__ import annotations

import inspect
import logging
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

import mongoq
from mongoq import ConfigurationError, Failure, TaskError, TaskState, events
from mongoq.core import errors
from mongoq.core.events import Signpost, Telemetry, deferring
from mongoq.core.judging import ended
from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event
from mongoq.core.listening import kinds, thread
from mongoq.core.listening.delivery import Listeners, check_listener
from mongoq.testing import make_task
from mongoq.worker.services.sweeper import SWEEPS

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TASK = make_task(key="k")
ERROR = TaskError("ValueError", "no", "", NOW, 1, "host:1:x")
RETRIED = Verdict(Event.RETRY, run_at=NOW, error=ERROR)
FAILED = Verdict(Event.FAIL, error=ERROR, failure=Failure.EXHAUSTED)


def listening(*wanted: type[events.QueueEvent]) -> tuple[Telemetry, Listeners, list[Any]]:
    telemetry, listeners = Telemetry(), Listeners()
    heard: list[Any] = []
    telemetry.subscribe_quick(listeners.note, listeners.settle)
    for kind in wanted:
        listeners.add(kind, heard.append)
    return telemetry, listeners, heard


def test_a_listener_hears_the_events_of_its_kind_and_of_those_below_it_in_order() -> None:
    telemetry, _, heard = listening(events.AttemptEnded)
    telemetry.emit(Signpost.STARTED, task=TASK)
    telemetry.emit(Signpost.ENDED, task=TASK, verdict=RETRIED)
    telemetry.emit(Signpost.ENDED, task=TASK, verdict=Verdict(Event.COMPLETE, result=7))
    telemetry.emit(Signpost.ENDED, task=TASK, verdict=Verdict(Event.SNOOZE, run_at=NOW, note="later"))
    assert telemetry.settle(10)
    assert heard == [
        events.AttemptFailed(TASK, "retry", NOW, None, ERROR, None),
        events.AttemptSucceeded(TASK, "complete", None, None, 7),
        events.AttemptEnded(TASK, "snooze", NOW, "later"),
    ]


def test_a_task_ends_once_and_only_by_a_final_state() -> None:
    telemetry, _, heard = listening(events.TaskEnded)
    done = Verdict(Event.COMPLETE, result=7)
    telemetry.emit(Signpost.FINISHED, count=3, endings=[(TASK, RETRIED), (TASK, FAILED), (TASK, done)])
    assert telemetry.settle(10)
    assert heard == [
        events.TaskEnded(TASK, TaskState.FAILED, None, ERROR, Failure.EXHAUSTED, None),
        events.TaskEnded(TASK, TaskState.COMPLETED, 7, None, None, None),
    ]


@pytest.mark.parametrize(
    "name, fields, event",
    [
        (Signpost.WORKER_STARTED, {"worker": "w"}, events.WorkerStarted("w")),
        (Signpost.WORKER_STOPPED, {"worker": "w", "error": None}, events.WorkerStopped("w")),
        (Signpost.LEASE_LOST, {"key": "k"}, events.AttemptLost("k")),
        (Signpost.REFUSED, {"task": TASK, "error": OSError}, events.EndingRefused(TASK, OSError)),  # type: ignore[arg-type]
        (Signpost.SWEPT, {"promoted": 1, "rescued": 2, "expired": 3}, events.TasksSwept(1, 2, 3)),
        (Signpost.STORAGE_LOST, {"error": OSError}, events.ServerLost(OSError)),  # type: ignore[arg-type]
        (Signpost.STORAGE_BACK, {"seconds": 2.5}, events.ServerBack(2.5)),
        (Signpost.STARTED, {"task": TASK}, events.AttemptStarted(TASK)),
    ],
)
def test_what_telemetry_tells_is_an_event_of_its_kind(
    name: Signpost, fields: dict[str, Any], event: events.QueueEvent
) -> None:
    telemetry, _, heard = listening(events.QueueEvent)
    telemetry.emit(name, **fields)
    telemetry.emit(Signpost.WATCHING)
    assert telemetry.settle(10)
    assert heard == [event]


def test_listeners_run_in_a_thread_of_their_own_whoever_emits() -> None:
    telemetry, listeners, _ = listening()
    threads: list[str] = []
    listeners.add(events.AttemptLost, lambda event: threads.append(threading.current_thread().name))
    telemetry.emit(Signpost.LEASE_LOST, key="a")
    with deferring():
        telemetry.emit(Signpost.LEASE_LOST, key="b")
    assert telemetry.settle(10)
    assert threads == ["mongoq-listeners"] * 2


def test_a_stuck_listener_holds_up_nobody_and_the_newest_events_are_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(thread, "MOST", 3)
    telemetry, listeners, heard = listening()
    go_on, stuck = threading.Event(), threading.Event()

    def listen(event: events.AttemptLost) -> None:
        stuck.set()
        go_on.wait(30)
        heard.append(event.key)

    listeners.add(events.AttemptLost, listen)
    telemetry.emit(Signpost.LEASE_LOST, key="0")
    assert stuck.wait(60)
    for number in range(1, 10):
        telemetry.emit(Signpost.LEASE_LOST, key=str(number))
    assert not telemetry.settle(0.01), "it is stuck"
    go_on.set()
    assert telemetry.settle(10)
    assert heard == ["0", "1", "2", "3"]
    assert "6 events were lost" in caplog.text


def test_what_a_listener_raises_is_logged_and_the_others_hear_the_event(caplog: pytest.LogCaptureFixture) -> None:
    telemetry, listeners, _ = listening()
    heard: list[Any] = []
    listeners.add(events.AttemptLost, lambda event: 1 / 0)
    listeners.add(events.AttemptLost, heard.append)
    telemetry.emit(Signpost.LEASE_LOST, key="a")
    assert telemetry.settle(10)
    assert heard == [events.AttemptLost("a")]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "a listener of AttemptLost failed" in record.getMessage()


def test_a_listener_that_has_left_hears_no_more() -> None:
    telemetry, listeners, _ = listening()
    heard: list[Any] = []
    leave = listeners.add(events.AttemptLost, heard.append)
    assert telemetry
    leave()
    leave()
    telemetry.emit(Signpost.LEASE_LOST, key="a")
    assert telemetry.settle(10)
    assert heard == []


@pytest.mark.parametrize("kind, listener", [(int, print), ("AttemptLost", print), (events.AttemptLost, 7)])
def test_what_is_no_event_and_what_cannot_be_called_is_refused(kind: Any, listener: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"kind|listener"):
        check_listener(kind, listener)


def test_a_coroutine_function_is_refused_as_a_listener() -> None:
    async def listen(event: events.QueueEvent) -> None: ...

    with pytest.raises(ConfigurationError, match="a plain function"):
        check_listener(events.QueueEvent, listen)


def test_errors_and_events_share_no_name() -> None:
    raised = {name for module in (errors, ended) for name, kind in vars(module).items() if inspect.isclass(kind)}
    assert not raised & set(events.__all__)
    assert not set(mongoq.__all__) & set(events.__all__)


def test_every_event_is_public() -> None:
    assert events.__all__ == kinds.__all__
    told = events.__doc__ or ""
    assert all(name in told for name in events.__all__)


def test_the_event_of_a_sweep_counts_all_that_sweeps_move() -> None:
    """A count that it lacked would have failed the sweeper wherever somebody listens."""
    counts = {name: place for place, name in enumerate(SWEEPS)}
    assert {name: getattr(events.TasksSwept(**counts), name) for name in counts} == counts
