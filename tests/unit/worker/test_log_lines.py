"""Log lines of a running worker: a log handler that is stuck stops nobody."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from mongoq.worker.log_lines import LOGGERS, LogLines

log = logging.getLogger("mongoq.worker")


class Stuck(logging.Handler):
    """Writes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.go_on.wait(30)
        self.written.append(record.getMessage())


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    handler = Stuck()
    log.addHandler(handler)
    yield handler
    handler.go_on.set()
    log.removeHandler(handler)


def installed() -> int:
    return sum(isinstance(known, LogLines) for name in LOGGERS for known in logging.getLogger(name).filters)


def test_lines_do_not_wait_for_a_handler_that_is_stuck_and_are_written_later(stuck: Stuck) -> None:
    lines = LogLines(most=10)
    before = installed()
    lines.begin()
    for number in range(50):
        log.warning("line %d", number)
    lines.end()
    assert lines.stuck
    assert installed() > before
    stuck.go_on.set()
    lines.begin()
    lines.end()
    lost, words = stuck.written[1].split(" ", 1)
    assert words == "log lines were lost: they came faster than they could be written"
    assert stuck.written[:3:2] == ["line 0", "line 1"]
    assert len(stuck.written) - 1 + int(lost) == 50
    assert not lines.stuck
    assert installed() == before


def test_lines_of_a_worker_are_written_when_it_has_ended(stuck: Stuck) -> None:
    stuck.go_on.set()
    lines = LogLines()
    lines.begin()
    log.warning("one of %s", ["many"])
    log.warning("%d does not fit", "this")
    lines.end()
    assert "one of ['many']" in stuck.written


def test_two_workers_share_the_thread(stuck: Stuck) -> None:
    lines = LogLines()
    before = installed()
    lines.begin()
    lines.begin()
    stuck.go_on.set()
    lines.end()
    assert installed() > before
    log.warning("of the second")
    lines.end()
    assert installed() == before
    assert stuck.written == ["of the second"]
