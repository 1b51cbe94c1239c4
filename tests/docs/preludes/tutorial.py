"""Do what docs/tutorial.md tells the reader to do."""

from __future__ import annotations

import importlib
import os
import runpy
import subprocess
import sys
from typing import Any


def check() -> None:
    os.environ["MONGOQ_NAMESPACE"] = "shop"
    sys.modules.pop("shop", None)
    runpy.run_path("produce.py")
    shop: Any = importlib.import_module("shop")
    with shop.queue as queue:
        assert (queue.size("mail"), queue.stats()["mail"].scheduled) == (4, 1)
        shop.place_order(7, 1990)
        shop.place_order(7, 1990)
        shop.place_order(8, 0)
        report = shop.report.new(3)
        assert queue.stats()["bank"].ready == 2
        queue.pause("chores")
        handle = queue.start()
        assert report.result(timeout=30) == 3
        charged = queue.wait(queue.tasks(queue="bank", where={"order": 7})[0], timeout=30)
        handle.stop()
        assert (charged.state, charged.result, charged.attempts) == ("completed", 1990, 2)
        (refused,) = queue.tasks(queue="bank", where={"order": 8})
        assert (refused.state, refused.note) == ("failed", "nothing to charge")
        assert {one.name for one in queue.schedules()} == {"sweep_carts", "digest"}
        runpy.run_path("many.py")
        assert queue.size("mail") >= 10_000
    sys.modules.pop("shop")
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"]
    done = subprocess.run(tests, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
