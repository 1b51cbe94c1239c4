"""The log lines of handlers in children."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace

import pytest

from mongoq import Queue


def test_lines_of_a_child_come_through_the_parents_handlers(
    queue: Queue, importable: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    before = time.time()
    with caplog.at_level(logging.INFO):
        key = queue.new().key
        queue.run(importable.logs, executor="processes", workers=1, burst=True)
    info, error = (record for record in caplog.records if record.name.startswith("shop."))
    assert (info.levelname, info.getMessage(), info.funcName) == ("INFO", f"task {key}: sent to ada", "logs")
    assert before <= info.created <= time.time()
    assert error.exc_text is not None
    assert "OSError: refused" in error.exc_text
    assert "OSError: refused" in caplog.text


def test_lines_below_the_parents_level_stay_in_the_child(
    queue: Queue, importable: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), caplog.at_level(logging.CRITICAL, logger="shop.other"):
        queue.new()
        queue.run(importable.logs, executor="processes", workers=1, burst=True)
    assert not [record for record in caplog.records if record.name.startswith("shop.")]
