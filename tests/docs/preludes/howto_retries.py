"""Try docs/howto/retries.md: its task, and the figures of its table."""

from __future__ import annotations

import sys
from datetime import timedelta
from importlib import import_module
from typing import Any

from mongoq import Constant, Exponential, Ladder, Linear


def most(backoff: Any) -> timedelta:
    """How long eight retries last, jitter apart."""
    return sum((backoff.delay(attempt) for attempt in range(1, 9)), timedelta())


def check() -> None:
    assert most(Linear(10)) == timedelta(minutes=6)
    assert most(Exponential(2, max=600, jitter=False)) == timedelta(seconds=510)
    assert most(Constant(60)) == timedelta(minutes=8)
    assert most(Ladder([1, 60, 3600])) == timedelta(hours=6, seconds=61)
    invoices = import_module("invoices")
    with invoices.queue as queue:
        invoices.send.new(7)
        lost = invoices.send.new(-1)
        queue.run(burst=True)
        dead = queue.get(lost.key)
        assert (dead.queue, dead.failure, dead.last_error.message) == ("invoices/err", "handler", "no invoice -1")
        assert queue.redrive("invoices/err") == 1
    del sys.modules["invoices"]
