"""Make the calls of docs/howto/enqueue-once.md twice."""

from __future__ import annotations

import sys
from importlib import import_module


def check() -> None:
    payments = import_module("payments")
    with payments.queue as queue:
        assert payments.on_webhook("17", 7, 1990) == payments.on_webhook("17", 7, 1990) == "event-17"
        payments.on_change(3)
        payments.on_change(3)
        assert (queue.size("payments"), queue.size("search")) == (1, 1)
        queue.run(burst=True)
        assert payments.on_webhook("17", 7, 1990) == "event-17"  # it has completed, and is still known
        assert queue.size("payments") == 0
        assert queue.get("event-17").result == "order 7: 1990 cents, event-17"
        payments.on_change(3)
        assert queue.size("search") == 1
    del sys.modules["payments"]
