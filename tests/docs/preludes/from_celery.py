"""Run the example of docs/from/celery.md."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def check() -> None:
    sys.modules.pop("shop", None)
    shop: Any = importlib.import_module("shop")
    with shop.queue as queue:
        first = shop.fetch.new("https://example.org/busy")
        handle = queue.start()
        assert first.result(timeout=30) == 24
        assert queue.join(timeout=30)
        handle.stop()
        (stored,) = queue.tasks(queue="disk")
        assert (stored.state, stored.result) == ("completed", "https://example.org/busy: 24")
    sys.modules.pop("shop")
