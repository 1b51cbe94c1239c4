"""The page about failures names what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from mongoq import Failure, Signal

PAGE = (Path(__file__).parents[2] / "docs" / "failures.md").read_text()


def test_the_table_of_failures_is_that_of_the_code() -> None:
    rows = PAGE.partition("| `failure` | meaning |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE) == list(Failure)


def test_every_signal_is_named() -> None:
    assert all(
        f"`{signal.__name__}`" in PAGE for signal in Signal.__subclasses__() if signal.__module__ == Signal.__module__
    )
