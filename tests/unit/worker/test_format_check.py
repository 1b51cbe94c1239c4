"""The version of the format is looked up by a command of its own only where no look at the orders brought it."""

from __future__ import annotations

from typing import Any

import pytest

from mongoq.core.errors import NewerFormat
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.format_check import CHECK_EVERY, READ_WITHIN, FormatCheck


class Checked:
    """A process that looks with each heartbeat."""

    def __init__(self, runtime: Runtime, script: Any, timer: Any) -> None:
        self.script, self.timer, self.gate = script, timer, runtime.context.gate
        self.stopped: list[NewerFormat] = []
        self._check = FormatCheck(runtime, self.stopped.append)
        script.always("check", None)

    def read(self, *, readable: bool) -> None:
        self.gate.note((), self.timer.now, readable=readable)

    def looks(self, seconds: float) -> int:
        self.timer.advance(seconds)
        before = len(self.script.of("check"))
        self._check.look()
        return len(self.script.of("check")) - before


@pytest.fixture
def checked(runtime: Runtime, script: Any, timer: Any) -> Checked:
    return Checked(runtime, script, timer)


def test_what_the_orders_brought_is_not_asked_for(checked: Checked) -> None:
    for _ in range(3):
        checked.read(readable=True)
        assert checked.looks(CHECK_EVERY) == 0
    assert checked.looks(READ_WITHIN) == 1, "they are old by now"


def test_a_version_that_this_process_cannot_read_is_looked_at_at_once(checked: Checked) -> None:
    checked.read(readable=True)
    assert checked.looks(2 * CHECK_EVERY) == 1
    checked.read(readable=True)
    assert checked.looks(CHECK_EVERY) == 0
    checked.read(readable=False)
    error = NewerFormat("too old")
    checked.script.always("check", error)
    assert checked.looks(1) == 1
    assert checked.stopped == [error]
