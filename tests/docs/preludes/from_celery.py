"""Run the examples of docs/from/celery.md: tasks as they were, and the same written anew."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def check() -> None:
    names = ("shop", "moved.app", "moved.tasks", "moved")
    for name in names:
        sys.modules.pop(name, None)
    shop: Any = importlib.import_module("shop")
    with shop.queue as queue:
        first = shop.fetch.new("https://example.org/busy")
        handle = queue.start()
        assert first.result(timeout=30) == 24
        assert queue.join(timeout=30)
        handle.stop()
        (stored,) = queue.tasks(queue="disk")
        assert (stored.state, stored.result) == ("completed", "https://example.org/busy: 24")
    moved: Any = importlib.import_module("moved.app")
    with moved.queue as queue:
        queue.run(burst=True)
        assert moved.result.get(timeout=0) == 42
    for name in names:
        sys.modules.pop(name)
