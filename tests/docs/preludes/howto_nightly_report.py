"""Run what docs/howto/nightly-report.md has: its test, and nights that are enqueued by hand."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from zoneinfo import ZoneInfo


def check() -> None:
    import_module("test_nightly").test_each_missed_night_gets_its_report()
    nightly = import_module("nightly")
    with nightly.queue as queue:
        missed = queue.new(name="nightly", key="cron:nightly:20260301T020000Z")
        now = nightly.nightly.new()
        queue.run(burst=True)
        assert queue.get(missed.key).result == "the report of 2026-02-28"
        yesterday = datetime.now(UTC).astimezone(ZoneInfo("Europe/Zurich")).date() - timedelta(days=1)
        assert now.result(timeout=60) in {f"the report of {yesterday - timedelta(days=n)}" for n in (0, 1)}
    del sys.modules["nightly"], sys.modules["test_nightly"]
