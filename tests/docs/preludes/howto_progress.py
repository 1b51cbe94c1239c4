"""Run the task of docs/howto/progress.md, and ask as its page does."""

from __future__ import annotations

import sys
from importlib import import_module


def check() -> None:
    render, status = import_module("render"), import_module("status").status
    with render.queue as queue:
        handle = render.render.new("metropolis", 3)
        assert status(handle.key) == {"state": "ready", "value": None, "message": None}
        queue.run(burst=True)
        assert status(handle.key) == {"state": "completed", "value": 1, "message": "done"}
        assert [line.text for line in queue.get(handle.key).progress.log][-1] == "metropolis: frame 2"
        queue.delete(handle.key)
        assert status(handle.key) == {"state": "gone"}
    del sys.modules["render"], sys.modules["status"]
