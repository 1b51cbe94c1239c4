"""Run the examples of docs/from/celery.md: tasks as they were, and the same written anew."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from mongoq.contrib.celery import shared_task
from mongoq.contrib.celery.registered import functions

KEPT = dict(functions._schedules), dict(functions._limits)
for name in ("shop.tasks.sweep", "shop.tasks.poll"):
    if name not in functions.by_name():
        shared_task(name=name)(lambda: None)


def check() -> None:
    assert functions.schedules().keys() >= {"sweep", "poll"}
    functions._schedules, functions._limits = KEPT  # they are the process's, whose other tests have queues as well
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
