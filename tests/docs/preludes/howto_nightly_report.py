"""What docs/howto/nightly-report.md presumes."""

from __future__ import annotations

import sys
from importlib import import_module


def check() -> None:
    import_module("test_nightly").test_each_missed_night_gets_its_report()
    with import_module("nightly").queue as queue:
        assert queue.namespace == "reports"
    del sys.modules["nightly"], sys.modules["test_nightly"]
