"""Tasks that are submitted while a test holds up the write before."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from mongoq.api.gathering.gatherer import Gatherer
from mongoq.core.clock import FrozenClock
from mongoq.core.errors import StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.tasks.new_task import NewTask
from mongoq.hooks.attached import Hooks
from mongoq.storage.context import Context
from mongoq.storage.control import Hello
from mongoq.storage.documents.drafting import CHUNK
from mongoq.storage.drivers.steps import Stepper
from tests.unit.gathering.writes import Writes

Until = Callable[..., None]


def test_the_end_waits_for_one_failure_and_not_for_that_of_each_group(
    gatherer: Gatherer, writes: Writes, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "mongoq.api")
    futures = [gatherer.submit(NewTask())]
    until(lambda: writes.sizes)
    futures += [gatherer.submit(NewTask()) for _ in range(CHUNK + 1)]
    writes.replies = {1: StorageUnavailable("gone"), CHUNK: StorageUnavailable("gone")}
    closing = threading.Thread(target=lambda: writes.run(gatherer.close()))
    closing.start()
    until(lambda: gatherer._gathering.closed)
    writes.answer.set()
    closing.join(60)
    assert writes.sizes == [1]
    assert all(isinstance(future.exception(60), StorageUnavailable) for future in futures)
    assert "1 submitted tasks were not enqueued: gone" in caplog.text


def test_a_submitted_task_is_written_beside_its_caller(gatherer: Gatherer, writes: Writes, until: Until) -> None:
    first = gatherer.submit(NewTask({"n": 0}))
    until(lambda: writes.sizes)
    others = [gatherer.submit(NewTask({"n": number})) for number in range(1, 4)]
    assert not first.done()
    assert others[1].cancel()
    assert not first.cancel(), "it has gone"
    writes.answer.set()
    assert [future.result(60).tags["n"] for future in (first, others[0], others[2])] == [0, 1, 3]
    assert writes.sizes == [1, 2]


def test_submit_waits_for_room(
    gatherer: Gatherer, writes: Writes, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mongoq.api.gathering.calls.MOST_CALLS", 2)
    gatherer.submit(NewTask())
    until(lambda: writes.sizes)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            gatherer.submit(NewTask())
        waits = pool.submit(gatherer.submit, NewTask({"n": 3}))
        until(lambda: gatherer._watching)
        assert not waits.done()
        writes.answer.set()
        assert waits.result(60).result(60).tags == {"n": 3}


def test_a_thread_that_cannot_be_started_is_told_to_the_call(
    gatherer: Gatherer, writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(writes, "beside", refuse)
    with pytest.raises(StorageUnavailable, match="can't start new thread"):
        gatherer.submit(NewTask()).result(60)
    monkeypatch.undo()
    writes.answer.set()
    assert gatherer.submit(NewTask({"n": 1})).result(60).tags == {"n": 1}


class Measured(FrozenClock):
    """A clock that is behind by an hour until it is measured."""

    wanted = True

    def wants_measuring(self) -> bool:
        return self.wanted

    def measured(self, server: Any, sent: float, received: float) -> None:  # noqa: ARG002 -- as every clock
        self.wanted = False
        self.advance(3600)


def test_what_was_drafted_before_the_clock_was_measured_is_dated_anew_and_stays_in_order(
    context: Context, writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Measured()
    context = dataclasses.replace(context, clock=clock)
    writes.stepper = Stepper(clock)
    answer = writes._call
    monkeypatch.setattr(
        writes,
        "_call",
        lambda command, session: {"localTime": None} if isinstance(command, Hello) else answer(command, session),
    )
    base: Any = SimpleNamespace(
        context=context,
        driver=writes,
        send=lambda op: op,
        check_accepting=lambda: None,
        hooks=Hooks(Telemetry()),
        telemetry=Telemetry(),
        rooms=None,
    )
    gatherer, before = Gatherer(base), clock.now()
    early = [gatherer.submit(NewTask()) for _ in range(3)]
    writes.answer.set()
    tasks = [future.result(60) for future in early]
    late = gatherer.submit(NewTask()).result(60)
    assert all(before + timedelta(seconds=3590) <= task.run_at <= late.run_at for task in tasks)
    assert all(task.created_at == task.run_at for task in tasks)
    keys = [task.key for task in (*tasks, late)]
    assert keys == sorted(keys)
