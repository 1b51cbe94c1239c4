"""What the watchdog says of handlers that make no progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.services.watchdog import OVERRUN, STANDSTILL


@pytest.fixture
def began(make_worker: Callable[..., Any], make_attempt: Callable[..., LiveAttempt]) -> Callable[..., Any]:
    """Give `began(count, workers=...)`: a worker with so many running handlers."""

    def begin(count: int, **config: Any) -> tuple[Any, list[LiveAttempt]]:
        worker = make_worker(**config)
        attempts = [make_attempt(worker.clock.now, key=f"k{number}") for number in range(count)]
        worker.ledger.claim(attempts)
        worker.dispatcher.receive(attempts)
        return worker, [worker.executor.begin() for _ in range(count)]

    return begin


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "no progress" in record.getMessage()]


def test_one_line_names_the_tasks_where_nothing_has_started_for_long(
    began: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    worker, attempts = began(2, workers=2)
    worker.watchdog.step(worker.clock.now)
    worker.watchdog.step(worker.clock.advance(STANDSTILL))
    assert lines(caplog) == []
    for _ in range(5):
        worker.watchdog.step(worker.clock.advance(2 * OVERRUN))
    (line,) = lines(caplog)
    assert all(f"{attempt.key}, claimed" in line for attempt in attempts)
    assert f"in the test of {attempts[0].key}" in line


def test_a_handler_that_has_outrun_its_deadline_is_told_of_while_others_work(
    began: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    worker, (stuck, _) = began(2, workers=8)
    stuck.deadline_at = worker.clock.now
    worker.watchdog.step(worker.clock.advance(OVERRUN / 2))
    assert lines(caplog) == []
    for _ in range(3):
        worker.watchdog.step(worker.clock.advance(2 * OVERRUN))
    (line,) = lines(caplog)
    assert line.startswith(f"handlers that make no progress (1): {stuck.key}, claimed")
