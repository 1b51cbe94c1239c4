"""Lists of the command line: their cost grows with their rows, and with nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mongoq.cli import output
from mongoq.cli.output import Sheet


class Counted(Sequence[Any]):
    """Rows that count how often they are read."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows
        self.reads = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        return self._rows[place]

    def __iter__(self) -> Any:
        for row in self._rows:
            self.reads += 1
            yield row


@pytest.mark.parametrize("count", [10, 1_000])
@pytest.mark.parametrize("row", [("key", 1), ("schlüssel", 1), ("鍵", -5)])
def test_every_row_is_read_a_few_times_only(count: int, row: tuple[Any, ...]) -> None:
    rows = Counted([row] * count)
    lines = list(Sheet("t", ("name", "number"), rows, "none").plain())
    assert len(lines) == count + 1
    assert rows.reads <= 3 * count


def test_tables_are_written_line_by_line_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = Sheet("t", ("name", "n"), [("a", 1), ("bb", 22)], "none")
    output.show([sheet])
    assert capsys.readouterr().out == "NAME   N\na      1\nbb    22\n"
    output.show([sheet, Sheet("u", ("x",), [], "nothing")])
    assert capsys.readouterr().out == "NAME   N\na      1\nbb    22\n\n(nothing)\n\n"
