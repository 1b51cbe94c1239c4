"""The nightly report of `examples/nightly_report.py`, tested without a server."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from mongoq.testing import memory_queue, run_due

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_report_adds_up_when_all_shops_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    example = importlib.import_module("nightly_report")
    example.SALES.update({"bern": 1_050, "basel": None, "chur": 200})
    try:
        with memory_queue() as queue:
            queue.include(example.queue)
            ran = run_due(queue, queues=["default", "mail"])
            assert [one.task.name for one in ran].count("turnover") == 2 + 3, "the silent one is asked three times"
            (mailed,) = example.MAILED
            assert mailed.endswith(": 12.50, without basel")
            assert ran[-1].task.name == "report"
            assert len(ran[-1].task.parents) == 3
    finally:
        example.queue.close()
        sys.modules.pop("nightly_report")


def test_the_example_is_short() -> None:
    assert len((EXAMPLES / "nightly_report.py").read_text().splitlines()) < 40
