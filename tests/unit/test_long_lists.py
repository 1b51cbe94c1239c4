"""Lists of the command line: their cost grows with their rows, and with nothing more."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
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


class Watched(io.StringIO):
    """A stdout that tells of each line."""

    def __init__(self, hear: Callable[[str], object]) -> None:
        super().__init__()
        self._hear = hear

    def write(self, text: str) -> int:
        self._hear(text)
        return super().write(text)

    def writelines(self, lines: Iterable[Any]) -> None:
        for line in lines:
            self.write(line)


def test_rows_that_come_one_by_one_are_written_before_the_last_has_come() -> None:
    """Columns grow where a later page needs it; the names of the columns come once."""
    taken: list[int] = []
    written: list[int] = []

    def rows() -> Iterator[tuple[Any, ...]]:
        for n in range(2_500):
            taken.append(n)
            yield ("x" * 8 if n == 1_100 else "x", n)

    with contextlib.redirect_stdout(Watched(lambda _: written.append(len(taken)))) as out:
        assert output.show_rows(Sheet("t", ("name", "number"), [], "none"), rows()) == 2_500
    assert written[0] == output.FIRST_PAGE
    assert set(written) == {100, 1_100, 2_100, 2_500}
    lines = out.getvalue().splitlines()
    assert len(lines) == 2_501
    assert lines[0] == "NAME  NUMBER"
    assert [lines[1], lines[1_100], lines[2_500]] == ["x          0", "x       1099", "x           2499"]


def test_no_rows_are_told_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.show_rows(Sheet("t", ("name",), [], "none"), iter(())) == 0
    output.print_json_list(iter(()))
    output.print_json_list([1, "a"])
    assert capsys.readouterr().out == '(none)\n[]\n[1, "a"]\n'


def test_tables_are_written_line_by_line_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = Sheet("t", ("name", "n"), [("a", 1), ("bb", 22)], "none")
    output.show([sheet])
    assert capsys.readouterr().out == "NAME   N\na      1\nbb    22\n"
    output.show([sheet, Sheet("u", ("x",), [], "nothing")])
    assert capsys.readouterr().out == "NAME   N\na      1\nbb    22\n\n(nothing)\n\n"
