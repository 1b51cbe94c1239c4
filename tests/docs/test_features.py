"""Each feature of the queues that mongoq grew from has a test, or a word in the docs on what is different."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

import pytest

from tests.docs.pages import ROOT

TABLE: Final[dict[str, dict[str, Any]]] = tomllib.loads((ROOT / "tests" / "docs" / "features.toml").read_text())
COUNTS: Final = {"A": 30, "B": 24, "C": 13, "D": 25, "E": 36, "F": 5}
"""How many features each system has."""
ROWS: Final = [
    pytest.param(row, id=f"{letter}{number}")
    for letter, rows in TABLE.items()
    for number, row in rows.items()
    if number != "about"
]


def test_every_number_of_every_system_is_in_the_table() -> None:
    numbers = {letter: [*rows] for letter, rows in TABLE.items()}
    assert numbers == {letter: ["about", *map(str, range(1, count + 1))] for letter, count in COUNTS.items()}


@pytest.mark.parametrize("row", ROWS)
def test_a_feature_has_a_test_that_is_there_or_a_difference_that_is_told(row: dict[str, str]) -> None:
    assert row.keys() <= {"what", "test", "differs"}
    assert row["what"]
    assert row.keys() & {"test", "differs"}
    if "test" in row:
        file, _, name = row["test"].partition("::")
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), row["test"]
    if "differs" in row:
        assert f"- **{row['differs']}.**" in (ROOT / "docs" / "differences.md").read_text()


def test_every_difference_that_is_told_belongs_to_a_feature() -> None:
    told = re.findall(r"^- \*\*(.+?)\.\*\*", (ROOT / "docs" / "differences.md").read_text(), re.MULTILINE)
    assert told
    assert sorted(told) == sorted(
        row["differs"] for rows in TABLE.values() for row in list(rows.values())[1:] if "differs" in row
    )
